//! When each identity was last rotated, over the daemon's restarts.
//!
//! Generations are counted anew by each process, and what it serves first is what the one before it served last, unless the files changed
//! meanwhile: the digest tells.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evercert_core::detached::Threads;
use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::state_file::{self, State, StateError, Unusable};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::host::memory::{Access, Memory, Words};

/// The name of the file.
const FILE: &str = "rotations.json";

/// How often the file is replaced at the most: many identities may rotate at once.
const PACE: Duration = Duration::from_secs(1);

/// How many times as long as it took to replace it the file is left alone: with many identities it is large, and at most a hundredth of one
/// processor goes into it.
const REST: u32 = 99;

/// How long it is left alone at the most, however slow the disk: what is not in it a crash forgets.
const LONGEST: Duration = Duration::from_secs(60);

/// How many identities are copied for the file in one go.
const AT_A_TIME: usize = 32;

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
    memory: Option<Memory<Changes>>,
    table: Arc<Mutex<Table>>,
    changes: Changes,
    /// Those that the file was to tell of last, and since when.
    remembered: Changes,
    remembered_at: Option<Instant>,
}

/// How often the table has changed. What is in the file is the table's; another number says that the file is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Changes(u64);

#[derive(Default)]
struct Table {
    /// What is published now.
    all: All,
    /// What was published by the last process and was not seen yet.
    unseen: All,
    /// There was a complete look: what was not seen in it is not there any more.
    is_complete: bool,
    /// How long it took to write the file.
    took: Duration,
}

impl Rotations {
    /// As they are remembered in this state directory; for this process alone without one.
    pub(super) fn remembered_in(directory: Option<&Path>) -> Self {
        let table = Arc::<Mutex<Table>>::default();
        let memory = directory.map(|directory| {
            let file = StateFile(Arc::clone(&table));
            Memory::new(directory.join(FILE), Threads::named("rotations"), WORDS, Box::new(file))
        });
        // Has the file read. Where that takes too long, what is published meanwhile counts as rotated.
        let _ = memory.as_ref().and_then(Memory::recall);
        Self { memory, table, changes: Changes(0), remembered: Changes(0), remembered_at: None }
    }

    /// An identity is published with this digest, which this process did at `at`. Gives when it was rotated.
    pub(super) fn published(&mut self, id: &IdentityId, digest: Digest, at: SystemTime) -> SystemTime {
        let (name, digest) = (id.to_string(), digest.to_string());
        let table = &mut *self.table.lock();
        let known = table.unseen.remove(&name).filter(|known| known.digest == digest);
        self.changes.0 += u64::from(known.is_none());
        let rotation = known.unwrap_or_else(|| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            Rotation { digest, unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
        });
        // A file may say anything; a time that is still to come is none.
        let rotated = UNIX_EPOCH.checked_add(Duration::from_millis(rotation.unix_ms)).map_or(at, |known| known.min(at));
        table.all.insert(name, rotation);
        rotated
    }

    /// An identity is kept no longer.
    pub(super) fn removed(&mut self, id: &IdentityId) {
        self.changes.0 += u64::from(self.table.lock().all.remove(&id.to_string()).is_some());
    }

    /// Every identity was looked at: those that were not seen are not there any more.
    pub(super) fn looked_at_all(&mut self) {
        let table = &mut *self.table.lock();
        table.is_complete = true;
        self.changes.0 += u64::from(!std::mem::take(&mut table.unseen).is_empty());
    }

    /// Has the file say what is the latest, unless it was replaced just now.
    pub(super) fn remember(&mut self) {
        let Some(memory) = &self.memory else { return };
        let rest = || (self.table.lock().took * REST).clamp(PACE, LONGEST);
        if self.remembered == self.changes || self.remembered_at.is_some_and(|at| at.elapsed() < rest()) {
            return;
        }
        self.remembered_at = Some(Instant::now());
        if memory.remember(self.changes) {
            self.remembered = self.changes;
        }
    }
}

/// The file, by [`state_file`].
struct StateFile(Arc<Mutex<Table>>);

impl StateFile {
    /// A copy of a part of the table, which is locked for a moment at a time: whoever publishes does not wait for it.
    fn copied(&self, of: impl Fn(&Table) -> &All) -> All {
        let mut copied = All::new();
        loop {
            let after = copied.last_key_value().map_or(Bound::Unbounded, |(last, _)| Bound::Excluded(last.as_str()));
            let next: Vec<_> = {
                let table = self.0.lock();
                let next = of(&table).range::<str, _>((after, Bound::Unbounded)).take(AT_A_TIME);
                next.map(|(name, rotation)| (name.clone(), rotation.clone())).collect()
            };
            if next.is_empty() {
                return copied;
            }
            copied.extend(next);
        }
    }
}

fn read(path: &Path) -> Result<All, StateError> {
    match state_file::read::<RotationsFile>(path) {
        Ok(file) => Ok(file.map(|file| file.identities).unwrap_or_default()),
        Err(Unusable::Unreadable(error)) => Err(error),
        Err(error) => {
            warn!(path = %path.display(), %error, "what it says of the last rotations is not used");
            Ok(All::new())
        }
    }
}

/// How many identities the file of a state directory tells of, read once.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn remembered(directory: &Path) -> Result<usize, StateError> {
    read(&directory.join(FILE)).map(|all| all.len())
}

impl Access<Changes> for StateFile {
    fn read(&self, path: &Path) -> Result<Changes, StateError> {
        let mut unseen = read(path)?;
        let mut table = self.0.lock();
        unseen.retain(|name, _| !table.is_complete && !table.all.contains_key(name));
        table.unseen = unseen;
        Ok(Changes(0))
    }

    fn write(&self, path: &Path, _: &Changes) -> Result<(), StateError> {
        let began = Instant::now();
        let mut identities = self.copied(|table| &table.unseen);
        identities.extend(self.copied(|table| &table.all));
        let written = state_file::write(path, &RotationsFile { identities });
        self.0.lock().took = began.elapsed();
        written
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
    fn the_file_tells_of_more_identities_than_are_copied_at_a_time_and_of_those_that_were_not_seen_yet() {
        let home = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3 * AT_A_TIME + 1).map(|number| id(&format!("i{number}"))).collect();
        let mut first = Rotations::remembered_in(Some(home.path()));
        names.iter().for_each(|name| _ = first.published(name, digest(1), at(100)));
        first.remember();
        first.memory.iter().for_each(Memory::wait_until_idle);
        assert_eq!(remembered(home.path()).unwrap(), names.len());

        let mut second = Rotations::remembered_in(Some(home.path()));
        assert_eq!(second.published(&names[0], digest(2), at(200)), at(200));
        second.remember();
        second.memory.iter().for_each(Memory::wait_until_idle);
        let mut third = Rotations::remembered_in(Some(home.path()));
        assert_eq!(third.published(&names[0], digest(2), at(300)), at(200));
        let of_the_first = names[1..].iter().all(|name| third.published(name, digest(1), at(300)) == at(100));
        assert!(of_the_first);
    }

    #[test]
    fn a_file_that_tells_of_the_future_or_is_broken_changes_no_more_than_the_time() {
        let home = tempfile::tempdir().unwrap();
        let future = Rotation { digest: digest(1).to_string(), unix_ms: u64::MAX };
        let identities = All::from([(id("a").to_string(), future)]);
        state_file::write(&home.path().join(FILE), &RotationsFile { identities }).unwrap();
        let mut rotations = Rotations::remembered_in(Some(home.path()));
        assert_eq!(rotations.published(&id("a"), digest(1), at(100)), at(100));
        std::fs::write(home.path().join(FILE), "nonsense").unwrap();
        let mut rotations = Rotations::remembered_in(Some(home.path()));
        assert_eq!(rotations.published(&id("a"), digest(1), at(100)), at(100));
    }
}
