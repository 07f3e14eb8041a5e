//! Which identities wait for a job, which jobs are under way, and which of these wait for a mount that does not answer.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::numbers::{JobNumber, SlotKey};
use super::pace::Pace;

/// How many jobs run at once: enough for the processors and for a mount that is merely slow.
const CONCURRENT: usize = 8;

/// How many threads jobs may hold, most of them waiting for mounts that do not answer. With more dead mounts than that, looks
/// wait until one of them answers; what is published stays.
const THREADS: usize = 256;

/// The identities that wait for a job, each once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Those with a key that somebody wanted when they came, the first that came first.
    awaited: VecDeque<SlotKey>,
    others: VecDeque<SlotKey>,
    /// The next turn is one of `others`.
    others_turn: bool,
}

impl Ready {
    /// One more waits.
    pub(super) fn push(&mut self, key: SlotKey, is_awaited: bool) {
        if is_awaited { &mut self.awaited } else { &mut self.others }.push_back(key);
    }

    /// Takes one that is awaited and one that is not in turn, so that neither waits for all of the others.
    pub(super) fn pop(&mut self) -> Option<SlotKey> {
        let Self { awaited, others, others_turn } = self;
        let (first, then) = if *others_turn { (others, awaited) } else { (awaited, others) };
        *others_turn = !*others_turn;
        first.pop_front().or_else(|| then.pop_front())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.others.is_empty()
    }
}

/// The jobs under way, by how long they have been.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    started: u64,
    /// They count against [`CONCURRENT`], the oldest first.
    counted: VecDeque<Running>,
    /// They do not count any more, the oldest first.
    slow: VecDeque<Running>,
    /// Their identities were told to be unresponsive.
    unresponsive: HashSet<JobNumber>,
}

/// A job under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) key: SlotKey,
    pub(super) number: JobNumber,
    began: Instant,
}

impl Jobs {
    /// Whether one more may start.
    pub(super) fn may_start(&self) -> bool {
        self.counted.len() < CONCURRENT && self.counted.len() + self.slow.len() + self.unresponsive.len() < THREADS
    }

    /// Whether none is under way but those that wait for a mount that does not answer.
    pub(super) fn is_idle(&self) -> bool {
        self.counted.is_empty() && self.slow.is_empty()
    }

    pub(super) fn start(&mut self, key: SlotKey, began: Instant) -> JobNumber {
        self.started += 1;
        let number = JobNumber(self.started);
        self.counted.push_back(Running { key, number, began });
        number
    }

    pub(super) fn finish(&mut self, number: JobNumber) {
        self.counted.retain(|running| running.number != number);
        self.slow.retain(|running| running.number != number);
        self.unresponsive.remove(&number);
    }

    /// When [`Jobs::overdue`] will next have something to do.
    pub(super) fn next_deadline(&self, pace: &Pace) -> Option<Instant> {
        let slow = self.counted.front().map(|running| running.began + pace.counted);
        let unresponsive = self.slow.front().map(|running| running.began + pace.unresponsive);
        slow.into_iter().chain(unresponsive).min()
    }

    /// Stops counting jobs that take long, and gives those that have just become unresponsive.
    pub(super) fn overdue(&mut self, now: Instant, pace: &Pace) -> Vec<Running> {
        self.slow.extend(older_than(&mut self.counted, now, pace.counted));
        let overdue = older_than(&mut self.slow, now, pace.unresponsive);
        self.unresponsive.extend(overdue.iter().map(|running| running.number));
        overdue
    }
}

/// Takes out what began that long ago.
fn older_than(running: &mut VecDeque<Running>, now: Instant, age: Duration) -> Vec<Running> {
    let count = running.iter().take_while(|running| running.began + age <= now).count();
    running.drain(..count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_awaited_passes_those_that_are_not_and_keeps_nobody_waiting() {
        let mut ready = Ready::default();
        assert!(ready.is_empty());
        (1..=4).for_each(|key| ready.push(SlotKey(key), false));
        (11..=13).for_each(|key| ready.push(SlotKey(key), true));
        let order = || ready.pop().map(|key| key.0);
        let order: Vec<_> = std::iter::from_fn(order).collect();
        assert_eq!(order, [11, 1, 12, 2, 13, 3, 4]);
        ready.push(SlotKey(14), true);
        assert!(!ready.is_empty());
        assert_eq!(ready.pop(), Some(SlotKey(14)));
    }
}
