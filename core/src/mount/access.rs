//! The permissions of a file or directory.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::fs::Stat;
use rustix::io::Errno;

/// The extended attribute that holds a file's access ACL.
const ACL_ATTRIBUTE: &str = "system.posix_acl_access";

/// The largest ACL that is noted, in bytes: 511 entries.
const ACL_LIMIT: usize = 4096;

/// The discretionary access control of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Access {
    /// Of an open file or directory. The caller checks that nothing changes meanwhile.
    pub(super) fn of(file: impl AsFd, stat: &Stat) -> Self {
        let file = file.as_fd();
        let mut buffer = [0_u8; ACL_LIMIT];
        let acl = match rustix::fs::fgetxattr(file, ACL_ATTRIBUTE, &mut buffer) {
            // The kernel gives no attribute of what is open only to be looked at (O_PATH) but by a path, which takes several times as long.
            Err(Errno::BADF) => rustix::fs::getxattr(magic_link(file), ACL_ATTRIBUTE, &mut buffer),
            read => read,
        };
        let acl = match acl {
            Ok(length) => Some(buffer[..length].into()),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => None,
            Err(_) => Some(Box::default()),
        };
        Self { owner: stat.st_uid, group: stat.st_gid, mode: stat.st_mode & 0o7777, acl }
    }
}

/// The path by which what an open descriptor stands for can be opened anew, and nothing else.
pub(super) fn magic_link(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
