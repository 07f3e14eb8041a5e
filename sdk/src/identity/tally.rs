//! How many connections there are, by the generation they were made with.
#![allow(dead_code, reason = "connections are about to use it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of every server and channel of one identity, by the sequence of the generation they were made with.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    connections: Mutex<BTreeMap<u64, u64>>,
    current: AtomicU64,
    changed: Notify,
}

/// One connection in the tally, for as long as it lives.
#[derive(Debug)]
#[must_use = "a connection counts for as long as this lives"]
pub(crate) struct Member {
    tally: Arc<Tally>,
    sequence: u64,
}

/// The tally at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// All connections.
    pub(super) all: u64,
    /// Those made with an older generation than the current one.
    pub(super) older: u64,
}

impl Tally {
    /// Counts a connection made with the generation of this sequence.
    pub(crate) fn enter(self: &Arc<Self>, sequence: u64) -> Member {
        *self.connections().entry(sequence).or_default() += 1;
        self.tell(sequence);
        Member { tally: Arc::clone(self), sequence }
    }

    /// Makes a generation the current one.
    pub(super) fn swap(&self, sequence: u64) {
        self.current.store(sequence, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn count(&self) -> Count {
        let current = self.current.load(Ordering::Acquire);
        let connections = self.connections();
        Count { all: connections.values().sum(), older: connections.range(..current).map(|(_, count)| count).sum() }
    }

    /// Completes once the number of older connections may have changed since the last call. For one waiter.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Connections of the current generation come and go without waking anybody.
    fn tell(&self, sequence: u64) {
        if sequence < self.current.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut connections = self.tally.connections();
        if let Some(count) = connections.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.sequence);
            }
        }
        drop(connections);
        self.tally.tell(self.sequence);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn connections_are_older_once_another_generation_is_current_and_are_forgotten_when_they_end() {
        let tally = Arc::new(Tally::default());
        tally.swap(1);
        let (first, second) = (tally.enter(1), tally.enter(1));
        assert_eq!(tally.count(), Count { all: 2, older: 0 });
        tally.swap(2);
        let third = tally.enter(2);
        assert_eq!(tally.count(), Count { all: 3, older: 2 });
        drop((first, third));
        assert_eq!(tally.count(), Count { all: 1, older: 1 });
        drop(second);
        assert_eq!(tally.count(), Count::default());
        assert!(tally.connections().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_older_connections_alone() {
        let tally = Arc::new(Tally::default());
        tally.swap(2);
        tally.changed().await;
        drop(tally.enter(2));
        assert!(tally.changed().now_or_never().is_none());
        let older = tally.enter(1);
        tally.changed().await;
        drop(older);
        tally.changed().await;
        assert!(tally.changed().now_or_never().is_none());
    }
}
