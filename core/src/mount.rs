//! One coherent read of an identity's files.
//!
//! A mounted Secret changes by one rename: the kubelet writes a new directory and swaps the symlink `..data` to it. So `..data`
//! is resolved once, and every file is opened relative to that one directory; whoever opens by path may get the chain of one
//! generation and the key of the next. A plain directory has no such moment: there a set counts as read if nothing about its
//! files changed meanwhile, and the [keeper](crate::keeper) reads it only once it has been left alone for a while.
//!
//! ```text
//! files by directory ─→ open ..data (or the directory) ─→ openat each file ─→ still the same? ─ yes ─→ Reading
//!                          ↑                                                        │
//!                          └───────────────── no, at most 5 times ──────────────────┘
//! ```
//!
//! Nothing here waits for a writer (a FIFO is opened without blocking and refused), and no descriptor outlives the read: the
//! kubelet could not unmount a volume that is held open. A mount that is dead does block; that is the keeper's to survive.

mod directory;
mod file;
mod stamp;

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use file::{FILE_LIMIT, ReadError};
pub use stamp::Stamp;

pub(crate) use directory::{DATA, directory_of};

use crate::spec::FileSet;

/// What one read of an identity's files gave.
#[derive(Debug)]
pub struct Reading {
    /// The chain; of a combined file, the whole file. Absent without a credential.
    pub chain: Option<FileRead>,
    /// The private key. Absent for a combined file and without a credential.
    pub key: Option<FileRead>,
    /// The bundle. Absent without one.
    pub bundle: Option<FileRead>,
    /// What the files looked like when they were read.
    pub stamp: Stamp,
}

/// One file of a reading.
pub struct FileRead {
    /// The file.
    pub path: PathBuf,
    /// Its content, wiped when it is dropped; or why there is none.
    pub outcome: Result<Zeroizing<Vec<u8>>, ReadError>,
}

/// Reads the files. Blocks for as long as the file system takes to answer, and never on a FIFO.
#[must_use]
pub fn read(files: &FileSet) -> Reading {
    let roles = Roles(files.roles());
    let mut outcomes = [const { None }; ROLES];
    let mut stamps = Vec::with_capacity(1);
    for group in roles.by_directory() {
        let read = directory::read(group.directory, &group.paths());
        stamps.push(read.stamp);
        for (role, outcome) in group.roles().zip(read.outcomes) {
            outcomes[role] = roles.0[role].map(|path| FileRead { path: path.to_owned(), outcome });
        }
    }
    let [chain, key, bundle] = outcomes;
    Reading { chain, key, bundle, stamp: Stamp::new(stamps) }
}

/// Looks at the files without reading them: equal stamps mean that nothing changed. Blocks as [`read`] does.
#[must_use]
pub fn stamp(files: &FileSet) -> Stamp {
    let roles = Roles(files.roles());
    Stamp::new(roles.by_directory().map(|group| stamp::directory(group.directory, &group.paths())).collect())
}

impl Reading {
    /// A reading of files that never came to rest: each is [`ReadError::Torn`].
    #[must_use]
    pub fn torn(files: &FileSet, stamp: Stamp) -> Self {
        let [chain, key, bundle] = files
            .roles()
            .map(|path| path.map(|path| FileRead { path: path.to_owned(), outcome: Err(ReadError::Torn) }));
        Self { chain, key, bundle, stamp }
    }

    /// Whether a file could not be read for a reason that may pass without its stamp changing: it is to be tried again.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        [&self.chain, &self.key, &self.bundle]
            .into_iter()
            .flatten()
            .any(|file| matches!(file.outcome, Err(ReadError::Torn | ReadError::Io(_))))
    }
}

impl fmt::Debug for FileRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRead")
            .field("path", &self.path)
            .field("outcome", &self.outcome.as_ref().map(|content| content.len()))
            .finish()
    }
}

const ROLES: usize = 3;

/// The files by role: chain, key, bundle.
struct Roles<'a>([Option<&'a Path>; ROLES]);

/// The files of one directory, read through one opening of it.
struct Group<'a> {
    directory: &'a Path,
    files: [Option<&'a Path>; ROLES],
}

impl<'a> Roles<'a> {
    fn by_directory(&self) -> impl Iterator<Item = Group<'a>> {
        let directories = self.0.map(|path| path.map(directory_of));
        (0..ROLES).filter_map(move |first| {
            let directory = directories[first]?;
            let seen = directories[..first].contains(&Some(directory));
            let mut files = self.0;
            for (file, of) in files.iter_mut().zip(directories) {
                *file = file.filter(|_| of == Some(directory));
            }
            (!seen).then_some(Group { directory, files })
        })
    }
}

impl<'a> Group<'a> {
    fn roles(&self) -> impl Iterator<Item = usize> {
        (0..ROLES).filter(|role| self.files[*role].is_some())
    }

    fn paths(&self) -> Vec<&'a Path> {
        self.files.iter().copied().flatten().collect()
    }
}
