//! Kernel queries about a Unix socket's peer that no crate wraps.
#![expect(unsafe_code, reason = "no crate wraps SO_PEERGROUPS and PIDFD_GET_INFO")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The most groups a process can have (NGROUPS_MAX).
const GROUPS_LIMIT: usize = 65_536;

/// Room for the groups of nearly every process.
const USUAL_GROUPS: usize = 64;

/// The supplementary groups of the process that connected `socket`.
///
/// # Errors
///
/// `socket` is no connected Unix socket, or the kernel is older than 4.13.
pub(super) fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; USUAL_GROUPS];
    loop {
        match fill(socket.as_fd(), &mut groups)? {
            Filled::Count(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // A connected peer's groups never change, so this comes once.
            Filled::Needs(count) if count > groups.len() && count <= GROUPS_LIMIT => groups.resize(count, 0),
            Filled::Needs(_) => return Err(io::Error::from_raw_os_error(libc::ERANGE)),
        }
    }
}

enum Filled {
    /// So many groups were written.
    Count(usize),
    /// There are so many groups; none was written.
    Needs(usize),
}

fn fill(socket: BorrowedFd<'_>, groups: &mut [u32]) -> io::Result<Filled> {
    let mut length = libc::socklen_t::try_from(size_of_val(groups)).map_err(io::Error::other)?;
    // SAFETY: the pointer is valid for writes of `length` bytes, the kernel writes at most that many, whole gid_t values (u32),
    // and stores the length used or needed in `length`, which outlives the call. The descriptor is borrowed, hence open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let count = length as usize / size_of::<u32>();
    match result {
        0 => Ok(Filled::Count(count.min(groups.len()))),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ERANGE) => Ok(Filled::Needs(count)),
            error => Err(error),
        },
    }
}

/// The number of the process behind `pidfd`; 0 where it was reaped, or lives in a PID namespace that cannot be seen from here.
///
/// # Errors
///
/// `ESRCH`: the process is gone. `ENOTTY` or `EINVAL`: the kernel is older than 6.13.
pub(super) fn pid_behind(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: every field is an integer, for which zero is a value.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = u64::from(libc::PIDFD_INFO_PID);
    // SAFETY: the request carries the size of the structure, so the kernel writes no more than that, and the structure outlives
    // the call. The descriptor is borrowed, hence open; of another kind of descriptor the request is unknown.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.pid)
}
