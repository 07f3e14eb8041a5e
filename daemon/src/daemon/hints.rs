//! Hints that a directory, a volume or a mount came or went where identities are looked for, so that a new one need not wait for the
//! tick.
//!
//! A watch holds no mount: it hinders nobody from unmounting, and ends with what it is on. That something is mounted or unmounted is
//! no event of a directory; the kernel tells it of the list of mounts as a whole.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evercert_core::mounts::MountChanges;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use crate::pods::{Again, Listen};

/// Directories that come and go, by creation, renaming or removal.
const HEARD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// What happens in a volume: also files that are written in place.
const HEARD_IN_VOLUME: WatchFlags = HEARD.union(WatchFlags::CLOSE_WRITE);

/// Room for some hundred events; what is left is read the next time.
const BUFFER: usize = 8 * 1024;

/// An inotify instance, and the list of mounts. Without them the tick carries alone.
#[derive(Debug)]
pub(super) struct Hints {
    instance: Option<AsyncFd<Arc<OwnedFd>>>,
    mounts: Option<MountChanges>,
    volumes: Arc<Mutex<Volumes>>,
}

/// The volumes that are heard from.
#[derive(Debug, Default)]
struct Volumes {
    /// Their roots, by the number of the watch.
    watched: HashMap<i32, PathBuf>,
    touched: HashSet<PathBuf>,
    /// Whether events were lost.
    lost: bool,
}

impl Hints {
    /// Hears nothing of directories yet.
    pub(super) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the descriptor is owned, and stays the same"
        )]
        let instance = || -> io::Result<_> {
            let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            AsyncFd::with_interest(Arc::new(instance), Interest::READABLE)
        };
        let mounts = MountChanges::open();
        Self {
            instance: instance().inspect_err(|error| warn!(%error, "new directories are only found at the tick")).ok(),
            mounts: mounts.inspect_err(|error| warn!(%error, "new mounts are only found at the tick")).ok(),
            volumes: Arc::default(),
        }
    }

    /// What has further directories heard; may block.
    pub(super) fn ear(&self) -> Ear {
        let instance = self.instance.as_ref().map(|instance| Arc::clone(instance.get_ref()));
        Ear { instance, volumes: Arc::clone(&self.volumes) }
    }

    /// Waits for something to happen.
    pub(super) async fn heard(&self) {
        tokio::select! {
            () = self.directories() => {}
            () = self.mounts() => {}
        }
    }

    async fn directories(&self) {
        let Some(instance) = &self.instance else { return std::future::pending().await };
        let mut is_news = false;
        while !is_news {
            let Ok(mut ready) = instance.readable().await else { return std::future::pending().await };
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut events = Reader::new(instance.get_ref(), &mut buffer);
            while let Ok(event) = events.next() {
                is_news |= lock(&self.volumes).heard(event.wd(), event.events());
            }
            ready.clear_ready();
        }
    }

    async fn mounts(&self) {
        match &self.mounts {
            Some(mounts) => mounts.changed().await,
            None => std::future::pending().await,
        }
    }
}

impl Volumes {
    /// Whether an event says more than that a watch has ended, as that of a settled volume does.
    fn heard(&mut self, watch: i32, what: ReadFlags) -> bool {
        self.lost |= what.contains(ReadFlags::QUEUE_OVERFLOW);
        let is_end = what.contains(ReadFlags::IGNORED);
        let root = if is_end { self.watched.remove(&watch) } else { self.watched.get(&watch).cloned() };
        let is_news = !is_end || root.is_some();
        self.touched.extend(root);
        is_news
    }
}

/// Has directories heard, from a thread that may block.
#[derive(Debug)]
pub(super) struct Ear {
    instance: Option<Arc<OwnedFd>>,
    volumes: Arc<Mutex<Volumes>>,
}

impl Ear {
    /// In which volumes something happened since this was asked last.
    pub(super) fn touched(&self) -> Again {
        let mut volumes = lock(&self.volumes);
        Again { all: mem::take(&mut volumes.lost), touched: mem::take(&mut volumes.touched) }
    }
}

impl Listen for Ear {
    fn directory(&self, directory: &Path) {
        let Some(instance) = &self.instance else { return };
        // A directory that is not there yet is found at a tick, and heard from then on. Doing so again changes nothing.
        let _ = inotify::add_watch(instance, directory, HEARD.union(WatchFlags::MOVE_SELF));
    }

    fn volume(&self, root: &Path) {
        let Some(instance) = &self.instance else { return };
        // One that is not there any more is missed by nobody.
        let Ok(watch) = inotify::add_watch(instance, root, HEARD_IN_VOLUME) else { return };
        lock(&self.volumes).watched.insert(watch, root.to_owned());
    }

    fn settled(&self, root: &Path) {
        let Some(instance) = &self.instance else { return };
        let mut volumes = lock(&self.volumes);
        let Some(watch) = volumes.watched.iter().find_map(|(watch, of)| (of == root).then_some(*watch)) else { return };
        volumes.watched.remove(&watch);
        // It may have ended by itself.
        let _ = inotify::remove_watch(instance, watch);
    }
}

fn lock(volumes: &Mutex<Volumes>) -> MutexGuard<'_, Volumes> {
    // Each change is a single step; a panic leaves no half of one.
    volumes.lock().unwrap_or_else(PoisonError::into_inner)
}
