//! Files that are read again when they change; what they last held well stays.
//!
//! Each has a thread of its own, so that one on a dead mount holds up no other, and none depends on a runtime: what is followed may be
//! kept in a static. It looks once in [`INTERVAL`], through whatever links lead there, so a kubelet's swap of `..data` is seen like any
//! other change.
//!
//! Half of a file that is being written in place may be well-formed, and half of a policy may allow more than the whole of it. So what was
//! changed lately is used once two looks have found the same, all files together, with [`LEAST_INTERVAL`] between them.

mod files;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};
use evercert_core::text;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::telemetry::{Event, FileKind, Recorder};

pub use files::FileError;
pub(crate) use files::Files;

/// The time between two looks at a file.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two looks, as they are taken where [`Followed::look`] asks for one, and at what was changed lately.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The most looks that are taken at first before files are given up that change with every one.
const FIRST_LOOKS: usize = 20;

/// What the files hold, as of the last time that all of it could be used.
pub(crate) struct Followed<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    kind: FileKind,
    path: PathBuf,
    current: ArcSwap<T>,
    recorder: OnceLock<Arc<dyn Recorder>>,
    wake: Mutex<Wake>,
    woken: Condvar,
    /// The number of the last look that has ended, and that found files which rest.
    looks: watch::Sender<u64>,
}

#[derive(Default)]
struct Wake {
    asked: bool,
    dropped: bool,
    /// The number of looks that have begun.
    looks: u64,
}

impl<T: Send + Sync + 'static> Followed<T> {
    /// What `read` makes of the file at `path`, and of those that it names, now and from now on. `used` is told of each value that is used,
    /// the first one included.
    ///
    /// Where a file was changed within the last two seconds this waits for another look, [`LEAST_INTERVAL`] later.
    ///
    /// # Errors
    ///
    /// What is there now cannot be used, or changes all the time, or there is no thread to follow it.
    pub(crate) fn open<E, F, U>(kind: FileKind, path: &Path, read: F, used: U) -> Result<Self, FollowError<E>>
    where
        E: std::error::Error + Send + 'static,
        F: Fn(&mut Files, &Path) -> Result<T, E> + Send + 'static,
        U: Fn(&T) + Send + 'static,
    {
        let (first, files) = first(&read, path)?;
        used(&first);
        let shared = Arc::new(Shared {
            kind,
            path: path.to_owned(),
            current: ArcSwap::from_pointee(first),
            recorder: OnceLock::new(),
            wake: Mutex::default(),
            woken: Condvar::new(),
            looks: watch::Sender::new(0),
        });
        let weak = Arc::downgrade(&shared);
        let following = Following { read, used, files, before: None, is_told: false };
        let thread = thread::Builder::new().name("evercert-file".to_owned());
        thread
            .spawn(move || follow(&weak, following))
            .map_err(|source| FollowError::NoThread { path: path.to_owned(), source })?;
        Ok(Self { shared })
    }

    /// What they hold.
    pub(crate) fn current(&self) -> Guard<Arc<T>> {
        self.shared.current.load()
    }

    /// Has a look taken soon, without waiting for it.
    pub(crate) fn look(&self) {
        self.shared.wake.lock().asked = true;
        self.shared.woken.notify_one();
    }

    /// Completes when a look has ended that began after this was called, and that found files which rest; never where the file is on a mount
    /// that is dead.
    pub(crate) async fn looked(&self) {
        let mut looks = self.shared.looks.subscribe();
        let next = {
            let mut wake = self.shared.wake.lock();
            wake.asked = true;
            wake.looks + 1
        };
        self.shared.woken.notify_one();
        // The sender lives as long as this.
        _ = looks.wait_for(|ended| *ended >= next).await;
    }

    /// Has this recorder told of what is read from now on; the first one that is given stays.
    pub(crate) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        _ = self.shared.recorder.set(recorder);
    }
}

/// What is read at first, once it rests.
fn first<T, E>(read: &impl Fn(&mut Files, &Path) -> Result<T, E>, path: &Path) -> Result<(T, Files), FollowError<E>> {
    let mut before = None;
    for _ in 0..FIRST_LOOKS {
        let mut files = Files::new();
        let outcome = read(&mut files, path);
        if files.rest(before.as_ref(), SystemTime::now()) {
            return Ok((outcome.map_err(FollowError::Unusable)?, files));
        }
        before = Some(files);
        thread::sleep(LEAST_INTERVAL);
    }
    Err(FollowError::Restless { path: path.to_owned() })
}

/// What a thread that follows files knows of them.
struct Following<F, U> {
    read: F,
    used: U,
    /// The files whose content is used.
    files: Files,
    /// The files as the last look found them, where that content is not used.
    before: Option<Files>,
    /// Whether it was told that it cannot be used.
    is_told: bool,
}

fn follow<T, E, F, U>(shared: &Weak<Shared<T>>, mut following: Following<F, U>)
where
    E: fmt::Display,
    F: Fn(&mut Files, &Path) -> Result<T, E>,
    U: Fn(&T),
{
    let mut rests = true;
    loop {
        let Some((shared, look)) = wait(shared, if rests { INTERVAL } else { LEAST_INTERVAL }) else { return };
        // A file is read again after each look, so that nothing half done by a panic is left.
        rests = catch_unwind(AssertUnwindSafe(|| following.look(&shared))).unwrap_or_else(|_| {
            following.tell(&shared, &"reading it has panicked, which is a fault of evercert's: report it");
            true
        });
        if rests {
            shared.looks.send_replace(look);
        }
    }
}

impl<F, U> Following<F, U> {
    /// Uses what has changed, if it rests and can be used; gives whether it rests.
    fn look<T, E>(&mut self, shared: &Shared<T>) -> bool
    where
        E: fmt::Display,
        F: Fn(&mut Files, &Path) -> Result<T, E>,
        U: Fn(&T),
    {
        if self.files.are_as_found() {
            self.before = None;
            return true;
        }
        let mut now = Files::new();
        let outcome = (self.read)(&mut now, &shared.path);
        let rests = now.rest(self.before.as_ref(), SystemTime::now());
        self.is_told &= self.before.as_ref().is_some_and(|before| now.are_as_in(before));
        match outcome {
            Ok(value) if rests => {
                let value = Arc::new(value);
                shared.current.store(Arc::clone(&value));
                (self.files, self.before, self.is_told) = (now, None, false);
                tracing::info!(path = %text::path(&shared.path), file = shared.kind.as_str(), "read again");
                shared.record(true);
                (self.used)(&value);
                return true;
            }
            Err(error) if rests => self.tell(shared, &error),
            _ => {}
        }
        self.before = Some(now);
        rests
    }

    /// Tells once that what is there cannot be used.
    fn tell<T>(&mut self, shared: &Shared<T>, error: &dyn fmt::Display) {
        if !std::mem::replace(&mut self.is_told, true) {
            let (path, file) = (text::path(&shared.path), shared.kind.as_str());
            tracing::error!(path, file, %error, "cannot be used; what was read before stays");
            shared.record(false);
        }
    }
}

/// Waits until it is time to look, for which look of all; `None` once nobody follows the file any more.
fn wait<T>(shared: &Weak<Shared<T>>, interval: Duration) -> Option<(Arc<Shared<T>>, u64)> {
    let shared = shared.upgrade()?;
    let (begin, mut wake) = (Instant::now(), shared.wake.lock());
    while !wake.dropped {
        let limit = if wake.asked { LEAST_INTERVAL } else { interval };
        let left = limit.saturating_sub(begin.elapsed());
        if left.is_zero() {
            wake.asked = false;
            wake.looks += 1;
            let look = wake.looks;
            drop(wake);
            return Some((shared, look));
        }
        shared.woken.wait_for(&mut wake, left);
    }
    None
}

impl<T> Shared<T> {
    fn record(&self, is_used: bool) {
        if let Some(recorder) = self.recorder.get() {
            recorder.tell(&Event::Reloaded { file: self.kind, is_used });
        }
    }
}

impl<T> Drop for Followed<T> {
    fn drop(&mut self) {
        self.shared.wake.lock().dropped = true;
        self.shared.woken.notify_one();
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// A file that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError<E> {
    /// What is there now cannot be used.
    #[error(transparent)]
    Unusable(E),
    /// It, or one that it names, is changed all the time.
    #[error(
        "{}: it, or one that it names, changes with every look; write it once, to another name, and rename it to this one",
        text::path(.path)
    )]
    #[non_exhaustive]
    Restless {
        /// The file.
        path: PathBuf,
    },
    /// There is no thread to follow it.
    #[error("{}: there is no thread to follow it: {source}", text::path(.path))]
    NoThread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
