//! When each identity was last rotated, over the daemon's restarts.
//!
//! Generations are counted anew by each process, and what it serves first is what the one before it served last, unless the files changed
//! meanwhile: the digest tells.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::state_file::{self, State, StateError, Unusable};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::host::memory::{Access, Memory, Words};

/// The name of the file.
const FILE: &str = "rotations.json";

/// How often the file is replaced at the most: many identities may rotate at once.
const PACE: Duration = Duration::from_secs(1);

const WORDS: Words = Words {
    subject: "the last rotations",
    unread: "metrics tell when this process first published instead",
    unwritten: "metrics will tell when the next process first published instead; it is tried again",
};

/// The publication of one identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rotation {
    /// SHA-256 of what is published, in hexadecimal.
    digest: String,
    unix_ms: u64,
}

/// By the full name of the identity.
type All = BTreeMap<String, Rotation>;

#[derive(Serialize, Deserialize)]
struct RotationsFile {
    identities: All,
}

impl State for RotationsFile {
    const VERSION: u32 = 1;
    /// Far more identities than a node has, each of some 200 bytes.
    const LIMIT: u64 = 64 << 20;
}

/// When identities were rotated, and the file in which that is remembered.
pub(super) struct Rotations {
    memory: Option<Memory<All>>,
    /// What is published now, and until the first complete look what was published by the last process.
    all: All,
    /// Those of the last process that were not seen yet; absent once there was a complete look.
    unseen: Option<All>,
    is_behind: bool,
    written: Option<Instant>,
}

impl Rotations {
    /// As they are remembered in this state directory; for this process alone without one.
    pub(super) fn remembered_in(directory: Option<&Path>) -> Self {
        let memory =
            directory.map(|directory| Memory::new(directory.join(FILE), "rotations", WORDS, Box::new(StateFile)));
        let unseen = memory.as_ref().and_then(Memory::recall).unwrap_or_default();
        Self { memory, all: All::new(), unseen: Some(unseen), is_behind: false, written: None }
    }

    /// An identity is published with this digest, which this process did at `at`. Gives when it was rotated.
    pub(super) fn published(&mut self, id: &IdentityId, digest: Digest, at: SystemTime) -> SystemTime {
        let (name, digest) = (id.to_string(), digest.to_string());
        let known = self.unseen.as_mut().and_then(|unseen| unseen.remove(&name));
        let rotation = known.filter(|known| known.digest == digest).unwrap_or_else(|| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            Rotation { digest, unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
        });
        // A file may say anything; a time that is still to come is none.
        let rotated = UNIX_EPOCH.checked_add(Duration::from_millis(rotation.unix_ms)).map_or(at, |known| known.min(at));
        self.all.insert(name, rotation);
        self.is_behind = true;
        rotated
    }

    /// An identity is kept no longer.
    pub(super) fn removed(&mut self, id: &IdentityId) {
        self.is_behind |= self.all.remove(&id.to_string()).is_some();
    }

    /// Every identity was looked at: those that were not seen are not there any more.
    pub(super) fn looked_at_all(&mut self) {
        self.is_behind |= self.unseen.take().is_some_and(|unseen| !unseen.is_empty());
    }

    /// Has the file say what is the latest, unless it was replaced just now.
    pub(super) fn remember(&mut self) {
        let Some(memory) = &self.memory else { return };
        if !self.is_behind || self.written.is_some_and(|written| written.elapsed() < PACE) {
            return;
        }
        // What is not known to the memory yet, as the file could not be read, is not written.
        let Some(_) = memory.recall() else { return };
        let mut latest = self.all.clone();
        latest.extend(self.unseen.iter().flatten().map(|(name, rotation)| (name.clone(), rotation.clone())));
        memory.remember(latest);
        (self.is_behind, self.written) = (false, Some(Instant::now()));
    }
}

/// By [`state_file`].
struct StateFile;

/// How many identities the file of a state directory tells of, read once.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn remembered(directory: &Path) -> Result<usize, StateError> {
    StateFile.read(&directory.join(FILE)).map(|all| all.len())
}

impl Access<All> for StateFile {
    fn read(&self, path: &Path) -> Result<All, StateError> {
        match state_file::read::<RotationsFile>(path) {
            Ok(file) => Ok(file.map(|file| file.identities).unwrap_or_default()),
            Err(Unusable::Unreadable(error)) => Err(error),
            Err(error) => {
                warn!(path = %path.display(), %error, "what it says of the last rotations is not used");
                Ok(All::new())
            }
        }
    }

    fn write(&self, path: &Path, latest: &All) -> Result<(), StateError> {
        state_file::write(path, &RotationsFile { identities: latest.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> IdentityId {
        IdentityId::node(name.parse().unwrap())
    }

    fn digest(byte: u8) -> Digest {
        [byte; 32].into()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_rotation_is_told_over_a_restart_and_that_of_what_changed_meanwhile_is_not() {
        let home = tempfile::tempdir().unwrap();
        let mut first = Rotations::remembered_in(Some(home.path()));
        assert_eq!(first.published(&id("a"), digest(1), at(100)), at(100));
        assert_eq!(first.published(&id("b"), digest(1), at(110)), at(110));
        first.remember();
        first.memory.iter().for_each(Memory::wait_until_idle);

        let mut second = Rotations::remembered_in(Some(home.path()));
        assert_eq!(second.published(&id("a"), digest(1), at(200)), at(100));
        assert_eq!(second.published(&id("b"), digest(2), at(200)), at(200));
        assert_eq!(second.published(&id("a"), digest(1), at(210)), at(210), "a second publication is a rotation");
    }

    #[test]
    fn what_was_not_seen_in_a_complete_look_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let mut first = Rotations::remembered_in(Some(home.path()));
        first.published(&id("a"), digest(1), at(100));
        first.remember();
        first.memory.iter().for_each(Memory::wait_until_idle);

        let mut second = Rotations::remembered_in(Some(home.path()));
        second.looked_at_all();
        second.remember();
        second.memory.iter().for_each(Memory::wait_until_idle);
        let mut third = Rotations::remembered_in(Some(home.path()));
        assert_eq!(third.published(&id("a"), digest(1), at(300)), at(300));
    }

    #[test]
    fn a_file_that_tells_of_the_future_or_is_broken_changes_no_more_than_the_time() {
        let home = tempfile::tempdir().unwrap();
        StateFile
            .write(
                &home.path().join(FILE),
                &All::from([(id("a").to_string(), Rotation { digest: digest(1).to_string(), unix_ms: u64::MAX })]),
            )
            .unwrap();
        let mut rotations = Rotations::remembered_in(Some(home.path()));
        assert_eq!(rotations.published(&id("a"), digest(1), at(100)), at(100));
        std::fs::write(home.path().join(FILE), "nonsense").unwrap();
        let mut rotations = Rotations::remembered_in(Some(home.path()));
        assert_eq!(rotations.published(&id("a"), digest(1), at(100)), at(100));
    }
}
