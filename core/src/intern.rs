//! Equal values in one allocation: what a thousand identities share is in memory once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Values of one kind that are in use, by a key that is made of the content.
#[derive(Debug)]
pub(crate) struct Pool<K, T>(Mutex<Table<K, T>>);

/// Values that nobody holds any more are cleared out whenever the table has doubled.
#[derive(Debug)]
struct Table<K, T> {
    held: HashMap<K, Weak<T>>,
    clear_at: usize,
}

/// How many entries a table may have before it is cleared out for the first time.
const FIRST_CLEARING: usize = 64;

impl<K: Eq + Hash, T: PartialEq> Pool<K, T> {
    /// The same value, in the allocation that others hold. Of two different values with one key one is not shared.
    pub(crate) fn share(&self, key: K, value: &Arc<T>) -> Arc<T> {
        let mut table = self.0.lock();
        match table.held.get(&key).and_then(Weak::upgrade) {
            Some(held) if *held == **value => held,
            _ => {
                table.held.insert(key, Arc::downgrade(value));
                if table.held.len() >= table.clear_at {
                    table.held.retain(|_, held| held.strong_count() > 0);
                    table.clear_at = FIRST_CLEARING.max(2 * table.held.len());
                }
                Arc::clone(value)
            }
        }
    }
}

impl<K, T> Default for Pool<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Table { held: HashMap::new(), clear_at: FIRST_CLEARING }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_holds_is_let_go_of() {
        let pool = Pool::default();
        let [a, again, b] = ["a", "a", "b"].map(|value| pool.share(value, &Arc::new(value)));
        assert!(Arc::ptr_eq(&a, &again) && a != b);
        assert!(!Arc::ptr_eq(&pool.share("a", &Arc::new("other")), &a), "of two with one key one is not shared");
        drop((a, again));
        let pool = Pool::default();
        for n in 0..1000 {
            drop(pool.share(n, &Arc::new(n)));
        }
        assert!(pool.0.lock().held.len() <= FIRST_CLEARING);
    }
}
