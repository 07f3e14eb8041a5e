//! The names of pods, remembered beyond the process, in a small file of the state directory.
//!
//! Without it a pod that may write the pods' log directory would only have to wait for a restart to be called what it wants. The file is
//! replaced when what is to be remembered changed, which whoever writes log directories alone cannot bring about again and again.
//!
//! A state directory that does not answer holds up nobody: one thread at a time is at the file, and writes what is the latest then. So
//! a name is used a moment before it is durable, and a crash within that moment forgets it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::detached::Threads;
use evercert_core::identity::is_pod_uid;
use evercert_core::state_file::{self, State, StateError, Unusable};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::names::{Naming, PODS_LIMIT, PodNames};

/// The name of the file.
const FILE: &str = "pod-names.json";

/// The time the first look waits for the remembered names: less than the daemon waits for that look.
const DEADLINE: Duration = Duration::from_secs(1);

/// The time after which it is told that the state directory does not answer: longer than a busy disk takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The consequences while the file is not read, and while it is not written.
const FIRST_COUNT: &str = "the first ones that are told now count until it is";
const FORGOTTEN: &str = "what pods are called is forgotten when the daemon ends: whoever may write the pods' log directory could call them \
    something else then; it is tried again";

#[derive(Serialize, Deserialize)]
struct NamesFile {
    /// By UID.
    pods: BTreeMap<String, Naming>,
}

impl State for NamesFile {
    const VERSION: u32 = 1;
    /// [`PODS_LIMIT`] pods with the longest names.
    const LIMIT: u64 = 16 << 20;
}

/// Reads and replaces the file. Both block as long as the file system does.
trait Access: Send + Sync {
    fn read(&self, path: &Path) -> Result<PodNames, StateError>;
    fn write(&self, path: &Path, names: &PodNames) -> Result<(), StateError>;
}

/// By [`state_file`].
struct StateFile;

/// The file of a state directory, and what is to be in it.
pub(super) struct Memory {
    file: Arc<File>,
    threads: Threads,
}

struct File {
    path: PathBuf,
    access: Box<dyn Access>,
    content: Mutex<MemoryState>,
    /// Told when no thread is at the file any more.
    left: Condvar,
}

#[derive(Default)]
struct MemoryState {
    /// The names to be in the file; absent until it was read.
    names: Option<PodNames>,
    /// Whether the file holds something else.
    is_behind: bool,
    /// The time since which a thread is asked to be at the file.
    entered: Option<Instant>,
    /// Whether one is. Asked for when no thread could be had, it may come later beside another.
    is_busy: bool,
    /// Whether it was told that the file cannot be read or written.
    is_told: bool,
}

impl Memory {
    /// In this state directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self::with(directory, Box::new(StateFile))
    }

    fn with(directory: &Path, access: Box<dyn Access>) -> Self {
        let path = directory.join(FILE);
        let file = Arc::new(File { path, access, content: Mutex::default(), left: Condvar::new() });
        Self { file, threads: Threads::named("pod-names") }
    }

    /// The remembered names; absent while they cannot be told, for which one call waits a moment.
    pub(super) fn recall(&self) -> Option<PodNames> {
        let mut content = self.file.content.lock();
        if content.names.is_none() && content.entered.is_none() {
            self.start(&mut content);
            self.file.left.wait_while_for(&mut content, |content| content.entered.is_some(), DEADLINE);
        }
        if content.names.is_none() && content.entered.is_some() && content.is_news() {
            let path = self.file.path.display();
            warn!(%path, "what is remembered of the names of pods is not known yet, as the state directory does not answer: {FIRST_COUNT}");
        }
        content.names.clone()
    }

    /// Remembers this, and nothing else, as soon as that can be done. A file that was not read is not replaced.
    pub(super) fn remember(&self, names: PodNames) {
        let mut content = self.file.content.lock();
        let Some(before) = &content.names else { return };
        content.is_behind |= *before != names;
        content.names = Some(names);
        let Some(entered) = content.entered else {
            if content.is_behind {
                self.start(&mut content);
            }
            return;
        };
        if entered.elapsed() > PATIENCE && content.is_news() {
            let path = self.file.path.display();
            warn!(%path, "the state directory does not answer: {FORGOTTEN}");
        }
    }

    /// Has a thread bring the file and what is to be in it together. There is none yet.
    fn start(&self, content: &mut MemoryState) {
        let file = Arc::clone(&self.file);
        // Where no thread can be had, it is asked for again at the next look.
        if self.threads.run(move || file.bring_together()).is_ok() {
            content.entered = Some(Instant::now());
        }
    }
}

impl File {
    /// Reads the file where that was not done, and writes what is the latest for as long as there is something later.
    fn bring_together(&self) {
        let mut content = self.content.lock();
        if std::mem::replace(&mut content.is_busy, true) {
            return;
        }
        loop {
            let done = match content.names.clone() {
                None => {
                    drop(content);
                    let read = self.access.read(&self.path);
                    content = self.content.lock();
                    read.map(|names| content.names = Some(names))
                }
                Some(names) if content.is_behind => {
                    drop(content);
                    let written = self.access.write(&self.path, &names);
                    content = self.content.lock();
                    written.map(|()| content.is_behind = content.names.as_ref() != Some(&names))
                }
                Some(_) => break,
            };
            match done {
                Ok(()) => content.is_told = false,
                Err(error) => {
                    if content.is_news() {
                        let outcome = if error.reading { FIRST_COUNT } else { FORGOTTEN };
                        warn!(%error, "what is remembered of the names of pods is not up to date: {outcome}");
                    }
                    break;
                }
            }
        }
        (content.entered, content.is_busy) = (None, false);
        self.left.notify_all();
    }
}

impl MemoryState {
    fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }
}

impl Access for StateFile {
    /// The remembered names: none, where the file is not to be believed. Such a file is kept beside it.
    ///
    /// # Errors
    ///
    /// It cannot be told now: the file cannot be read.
    fn read(&self, path: &Path) -> Result<PodNames, StateError> {
        match state_file::read::<NamesFile>(path) {
            Ok(file) => {
                let pods = file.map(|file| file.pods).unwrap_or_default().into_iter();
                let pods = pods.filter(|(uid, _)| is_pod_uid(uid)).take(PODS_LIMIT);
                Ok(pods.map(|(uid, naming)| (uid.into(), naming)).collect())
            }
            Err(Unusable::Unreadable(error)) => Err(error),
            Err(error) => {
                let path_shown = path.display();
                match state_file::set_aside(path) {
                    Ok(aside) => warn!(
                        path = %path_shown, %error, aside = %aside.display(),
                        "what it says of the names of pods is not used; find out who wrote it, by the first such file, which is kept aside, \
                         and remove that"
                    ),
                    Err(failure) => warn!(
                        path = %path_shown, %error, %failure,
                        "what it says of the names of pods is not used, and it cannot be kept aside; find out who wrote it, and remove it"
                    ),
                }
                Ok(PodNames::default())
            }
        }
    }

    /// Remembers this, and nothing else, durably.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or not be removed where there is nothing to remember.
    fn write(&self, path: &Path, names: &PodNames) -> Result<(), StateError> {
        if names.is_empty() {
            return state_file::remove(path);
        }
        let pods = names.iter().map(|(uid, naming)| (uid.to_string(), naming.clone())).collect();
        state_file::write(path, &NamesFile { pods })
    }
}

#[cfg(test)]
pub(super) mod tests;
