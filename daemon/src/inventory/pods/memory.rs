//! The names of pods, remembered beyond the process, in a small file of the state directory.
//!
//! Without it a pod that may write the pods' log directory would only have to wait for a restart to be called what it wants. The file is
//! replaced when what is to be remembered changed, which whoever writes log directories alone cannot bring about again and again.

use std::collections::BTreeMap;
use std::path::Path;

use evercert_core::detached::Threads;
use evercert_core::identity::is_pod_uid;
use evercert_core::state_file::{self, State, StateError, Unusable};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::names::{Naming, PODS_LIMIT, PodNames};
use crate::host::memory::{Access, Memory, Words};

/// The name of the file.
const FILE: &str = "pod-names.json";

/// What is told of them.
const WORDS: Words = Words {
    subject: "the names of pods",
    unread: "the first ones that are told now count until it is",
    unwritten: "what pods are called is forgotten when the daemon ends: whoever may write the pods' log directory could call them \
        something else then; it is tried again",
};

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

/// By [`state_file`].
struct StateFile;

/// The memory of a state directory.
pub(super) fn of(directory: &Path) -> Memory<PodNames> {
    with(directory, Box::new(StateFile))
}

/// How many pods the file of a state directory tells of, read once.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn remembered(directory: &Path) -> Result<usize, StateError> {
    StateFile.read(&directory.join(FILE)).map(|names| names.iter().count())
}

fn with(directory: &Path, access: Box<dyn Access<PodNames>>) -> Memory<PodNames> {
    Memory::new(directory.join(FILE), Threads::named("pod-names"), WORDS, access)
}

impl Access<PodNames> for StateFile {
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
