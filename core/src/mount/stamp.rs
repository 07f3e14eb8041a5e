//! What files look like from outside.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use rustix::io::Errno;

/// What an identity's files look like from outside. Two equal stamps: nothing was swapped, replaced or written between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Arc<[DirectoryStamp]>);

/// What the files of one directory look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DirectoryStamp {
    /// The directory that `..data` leads to. A kubelet never changes a file in it.
    Kubelet(FileStamp),
    /// Each file.
    Plain(Vec<Result<FileStamp, Errno>>),
}

/// One file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn new(directories: Vec<DirectoryStamp>) -> Self {
        Self(directories.into())
    }

    /// When a file of a plain directory last changed, by its ctime: content, permissions or, by most file systems, name. None
    /// where there is no such file.
    #[must_use]
    pub fn last_change(&self) -> Option<SystemTime> {
        let files = self.0.iter().flat_map(|directory| match directory {
            DirectoryStamp::Kubelet(_) => [].as_slice(),
            DirectoryStamp::Plain(files) => files.as_slice(),
        });
        files.filter_map(|file| file.as_ref().ok()).map(FileStamp::changed_at).max()
    }
}

impl FileStamp {
    #[expect(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "the types of these fields differ between architectures"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            size: stat.st_size.into(),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// Whether both are the same directory, whatever became of it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    fn changed_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    }
}
