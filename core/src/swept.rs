//! Tables whose entries end by themselves, without a word to the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// The number of entries at which a table is swept for the first time.
pub const FIRST_SWEEP: usize = 64;

/// A table whose entries end without being removed, as weak references do. It is swept of those that ended when it has grown to
/// twice what was left the last time: it never holds more than twice what lived at once, or [`FIRST_SWEEP`] entries, and an entry is
/// looked at once on average.
#[derive(Debug)]
pub struct Swept<K, V> {
    entries: HashMap<K, V>,
    sweep_at: usize,
}

impl<K: Eq + Hash, V> Swept<K, V> {
    /// The place of `key`, made where there is none. Entries go for it that do not live, where it is time to look for them.
    pub fn entry(&mut self, key: K, mut lives: impl FnMut(&K, &V) -> bool) -> Entry<'_, K, V> {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|key, value| lives(key, value));
            self.sweep_at = FIRST_SWEEP.max(2 * self.entries.len());
        }
        self.entries.entry(key)
    }

    /// What is under `key`, whether it lives or not.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// As [`Self::get`], to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Removes what is under `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// All that is in the table, whether it lives or not.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.entries.values()
    }
}

impl<K, V> Default for Swept<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_holds_all_that_lives_and_never_more_than_twice_what_lived_at_once_or_a_first_amount(
            steps in proptest::collection::vec((0..2000u32, proptest::bool::weighted(0.2)), 0..800),
        ) {
            let (mut table, mut living, mut most) = (Swept::default(), HashSet::new(), 0);
            for (key, stays) in steps {
                living.insert(key);
                most = most.max(living.len());
                table.entry(key, |key, ()| living.contains(key)).or_default();
                prop_assert!(table.values().len() <= FIRST_SWEEP.max(2 * most));
                if !stays {
                    living.remove(&key);
                }
            }
            prop_assert!(living.iter().all(|key| table.get(key).is_some()));
        }
    }

    #[test]
    fn what_does_not_end_is_looked_at_twice_on_average_at_most() {
        let (mut table, mut looks) = (Swept::default(), 0);
        for key in 0..10_000 {
            table
                .entry(key, |_, ()| {
                    looks += 1;
                    true
                })
                .or_default();
        }
        assert_eq!(table.values().len(), 10_000);
        assert!(looks <= 20_000, "{looks}");
    }
}
