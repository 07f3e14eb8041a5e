//! What is remembered beyond the process, in a small file of the state directory, without anybody waiting for that.
//!
//! A state directory that does not answer holds up nobody: one thread at a time is at the file, and writes what is the latest then. So
//! something is used a moment before it is durable, and a crash within that moment forgets it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::detached::Threads;
use evercert_core::state_file::StateError;
use parking_lot::{Condvar, Mutex};
use tracing::warn;

/// The time the first look waits for what is remembered: less than the daemon waits for that look.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// The time after which it is told that the state directory does not answer: longer than a busy disk takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads and replaces the file. Both block as long as the file system does.
pub(crate) trait Access<T>: Send + Sync {
    /// # Errors
    ///
    /// It cannot be told now: the file cannot be read.
    fn read(&self, path: &Path) -> Result<T, StateError>;
    /// # Errors
    ///
    /// The file cannot be written.
    fn write(&self, path: &Path, latest: &T) -> Result<(), StateError>;
}

/// The words for what is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Of what it is.
    pub(crate) subject: &'static str,
    /// The consequences while the file is not read.
    pub(crate) unread: &'static str,
    /// The consequences while it is not written.
    pub(crate) unwritten: &'static str,
}

/// The file of a state directory, and what is to be in it.
pub(crate) struct Memory<T> {
    file: Arc<File<T>>,
    threads: Threads,
}

struct File<T> {
    path: PathBuf,
    words: Words,
    access: Box<dyn Access<T>>,
    content: Mutex<MemoryState<T>>,
    /// Told when no thread is at the file any more.
    left: Condvar,
}

struct MemoryState<T> {
    /// What is to be in the file; absent until that was read.
    latest: Option<T>,
    /// Whether the file holds something else.
    is_behind: bool,
    /// The time since which a thread is asked to be at the file.
    entered: Option<Instant>,
    /// Whether one is. Asked for when no thread could be had, it may come later beside another.
    is_busy: bool,
    /// Whether it was told that the file cannot be read or written.
    is_told: bool,
}

impl<T: Clone + PartialEq + Send + 'static> Memory<T> {
    /// In the file at `path`, which one of `threads` is at.
    pub(crate) fn new(path: PathBuf, threads: Threads, words: Words, access: Box<dyn Access<T>>) -> Self {
        let file = Arc::new(File { path, words, access, content: Mutex::default(), left: Condvar::new() });
        Self { file, threads }
    }

    /// What is remembered; absent while it cannot be told, for which one call waits a moment.
    pub(crate) fn recall(&self) -> Option<T> {
        let mut content = self.file.content.lock();
        if content.latest.is_none() && content.entered.is_none() {
            self.start(&mut content);
            self.file.left.wait_while_for(&mut content, |content| content.entered.is_some(), DEADLINE);
        }
        if content.latest.is_none() && content.entered.is_some() && content.is_news() {
            let (path, Words { subject, unread, .. }) = (self.file.path.display(), self.file.words);
            warn!(%path, "what is remembered of {subject} is not known yet, as the state directory does not answer: {unread}");
        }
        content.latest.clone()
    }

    /// Remembers this, and nothing else, as soon as that can be done. A file that was not read is not replaced: then this is false, and it is
    /// read again. Waits for nothing.
    pub(crate) fn remember(&self, latest: T) -> bool {
        let mut content = self.file.content.lock();
        let Some(before) = &content.latest else {
            if content.entered.is_none() {
                self.start(&mut content);
            }
            return false;
        };
        content.is_behind |= *before != latest;
        content.latest = Some(latest);
        let Some(entered) = content.entered else {
            if content.is_behind {
                self.start(&mut content);
            }
            return true;
        };
        if entered.elapsed() > PATIENCE && content.is_news() {
            let path = self.file.path.display();
            warn!(%path, "the state directory does not answer: {}", self.file.words.unwritten);
        }
        true
    }

    /// Has a thread bring the file and what is to be in it together. There is none yet.
    fn start(&self, content: &mut MemoryState<T>) {
        let file = Arc::clone(&self.file);
        // Where no thread can be had, it is asked for again at the next look.
        if self.threads.run(move || file.bring_together()).is_ok() {
            content.entered = Some(Instant::now());
        }
    }
}

impl<T: Clone + PartialEq> File<T> {
    /// Reads the file where that was not done, and writes what is the latest for as long as there is something later.
    fn bring_together(&self) {
        let mut content = self.content.lock();
        if std::mem::replace(&mut content.is_busy, true) {
            return;
        }
        loop {
            let done = match content.latest.clone() {
                None => {
                    drop(content);
                    let read = self.access.read(&self.path);
                    content = self.content.lock();
                    read.map(|latest| content.latest = Some(latest))
                }
                Some(latest) if content.is_behind => {
                    drop(content);
                    let written = self.access.write(&self.path, &latest);
                    content = self.content.lock();
                    written.map(|()| content.is_behind = content.latest.as_ref() != Some(&latest))
                }
                Some(_) => break,
            };
            match done {
                Ok(()) => content.is_told = false,
                Err(error) => {
                    if content.is_news() {
                        let Words { subject, unread, unwritten } = self.words;
                        let outcome = if error.reading { unread } else { unwritten };
                        warn!(%error, "what is remembered of {subject} is not up to date: {outcome}");
                    }
                    break;
                }
            }
        }
        (content.entered, content.is_busy) = (None, false);
        self.left.notify_all();
    }
}

impl<T> MemoryState<T> {
    fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }
}

impl<T> Default for MemoryState<T> {
    fn default() -> Self {
        Self { latest: None, is_behind: false, entered: None, is_busy: false, is_told: false }
    }
}

#[cfg(test)]
impl<T> Memory<T> {
    /// Waits until no thread is at the file.
    pub(crate) fn wait_until_idle(&self) {
        let is_at_work = |content: &mut MemoryState<T>| content.entered.is_some();
        let waited = self.file.left.wait_while_for(&mut self.file.content.lock(), is_at_work, Duration::from_secs(20));
        assert!(!waited.timed_out());
    }
}
