//! One coherent read of an identity's files.
//!
//! A mounted Secret changes by one rename: the kubelet writes a new directory and swaps the symlink `..data` to it. So `..data`
//! is resolved once, and every file is opened relative to that one directory; whoever opens by path may get the chain of one
//! generation and the key of the next. A plain directory has no such moment: there a set counts as read if nothing about its
//! files changed meanwhile, and the [keeper](crate::keeper) reads it only once it has been left alone for a while. So it does with
//! what somebody other than a kubelet changes in place in the directory that `..data` leads to.
//!
//! Elsewhere links are followed, by hand, and with each file's content comes the [`Route`] by which it was read: every directory that was
//! searched, and who could search it.
//!
//! Beneath [`FileSet::volumes`] is what somebody else may have written. There a read never leaves the volume, whose files are one
//! set, also in subdirectories: a kubelet swaps them through the one `..data` at its root.
//!
//! ```text
//! files by directory ─→ open ..data (or the directory) ─→ openat each file ─→ still the same? ─ yes ─→ Reading
//!                          ↑                                                        │
//!                          └───────────────── no, at most 5 times ──────────────────┘
//! ```
//!
//! No file is opened before it was looked at, so no device and no FIFO ever is, and no descriptor outlives the read: the
//! kubelet could not unmount a volume that is held open. Nor is anything parsed meanwhile. A mount that is dead does block; that is
//! the keeper's to survive.

mod access;
mod directory;
mod entrance;
mod file;
mod node;
mod place;
mod route;
mod stamp;
mod volume;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

pub use access::Access;
pub use file::{FILE_LIMIT, KeyAccess, ReadError, read_beneath};
pub use place::DATA;
pub(crate) use route::Directories;
pub use route::{Directory, Route};
pub use stamp::Stamp;

pub(crate) use place::{Place, by_place, is_on_the_node};
pub(crate) use volume::lookups;

use crate::spec::FileSet;
use directory::FileOutcome;
use walk::ReachedFile;

/// The result of one read of an identity's files.
#[derive(Debug)]
pub struct Reading {
    /// The chain; of a combined file, the whole file. Absent without a credential.
    pub chain: Option<FileRead>,
    /// The private key. Absent for a combined file and without a credential.
    pub key: Option<FileRead>,
    /// The bundle. Absent without one.
    pub bundle: Option<FileRead>,
    /// The certificate revocation lists, in the order of [`FileSet::crls`].
    pub crls: Vec<FileRead>,
    /// The bundles of federated trust domains, in the order of [`FileSet::federated`].
    pub federated: Vec<FileRead>,
    /// The stamp of the files when they were read.
    pub stamp: Stamp,
}

/// One file of a reading.
pub struct FileRead {
    /// The file.
    pub path: PathBuf,
    /// Its content, wiped when it is dropped; or why there is none.
    pub outcome: Result<Zeroizing<Vec<u8>>, ReadError>,
    /// The permissions to read it then; absent without a content.
    pub access: Option<Arc<KeyAccess>>,
    /// The way to it, as far as it led.
    pub route: Route,
    /// It is mounted by itself, and was deleted where it is mounted from: whatever took its place there is not seen here.
    pub is_stale_mount: bool,
}

/// Looks at the files without reading them. Blocks for as long as the file system takes to answer, and never on a FIFO.
#[must_use]
pub fn visit(files: &FileSet) -> Visit<'_> {
    let mut places: Vec<_> = by_place(files);
    if places.len() == 1
        && let Some((place, paths)) = places.pop()
    {
        let open = directory::Visit::to(place, paths);
        return Visit { files, stamp: Stamp::new(vec![open.stamp().clone()]), open: Some(open) };
    }
    let stamps = places.into_iter().map(|(place, paths)| directory::Visit::to(place, paths).stamp().clone());
    Visit { files, stamp: Stamp::new(stamps.collect()), open: None }
}

/// Reads the files. Blocks as [`visit`] does.
#[must_use]
pub fn read(files: &FileSet) -> Reading {
    visit(files).read()
}

/// An identity's files, looked at: what they look like tells whether they are worth to be read, and where they are in one place one walk
/// serves both.
pub struct Visit<'a> {
    files: &'a FileSet,
    stamp: Stamp,
    /// The files of the one place, still open. Of several places none is: while one does not answer, another is to be unmounted.
    open: Option<directory::Visit<'a>>,
}

impl Visit<'_> {
    /// The stamp of the files: equal stamps mean that nothing changed.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Reads the files. Those that changed since they were looked at are looked at anew.
    #[must_use]
    pub fn read(mut self) -> Reading {
        let paths: Vec<&Path> = self.files.paths().collect();
        let mut outcomes: Vec<_> = paths.iter().map(|_| None).collect();
        let mut stamps = Vec::with_capacity(1);
        for group in place::groups(self.files, &paths) {
            let open = self.open.take().unwrap_or_else(|| directory::Visit::to(group.place, group.paths(&paths)));
            let read = open.read();
            stamps.push(read.stamp);
            for (file, outcome) in group.files.into_iter().zip(read.outcomes) {
                outcomes[file] = Some(outcome);
            }
        }
        // A file that was not asked for in any place is not there; each path has a place.
        let outcomes =
            outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| FileOutcome::without(ReadError::Missing)));
        Reading::of(self.files, outcomes, Stamp::new(stamps))
    }
}

/// Looks at the way to the files as it is now, in the way in which [`read`] goes it, and opens no file for reading. Blocks as that does.
///
/// None where no file of them decides who may have the identity, or that is in a volume: who may read there is not told by permissions.
#[must_use]
pub fn look(files: &FileSet) -> Option<Sight> {
    let deciding = files.deciding()?;
    let (mut sight, mut others) = (None, Vec::new());
    for (place, paths) in by_place(files) {
        // Nothing in a volume leads out of it, and no directory of it is known.
        let Place::Directory(directory) = place else { continue };
        let looks = directory::looks(directory, &paths);
        for (path, (found, route, end)) in paths.iter().zip(looks) {
            if *path != deciding || sight.is_some() {
                others.push(route);
                continue;
            }
            let access = |(looked, is_kubelets): (ReachedFile, bool)| {
                file::regular(&looked.stat)?;
                let access = Access::of(&*looked.descriptor, &looked.stat);
                Ok(KeyAccess { access, filesystem: looked.filesystem, is_kubelets, route: route.clone() })
            };
            let file = end.unwrap_or_else(|| deciding.to_owned());
            sight = Some(Sight { file, access: found.and_then(access), own: route.clone(), route });
        }
    }
    sight.map(|sight| Sight { route: Route::of_set(&sight.route, &others), ..sight })
}

/// The way to an identity's files, as it is now.
#[derive(Debug)]
pub struct Sight {
    /// Where the way to the file ends that decides who may have the identity: that file, or the first name that leads nowhere.
    pub file: PathBuf,
    /// The permissions to read it; or why there are none.
    pub access: Result<KeyAccess, ReadError>,
    /// The directories on the way to it.
    pub own: Route,
    /// The same, and those on the way to other files behind links.
    pub route: Route,
}

impl Reading {
    /// The outcomes of the files, in the order of [`FileSet::paths`].
    fn of(files: &FileSet, outcomes: impl Iterator<Item = FileOutcome>, stamp: Stamp) -> Self {
        let mut read = files.paths().zip(outcomes).map(|(path, outcome)| FileRead::of(path, outcome));
        let [chain, key, bundle] = files.single().map(|path| path.and_then(|_| read.next()));
        let crls = read.by_ref().take(files.crls.len()).collect();
        Self { chain, key, bundle, crls, federated: read.collect(), stamp }
    }

    /// A reading of files that never came to rest: each is [`ReadError::Torn`].
    #[must_use]
    pub fn torn(files: &FileSet, stamp: Stamp) -> Self {
        Self::of(files, std::iter::repeat_with(|| FileOutcome::without(ReadError::Torn)), stamp)
    }

    /// Whether a file could not be read for a reason that may pass without its stamp changing: it is to be tried again.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.files().any(|file| matches!(file.outcome, Err(ReadError::Torn | ReadError::Io(_))))
    }

    /// The files of which a mount shows what is no more.
    pub(crate) fn stale_mounts(&self) -> impl Iterator<Item = &Path> {
        self.files().filter(|file| file.is_stale_mount).map(|file| file.path.as_path())
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &FileRead> {
        let single = [&self.chain, &self.key, &self.bundle].into_iter().flatten();
        single.chain(&self.crls).chain(&self.federated)
    }
}

impl FileRead {
    /// A content that did not come from a file of its own, under the name that it is told of by.
    #[must_use]
    pub fn given(path: PathBuf, content: Zeroizing<Vec<u8>>) -> Self {
        Self { path, outcome: Ok(content), access: None, route: Route::default(), is_stale_mount: false }
    }

    fn of(path: &Path, outcome: FileOutcome) -> Self {
        let FileOutcome { content, route } = outcome;
        let read = content.as_ref().ok();
        let access = read.map(|content| Arc::clone(&content.access));
        let is_stale_mount = read.is_some_and(|content| content.is_stale_mount);
        Self { path: path.to_owned(), outcome: content.map(|content| content.bytes), access, route, is_stale_mount }
    }
}

impl fmt::Debug for FileRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRead")
            .field("path", &self.path)
            .field("outcome", &self.outcome.as_ref().map(|content| content.len()))
            .field("access", &self.access)
            .field("route", &self.route)
            .field("is_stale_mount", &self.is_stale_mount)
            .finish()
    }
}
