//! Hints that a directory, a volume or a mount came or went where identities are looked for, so that a new one need not wait for the
//! tick.
//!
//! A watch holds no mount: it hinders nobody from unmounting, and ends with what it is on. A mount or unmount is no event of a
//! directory; the kernel tells it of the list of mounts as a whole.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evercert_core::mounts::MountChanges;
use evercert_core::watch::{Event, Events, Inotify, Watch};
use parking_lot::Mutex;
use rustix::fs::inotify::WatchFlags;
use tracing::warn;

use crate::inventory::pods::{Again, Listen};

/// Directories that come and go, by creation, renaming or removal.
const HEARD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// The events in a volume: also files that are written in place.
const HEARD_IN_VOLUME: WatchFlags = HEARD.union(WatchFlags::CLOSE_WRITE);

/// The events of an inotify instance, and the list of mounts. Without them the tick carries alone.
#[derive(Debug)]
pub(super) struct Hints {
    events: Option<Events>,
    mounts: Option<MountChanges>,
    volumes: Arc<Mutex<Volumes>>,
}

/// The volumes that are heard from.
#[derive(Debug, Default)]
struct Volumes {
    /// Their roots, by the number of the watch.
    watched: HashMap<Watch, PathBuf>,
    touched: HashSet<PathBuf>,
    /// Whether events were lost.
    lost: bool,
}

impl Hints {
    /// Hears nothing of directories yet.
    pub(super) fn new() -> Self {
        let (events, mounts) = (Inotify::open().and_then(Events::new), MountChanges::open());
        Self {
            events: events.inspect_err(|error| warn!(%error, "new directories are only found at the tick")).ok(),
            mounts: mounts.inspect_err(|error| warn!(%error, "new mounts are only found at the tick")).ok(),
            volumes: Arc::default(),
        }
    }

    /// The listener for further directories; may block.
    pub(super) fn ear(&self) -> Ear {
        let inotify = self.events.as_ref().map(|events| events.inotify().clone());
        Ear { inotify, volumes: Arc::clone(&self.volumes) }
    }

    /// Waits for something to happen. Dropping the future loses nothing.
    pub(super) async fn heard(&mut self) {
        let Self { events, mounts, volumes } = self;
        tokio::select! {
            () = directories(events, volumes) => {}
            () = changed(mounts.as_ref()) => {}
        }
    }
}

/// Waits for an event that says more than that a watch has ended.
async fn directories(events: &mut Option<Events>, volumes: &Mutex<Volumes>) {
    while let Some(hearing) = events
        && hearing.readable().await.is_ok()
    {
        let mut is_news = false;
        if let Err(error) = hearing.drain(|event| is_news |= volumes.lock().heard(event)) {
            warn!(%error, "inotify failed; new directories are only found at the tick");
            *events = None;
        }
        if is_news {
            return;
        }
    }
    std::future::pending().await
}

async fn changed(mounts: Option<&MountChanges>) {
    match mounts {
        Some(mounts) => mounts.changed().await,
        None => std::future::pending().await,
    }
}

impl Volumes {
    /// Whether an event says more than that a watch has ended, as that of a volume that is no longer listened to does.
    fn heard(&mut self, event: Event<'_>) -> bool {
        let (root, is_news) = match event {
            Event::Overflow => {
                self.lost = true;
                (None, true)
            }
            Event::Ended(watch) => {
                let root = self.watched.remove(&watch);
                let is_news = root.is_some();
                (root, is_news)
            }
            Event::Name(watch, _) | Event::Directory(watch) => (self.watched.get(&watch).cloned(), true),
        };
        self.touched.extend(root);
        is_news
    }
}

/// Has directories heard, from a thread that may block.
#[derive(Debug)]
pub(super) struct Ear {
    inotify: Option<Inotify>,
    volumes: Arc<Mutex<Volumes>>,
}

impl Ear {
    /// In which volumes something happened since this was asked last.
    pub(super) fn touched(&self) -> Again {
        let mut volumes = self.volumes.lock();
        Again { all: mem::take(&mut volumes.lost), touched: mem::take(&mut volumes.touched) }
    }
}

impl Listen for Ear {
    fn directory(&self, directory: &Path) {
        let Some(inotify) = &self.inotify else { return };
        // A directory that is not there yet is found at a tick, and heard from then on. Doing so again changes nothing.
        let _ = inotify.add(directory, HEARD.union(WatchFlags::MOVE_SELF));
    }

    fn volume(&self, root: &Path) {
        let Some(inotify) = &self.inotify else { return };
        // One that is not there any more is missed by nobody.
        let Ok(watch) = inotify.add(root, HEARD_IN_VOLUME) else { return };
        self.volumes.lock().watched.insert(watch, root.to_owned());
    }

    fn unlisten(&self, root: &Path) {
        let Some(inotify) = &self.inotify else { return };
        let mut volumes = self.volumes.lock();
        let Some(watch) = volumes.watched.iter().find_map(|(watch, of)| (of == root).then_some(*watch)) else { return };
        volumes.watched.remove(&watch);
        inotify.remove(watch);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use evercert_fixtures::wait::soon;

    use super::*;

    #[tokio::test]
    async fn a_directory_that_comes_and_a_file_that_is_written_in_a_volume_are_heard() {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let mut hints = Hints { mounts: None, ..Hints::new() };
        let ear = hints.ear();
        ear.directory(root.path());
        ear.volume(&volume);
        fs::create_dir(root.path().join("new")).unwrap();
        soon("an event", hints.heard()).await;
        assert_eq!(ear.touched().touched, HashSet::new(), "it is in no volume");
        fs::write(volume.join("tls.crt"), "").unwrap();
        soon("an event", hints.heard()).await;
        let again = ear.touched();
        assert_eq!((again.all, again.touched), (false, HashSet::from([volume])));
    }

    #[test]
    fn the_end_of_a_watch_is_news_only_of_a_volume_that_is_still_heard_from() {
        let mut volumes = Volumes::default();
        volumes.watched.insert(1, "/volume".into());
        assert!(volumes.heard(Event::Ended(1)));
        assert!(!volumes.heard(Event::Ended(1)));
        assert_eq!(mem::take(&mut volumes.touched), HashSet::from(["/volume".into()]));
        assert!(volumes.heard(Event::Overflow) && volumes.lost, "anything may have happened");
    }
}
