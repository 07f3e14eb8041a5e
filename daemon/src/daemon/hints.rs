//! Hints that a directory came or went where identities are looked for, so that a new one need not wait for the tick.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::warn;

/// Directories that come and go, by creation, renaming or removal.
const HEARD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// Room for some hundred events; what is left is read the next time.
const BUFFER: usize = 8 * 1024;

/// An inotify instance on the parents of the watched patterns. Without one the tick carries alone.
#[derive(Debug)]
pub(super) struct Hints(Option<AsyncFd<OwnedFd>>);

impl Hints {
    /// Hears nothing yet.
    pub(super) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the descriptor is owned, and stays the same"
        )]
        let open = || -> io::Result<_> {
            let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            AsyncFd::with_interest(instance, Interest::READABLE)
        };
        Self(open().inspect_err(|error| warn!(%error, "new directories are only found at the tick")).ok())
    }

    /// A descriptor for [`place`], which may block.
    pub(super) fn descriptor(&self) -> Option<OwnedFd> {
        self.0.as_ref().and_then(|instance| instance.get_ref().try_clone().ok())
    }

    /// Waits for something to happen.
    pub(super) async fn heard(&self) {
        let Some(instance) = &self.0 else { return std::future::pending().await };
        let Ok(mut ready) = instance.readable().await else { return std::future::pending().await };
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = Reader::new(instance.get_ref(), &mut buffer);
        // Which events they are says no more than that there are some.
        while events.next().is_ok() {}
        ready.clear_ready();
    }
}

/// Hears what happens in `directory` from now on, where it is there. Doing so again changes nothing.
pub(super) fn place(instance: &OwnedFd, directory: &Path) {
    // A directory that is not there yet is found at a tick, and heard from then on.
    let _ = inotify::add_watch(instance, directory, HEARD);
}
