//! One open file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::access::{self, Access};
use super::route::Route;
use super::stamp::FileStamp;
use super::walk::ReachedFile;
use crate::confined::{self, Links};

/// The largest file that is read, in bytes. A Secret as a whole is limited to the same 1 MiB.
pub const FILE_LIMIT: u64 = 1 << 20;

/// How a file is opened for reading.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Why a file has no content to offer. Names neither the file nor anything in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is none of this name.
    #[error("there is no such file")]
    Missing,
    /// A file is in the place of its directory.
    #[error("what should be its directory is a file")]
    NotADirectory,
    /// Its directory is mounted by itself, and was deleted where it is mounted from: no file will ever appear in it.
    #[error("its directory is mounted, and was deleted where it is mounted from")]
    StaleMount,
    /// A directory.
    #[error("is a directory and not a file")]
    IsADirectory,
    /// A symbolic link that leads back to itself.
    #[error("is a symbolic link that leads in a circle")]
    LinkLoop,
    /// A FIFO, socket or device.
    #[error("not a regular file")]
    NotRegular,
    /// Larger than [`FILE_LIMIT`].
    #[error("{size} bytes are more than the {limit} that are read")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The way to it leads through procfs, in which every process shows its own files.
    #[error("its path leads through procfs, by which no file is read")]
    ThroughProcfs,
    /// `/proc` is not mounted, by which a file is opened after it was looked at.
    #[error("/proc is not mounted, without which no file can be looked at before it is opened")]
    WithoutProc,
    /// It is beneath one of [`FileSet::volumes`](crate::spec::FileSet::volumes), and what its path leads to is not.
    #[error("it is a symbolic link, or its path leads out of the volume")]
    OutsideVolume,
    /// It is beneath one of them, and the kernel cannot keep a read within it: `openat2` came with Linux 5.6.
    #[error("it is in a volume that this kernel cannot keep a read within (openat2, Linux 5.6)")]
    NotConfinable,
    /// It changed whenever it was read, or a file beside it did.
    #[error("it kept changing while it was read")]
    Torn,
    /// The system refused, for instance for lack of permission.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Missing,
            // The answer to opening a socket, or a device that has no driver.
            Errno::NXIO | Errno::NODEV => Self::NotRegular,
            Errno::LOOP => Self::LinkLoop,
            errno => Self::Io(errno.into()),
        }
    }
}

/// The permissions to read a file when it was read: its own, and those to search every directory on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccess {
    /// The owner and permissions of the file.
    pub access: Access,
    /// The kind of its file system, by its magic number (statfs(2)).
    pub filesystem: u32,
    /// Whether `..data` led to it: a kubelet put it there, and chose the permissions.
    pub is_kubelets: bool,
    /// The way by which it was read.
    pub route: Route,
}

/// The content of a file, at one moment.
pub(super) struct Content {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The permissions to read it.
    pub(super) access: Arc<KeyAccess>,
    pub(super) stamp: FileStamp,
    /// It is mounted by itself, and was deleted where it is mounted from.
    pub(super) is_stale_mount: bool,
}

/// Reads a file that was looked at, to which this way led, and `..data` if it is a kubelet's. Only a regular file is opened.
pub(super) fn read(looked: &ReachedFile, route: &Route, is_kubelets: bool) -> Result<Content, ReadError> {
    let size = size(&looked.stat)?;
    let file = open(looked.descriptor.as_fd())?;
    let bytes = content(file.as_fd(), size)?;
    let access = Access::of(&file, &looked.stat);
    // A change of owner, mode or ACL is a change of the file.
    let after = rustix::fs::fstat(&file)?;
    let stamp = FileStamp::of(&after);
    if stamp != FileStamp::of(&looked.stat) {
        return Err(ReadError::Torn);
    }
    let is_stale_mount = is_stale_mount(file.as_fd(), &after);
    let access = KeyAccess { access, filesystem: looked.filesystem, is_kubelets, route: route.clone() };
    Ok(Content { bytes, access: access.into(), stamp, is_stale_mount })
}

/// Reads a file beneath a directory that somebody else may write, if it is no larger than what is `left` to be read there in bytes; its
/// size is taken off that. Only a regular file is opened.
///
/// # Errors
///
/// There is none that may be read, or it was changed meanwhile.
pub fn read_beneath(
    directory: impl AsFd,
    name: &str,
    links: Links,
    left: &mut u64,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let looked = confined::open(directory, name, OFlags::PATH | OFlags::CLOEXEC, links)?;
    let size = size(&rustix::fs::fstat(&looked)?)?;
    *left = left.checked_sub(size).ok_or(ReadError::TooLarge { size, limit: *left })?;
    content(open(looked.as_fd())?.as_fd(), size)
}

/// Opens a file for reading that was looked at.
fn open(looked: BorrowedFd<'_>) -> Result<OwnedFd, ReadError> {
    rustix::fs::openat(CWD, access::magic_link(looked), READ, Mode::empty()).map_err(|errno| match errno {
        // The file itself is open, whatever became of its name.
        Errno::NOENT | Errno::NOTDIR => ReadError::WithoutProc,
        errno => ReadError::Io(errno.into()),
    })
}

/// Whether an open file or directory is mounted by itself, and not only a name in a directory, and has no name any more where it is mounted
/// from. A link count of zero says nothing otherwise: it may have been replaced after it was opened, and some FUSE file systems count no
/// links. Kernels before Linux 5.8 do not tell.
pub(super) fn is_stale_mount(file: BorrowedFd<'_>, stat: &Stat) -> bool {
    let told = || rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
    stat.st_nlink == 0 && told().is_ok_and(|told| told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether it is a file that may be read, whatever its size.
pub(super) fn regular(stat: &Stat) -> Result<(), ReadError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(ReadError::IsADirectory),
        // Only in a volume are links not followed.
        FileType::Symlink => Err(ReadError::OutsideVolume),
        _ => Err(ReadError::NotRegular),
    }
}

/// The size in bytes of what may be read.
fn size(stat: &Stat) -> Result<u64, ReadError> {
    regular(stat)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size > FILE_LIMIT { Err(ReadError::TooLarge { size, limit: FILE_LIMIT }) } else { Ok(size) }
}

/// Exactly `size` bytes. The buffer never grows: a reallocation would leave a copy of a key behind, unwiped.
fn content(file: BorrowedFd<'_>, size: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let size = usize::try_from(size).map_err(|_| ReadError::Torn)?;
    let mut content = Zeroizing::new(vec![0; size]);
    let mut filled = 0;
    while filled < size {
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut content[filled..]))? {
            0 => return Err(ReadError::Torn),
            count => filled += count,
        }
    }
    let mut beyond = Zeroizing::new([0]);
    match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *beyond))? {
        0 => Ok(content),
        _ => Err(ReadError::Torn),
    }
}
