//! Equal values in one allocation: what a thousand identities share is in memory once.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::swept::Swept;

/// Values of one kind that somebody holds, by a key.
#[derive(Debug)]
pub struct Pool<K, T>(Mutex<Swept<K, Weak<T>>>);

impl<K: Eq + Hash, T> Pool<K, T> {
    /// The value under `key` that others hold, where it `fits`; else what `make` makes, for others from now on. It is made under the
    /// pool's lock, so that whoever wants it at the same time waits for it and makes no other.
    ///
    /// # Errors
    ///
    /// `make` fails.
    pub fn get_or_try_make<E>(
        &self,
        key: K,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let mut held = self.0.lock();
        if let Some(value) = held.get(&key).and_then(Weak::upgrade).filter(|value| fits(value)) {
            return Ok(value);
        }
        let value = make()?;
        held.entry(key, |_, held| held.strong_count() > 0).insert_entry(Arc::downgrade(&value));
        Ok(value)
    }

    /// As [`Self::get_or_try_make`], where nothing can fail.
    pub fn get_or_make(&self, key: K, fits: impl FnOnce(&T) -> bool, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let Ok(value) = self.get_or_try_make(key, fits, || Ok::<_, Infallible>(make()));
        value
    }

    /// The same value, in the allocation that others hold. Of two different values with one key one is not shared.
    pub(crate) fn share(&self, key: K, value: &Arc<T>) -> Arc<T>
    where
        T: PartialEq,
    {
        self.get_or_make(key, |held| *held == **value, || Arc::clone(value))
    }

    /// The number of values that somebody holds.
    #[must_use]
    pub fn living(&self) -> usize {
        self.0.lock().values().filter(|held| held.strong_count() > 0).count()
    }
}

impl<K, T> Default for Pool<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swept::FIRST_SWEEP;

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
        assert!(pool.0.lock().values().len() <= FIRST_SWEEP);
        assert_eq!(pool.living(), 0);
    }

    #[test]
    fn what_cannot_be_made_leaves_what_was_there() {
        let pool = Pool::default();
        let held = pool.get_or_make("a", |_| true, || Arc::new(1));
        assert_eq!(pool.get_or_try_make("a", |_| false, || Err("no")), Err("no"));
        assert!(Arc::ptr_eq(&pool.get_or_make("a", |_| true, || Arc::new(2)), &held));
    }
}
