//! Kernel queries about a user namespace that no crate wraps (ioctl_nsfs(2)).
#![expect(unsafe_code, reason = "no crate wraps NS_GET_PARENT and NS_GET_OWNER_UID")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _};

/// The namespace above this one.
///
/// # Errors
///
/// It cannot be seen from this process's own, or no descriptor is left.
pub(super) fn parent(namespace: &File) -> io::Result<File> {
    // SAFETY: the request takes no argument; of another kind of descriptor it is unknown. The descriptor is borrowed, hence open.
    let descriptor = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_PARENT) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened this descriptor for this call, and nobody else knows of it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// The user that made this namespace.
///
/// # Errors
///
/// It is no user namespace.
pub(super) fn owner(namespace: &File) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t, which outlives the call. The descriptor is borrowed, hence open.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(uid) }
}
