//! The kernel's word that something was mounted or unmounted.
//!
//! inotify hears nothing of a mount: the directory that it covers has not changed. The kernel tells of the list of mounts as a
//! whole.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The file in which the kernel lists the mounts of this process' namespace.
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Hears that the list of mounts changed, not how: a hint to look.
#[derive(Debug)]
pub struct MountChanges(AsyncFd<OwnedFd>);

impl MountChanges {
    /// Listens from now on, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// There is no `/proc`, or the process has as many descriptors as it may.
    pub fn open() -> io::Result<Self> {
        Self::of(File::open(MOUNTINFO)?.into())
    }

    /// Hears of priority data on this descriptor, which is how the kernel tells it.
    pub(crate) fn of(mounts: OwnedFd) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the descriptor is owned, and stays the same"
        )]
        AsyncFd::with_interest(mounts, Interest::PRIORITY).map(Self)
    }

    /// Waits until something was mounted or unmounted since the last call. Dropping the future loses nothing.
    pub async fn changed(&self) {
        match self.0.ready(Interest::PRIORITY).await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    }
}
