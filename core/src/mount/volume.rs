//! A volume that somebody else may write: what is in it is read, and nothing that it leads to.
//!
//! The root is entered by its path, which is the kubelet's, with whatever is mounted there; from then on the kernel resolves every name
//! beneath it (`openat2`). No link, no `..` and no mount leads out, and the last component is no link at all. The target of a name is
//! looked at before it is opened for reading, so that no device and no FIFO ever is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::entrance::{Entered, Entrance, LookedAt};
use super::file::ReadError;
use super::place::DATA;
use super::route::Route;
use super::stamp::FileStamp;
use super::walk::{LOOK, ReachedFile};
use crate::confined::{self, Links, SEARCHED};

/// A volume that was entered.
pub(super) struct Volume<'a> {
    path: &'a Path,
    root: OwnedFd,
}

impl<'a> Volume<'a> {
    /// Enters the volume at `path`. A root that is a symbolic link is none.
    pub(super) fn enter(path: &'a Path) -> Result<Self, Errno> {
        match rustix::fs::openat(CWD, path, SEARCHED | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(root) => Ok(Self { path, root }),
            Err(Errno::NOTDIR) if rustix::fs::readlink(path, Vec::new()).is_ok() => Err(Errno::LOOP),
            Err(errno) => Err(errno),
        }
    }

    /// The path of a file from the root, or from the directory that `..data` leads to.
    fn relative<'f>(&self, file: &'f Path) -> Result<&'f Path, Errno> {
        let file = file.strip_prefix(self.path).map_err(|_| Errno::XDEV)?;
        Ok(match file.components().next() {
            Some(Component::Normal(first)) if first == OsStr::new(DATA) => file.strip_prefix(DATA).unwrap_or(file),
            _ => file,
        })
    }

    /// Opens a file to be looked at.
    fn look_at(&self, directory: BorrowedFd<'_>, file: &Path) -> Result<OwnedFd, Errno> {
        beneath(directory, self.relative(file)?, LOOK)
    }
}

impl Entrance for Volume<'_> {
    type Opened = OwnedFd;

    fn enter(&self) -> Entered<OwnedFd> {
        match beneath(self.root.as_fd(), DATA, SEARCHED) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.enter_itself(),
            found => Entered::new(found, true, Route::unknown()),
        }
    }

    fn enter_itself(&self) -> Entered<OwnedFd> {
        Entered::new(beneath(self.root.as_fd(), ".", SEARCHED), false, Route::unknown())
    }

    fn still_leads_to(&self, _: &OwnedFd, stamp: &FileStamp) -> bool {
        let now = beneath(self.root.as_fd(), DATA, SEARCHED).and_then(rustix::fs::fstat);
        now.is_ok_and(|now| FileStamp::of(&now).id() == stamp.id())
    }

    fn look(&self, directory: &OwnedFd, file: &Path) -> LookedAt {
        let look = || {
            let descriptor = self.look_at(directory.as_fd(), file)?;
            let stat = rustix::fs::fstat(&descriptor)?;
            // Permissions do not tell who may read there.
            Ok(ReachedFile { descriptor: descriptor.into(), stat, filesystem: 0 })
        };
        LookedAt { found: look(), route: Route::unknown(), end: None }
    }

    fn refusal(errno: Errno) -> ReadError {
        match errno {
            Errno::XDEV | Errno::LOOP => ReadError::OutsideVolume,
            Errno::NOSYS => ReadError::NotConfinable,
            Errno::AGAIN => ReadError::Torn,
            errno => errno.into(),
        }
    }

    fn refusal_of_file(errno: Errno) -> ReadError {
        Self::refusal(errno)
    }
}

/// Tells of every directory in a volume that a name on the way to one of its files is looked up in, and of the names. It is open
/// for as long as it is told of, and none is told of that is not in the volume.
pub(crate) fn lookups(root: &Path, files: &[&Path], mut found: impl FnMut(BorrowedFd<'_>, &[&OsStr])) {
    let Ok(volume) = Volume::enter(root) else { return };
    let data = beneath(volume.root.as_fd(), DATA, SEARCHED);
    let Ok(directory) = data.or_else(|_| beneath(volume.root.as_fd(), ".", SEARCHED)) else { return };
    let mut names: BTreeMap<&Path, BTreeSet<&OsStr>> = BTreeMap::new();
    for file in files.iter().filter_map(|file| volume.relative(file).ok()) {
        for step in file.ancestors() {
            if let (Some(parent), Some(name)) = (step.parent(), step.file_name()) {
                names.entry(parent).or_default().insert(name);
            }
        }
    }
    for (parent, names) in names {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // A directory that is missing is waited for in its parent.
        if let Ok(parent) = beneath(directory.as_fd(), parent, SEARCHED) {
            found(parent.as_fd(), &Vec::from_iter(names));
        }
    }
}

/// Opens what a name leads to beneath a directory.
fn beneath(directory: BorrowedFd<'_>, name: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd, Errno> {
    confined::open(directory, name, flags, Links::Followed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_kernel_cannot_confine_nothing_is_read() {
        assert!(matches!(Volume::refusal(Errno::NOSYS), ReadError::NotConfinable));
        assert!(matches!(Volume::refusal(Errno::AGAIN), ReadError::Torn), "it may pass");
    }
}
