//! The metadata of files, by which changes are seen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use rustix::io::Errno;

/// The metadata of an identity's files. Two equal stamps: nothing was swapped, replaced or written between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Arc<[DirectoryStamp]>);

/// The metadata of the files of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DirectoryStamp {
    /// The directory that `..data` leads to, and each file in it. A kubelet never changes one; others do.
    Kubelet(FileStamp, Box<[Result<FileStamp, Errno>]>, RouteMark),
    /// Each file of the directory, and which one that is.
    Plain(Result<DirectoryId, Errno>, Box<[Result<FileStamp, Errno>]>, RouteMark),
}

/// A hash of the permissions to search the directories on the way to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RouteMark(pub(super) u64);

impl DirectoryStamp {
    /// Each file.
    pub(super) fn files(&self) -> &[Result<FileStamp, Errno>] {
        match self {
            Self::Kubelet(_, files, _) | Self::Plain(_, files, _) => files,
        }
    }
}

/// The identity of a directory, whatever became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectoryId {
    device: u64,
    inode: u64,
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

    /// When a file last changed that may still be written, by its ctime: content, permissions or, by most file systems, name. None
    /// where there is no such file.
    ///
    /// Those of a plain directory may be, and those behind `..data` where `before` has other files in the same directory: they are
    /// not a kubelet's, whose every swap brings a whole directory.
    #[must_use]
    pub fn last_change(&self, before: Option<&Self>) -> Option<SystemTime> {
        let changing = self.0.iter().enumerate().flat_map(|(i, directory)| match directory {
            DirectoryStamp::Plain(_, files, _) => &files[..],
            DirectoryStamp::Kubelet(data, files, _) => match before.and_then(|before| before.0.get(i)) {
                Some(DirectoryStamp::Kubelet(was, former, _)) if was.id() == data.id() && former != files => &files[..],
                _ => &[],
            },
        });
        changing.filter_map(|file| file.as_ref().ok()).map(FileStamp::changed_at).max()
    }

    /// Whether a plain file, or a directory, is missing. A mount in its place may look the same for the time being.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.iter().any(|directory| match directory {
            DirectoryStamp::Kubelet(..) => false,
            DirectoryStamp::Plain(_, files, _) => files.iter().any(Result::is_err),
        })
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

    /// The identity of the directory.
    pub(super) fn id(&self) -> DirectoryId {
        DirectoryId { device: self.device, inode: self.inode }
    }

    fn changed_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    }
}
