//! Who could read a file when it was read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use rustix::io::Errno;

/// The extended attribute that holds a file's access ACL.
const ACL_ATTRIBUTE: &str = "system.posix_acl_access";

/// The largest ACL that is noted, in bytes: 511 entries.
const ACL_LIMIT: usize = 4096;

/// Who could read a file when it was read, and which file that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccess {
    /// Which file it was.
    pub id: FileId,
    /// Who could read it.
    pub access: Access,
}

/// A file's discretionary access control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The owner's user id.
    pub owner: u32,
    /// The owning group's id.
    pub group: u32,
    /// The permission bits.
    pub mode: u32,
    /// The POSIX access ACL as the kernel gives it (`linux/posix_acl_xattr.h`); absent where there is none. Empty, which is no ACL and
    /// grants nobody anything, where there is one that cannot be read or is larger than 4096 bytes.
    pub acl: Option<Box<[u8]>>,
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The number of its file system.
    pub device: u64,
    /// Its number there, which another file may get when it is gone.
    pub inode: u64,
    /// When it was made; absent where the file system does not note it.
    pub birth: Option<SystemTime>,
}

impl KeyAccess {
    /// Who can read an open file. That nothing changes meanwhile is the caller's to see.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o7777;
        let access = Access { owner: metadata.uid(), group: metadata.gid(), mode, acl: acl(file) };
        Ok(Self { id: FileId::of(&metadata), access })
    }
}

impl FileId {
    /// Which file this metadata is of.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), birth: metadata.created().ok() }
    }

    /// Whether both are certainly the same file, and not one that got the number of another.
    #[must_use]
    pub fn is_certainly(&self, other: &Self) -> bool {
        self.birth.is_some() && self == other
    }
}

fn acl(file: &File) -> Option<Box<[u8]>> {
    let mut buffer = [0_u8; ACL_LIMIT];
    match rustix::fs::fgetxattr(file, ACL_ATTRIBUTE, &mut buffer[..]) {
        Ok(length) => Some(buffer[..length].into()),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => None,
        Err(_) => Some(Box::default()),
    }
}
