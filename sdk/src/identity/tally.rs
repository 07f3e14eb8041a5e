//! The number of connections, by the generation they were made with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// The connections of every server and channel of one identity, by the sequence of the generation they were made with.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    made: Mutex<BTreeMap<u64, Made>>,
    current: AtomicU64,
    changed: Notify,
}

/// Everything made with one generation that is there still.
#[derive(Debug, Default)]
struct Made {
    connections: u64,
    handshakes: u64,
}

impl Made {
    fn count(&mut self, stage: Stage) -> &mut u64 {
        match stage {
            Stage::Handshake => &mut self.handshakes,
            Stage::Connection => &mut self.connections,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Handshake,
    Connection,
}

/// One connection or handshake in the tally, for as long as it lives.
#[derive(Debug)]
#[must_use = "it counts for as long as this lives"]
pub(crate) struct Member {
    tally: Arc<Tally>,
    sequence: u64,
    stage: Stage,
}

/// The tally at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// All connections.
    pub(super) all: u64,
    /// Those made with an older generation than the current one.
    pub(super) older: u64,
    /// Whether a handshake is under way that may make one more of those.
    pub(super) may_grow: bool,
}

impl Tally {
    /// Counts a connection made with the generation of this sequence.
    pub(crate) fn enter(self: &Arc<Self>, sequence: u64) -> Member {
        self.add(sequence, Stage::Connection)
    }

    /// Notes a handshake with the generation of this sequence. The caller looks afterwards whether the generation is still the
    /// one to use: else a swap in between would be taken for settled.
    pub(crate) fn begin(self: &Arc<Self>, sequence: u64) -> Member {
        self.add(sequence, Stage::Handshake)
    }

    fn add(self: &Arc<Self>, sequence: u64, stage: Stage) -> Member {
        *self.made().entry(sequence).or_default().count(stage) += 1;
        self.tell(sequence);
        Member { tally: Arc::clone(self), sequence, stage }
    }

    /// Makes a generation the current one.
    pub(super) fn swap(&self, sequence: u64) {
        self.current.store(sequence, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn count(&self) -> Count {
        let current = self.current.load(Ordering::Acquire);
        let made = self.made();
        let older = || made.range(..current).map(|(_, made)| made);
        Count {
            all: made.values().map(|made| made.connections).sum(),
            older: older().map(|made| made.connections).sum(),
            may_grow: older().any(|made| made.handshakes > 0),
        }
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

    fn made(&self) -> MutexGuard<'_, BTreeMap<u64, Made>> {
        self.made.lock()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = self.tally.made();
        if let Some(made) = all.get_mut(&self.sequence) {
            *made.count(self.stage) -= 1;
            if made.connections == 0 && made.handshakes == 0 {
                all.remove(&self.sequence);
            }
        }
        drop(all);
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
        assert_eq!(tally.count(), Count { all: 2, ..Count::default() });
        tally.swap(2);
        let third = tally.enter(2);
        assert_eq!(tally.count(), Count { all: 3, older: 2, may_grow: false });
        drop((first, third));
        assert_eq!(tally.count(), Count { all: 1, older: 1, may_grow: false });
        drop(second);
        assert_eq!(tally.count(), Count::default());
        assert!(tally.made().is_empty());
    }

    #[test]
    fn a_handshake_with_an_older_generation_is_no_connection_but_may_become_one() {
        let tally = Arc::new(Tally::default());
        tally.swap(1);
        let begun = tally.begin(1);
        assert_eq!(tally.count(), Count::default());
        tally.swap(2);
        assert_eq!(tally.count(), Count { may_grow: true, ..Count::default() });
        let made = tally.enter(1);
        drop(begun);
        assert_eq!(tally.count(), Count { all: 1, older: 1, may_grow: false });
        drop(made);
        assert!(tally.made().is_empty());
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
