//! When each endpoint is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evercert_core::digest::Digest;
use tokio::time::Instant;

use super::Key;

/// How often an endpoint is asked.
pub(super) const EVERY: Duration = Duration::from_secs(3600);

/// How long after a rotation a server may take to present the new certificate: it is asked then, and what it presents before is no fault.
pub(super) const SETTLING: Duration = Duration::from_secs(120);

/// How long after it did not answer an endpoint is asked again; each further time twice as long, up to [`EVERY`].
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// What an endpoint is expected to present, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// The fingerprint of the published leaf.
    pub(super) leaf: Digest,
    /// A name of that leaf, for an endpoint that is known by its address.
    pub(super) server_name: Option<String>,
}

/// What is made of a presented leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is the published one.
    Fresh,
    /// It is another one, and the published one is that for a moment only.
    MayBeLate,
    /// It is another one.
    Stale,
}

/// The endpoints, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    plans: BTreeMap<Key, Plan>,
}

#[derive(Debug)]
struct Plan {
    expected: Expected,
    /// When the leaf was first seen published.
    since: Instant,
    due: Instant,
    /// How often it did not answer since it last did.
    failures: u32,
}

impl Schedule {
    /// These endpoints and no others are to be asked: new ones at once, those of a leaf that was rotated once that had time to settle. Gives
    /// those that are none of them any more.
    pub(super) fn expect(&mut self, endpoints: Vec<(Key, Expected)>, now: Instant) -> Vec<Key> {
        let mut gone: BTreeSet<Key> = self.plans.keys().cloned().collect();
        for (key, expected) in endpoints {
            gone.remove(&key);
            match self.plans.get_mut(&key) {
                None => {
                    self.plans.insert(key, Plan { expected, since: now, due: now, failures: 0 });
                }
                Some(plan) if plan.expected.leaf != expected.leaf => {
                    *plan = Plan { expected, since: now, due: now + SETTLING, failures: 0 };
                }
                Some(_) => {}
            }
        }
        gone.iter().for_each(|key| drop(self.plans.remove(key)));
        gone.into_iter().collect()
    }

    /// An endpoint that is due; it is due again after a while.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Key, Expected)> {
        let (key, plan) = self.plans.iter_mut().filter(|(_, plan)| plan.due <= now).min_by_key(|(_, plan)| plan.due)?;
        let settled = plan.since + SETTLING;
        plan.due = if now < settled { settled } else { now + EVERY };
        Some((key.clone(), plan.expected.clone()))
    }

    /// An endpoint that was asked while `leaf` was published did not answer: it is asked again soon, and later each time.
    pub(super) fn failed(&mut self, key: &Key, leaf: Digest, now: Instant) {
        // One whose leaf was rotated meanwhile is asked again for that.
        let Some(plan) = self.plans.get_mut(key).filter(|plan| plan.expected.leaf == leaf) else { return };
        let pause = AGAIN.saturating_mul(2_u32.saturating_pow(plan.failures)).min(EVERY);
        plan.failures = plan.failures.saturating_add(1);
        plan.due = plan.due.min(now + pause);
    }

    /// An endpoint answered.
    pub(super) fn answered(&mut self, key: &Key) {
        if let Some(plan) = self.plans.get_mut(key) {
            plan.failures = 0;
        }
    }

    /// Whether an endpoint is still one of them.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.plans.contains_key(key)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.plans.values().map(|plan| plan.due).min()
    }

    /// What is made of `presented`, by an endpoint that was asked while `leaf` was published; nothing, where neither is of interest any more.
    pub(super) fn judge(&self, key: &Key, leaf: Digest, presented: Digest, now: Instant) -> Option<Judgement> {
        let plan = self.plans.get(key)?;
        Some(match plan.expected.leaf {
            published if published == presented => Judgement::Fresh,
            // It was rotated meanwhile, and is asked again for that.
            published if published != leaf || now < plan.since + SETTLING => Judgement::MayBeLate,
            _ => Judgement::Stale,
        })
    }
}

#[cfg(test)]
mod tests {
    use evercert_core::identity::IdentityId;

    use super::*;

    fn key(port: u16) -> Key {
        (IdentityId::node("a".parse().unwrap()), format!("localhost:{port}").parse().unwrap())
    }

    fn leaf(byte: u8) -> Digest {
        [byte; 32].into()
    }

    fn expected(ports: &[u16], byte: u8) -> Vec<(Key, Expected)> {
        ports.iter().map(|port| (key(*port), Expected { leaf: leaf(byte), server_name: None })).collect()
    }

    #[test]
    fn an_endpoint_is_asked_at_once_when_it_had_time_to_settle_and_then_every_hour() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        assert!(schedule.expect(expected(&[1], 1), start).is_empty());
        let mut asked = Vec::new();
        while asked.len() < 4 {
            let next = schedule.next().unwrap();
            assert!(schedule.due(next - Duration::from_millis(1)).is_none());
            assert_eq!(schedule.due(next).unwrap().0, key(1));
            asked.push(next - start);
        }
        assert_eq!(asked, [Duration::ZERO, SETTLING, SETTLING + EVERY, SETTLING + EVERY * 2]);
    }

    #[test]
    fn one_that_does_not_answer_is_asked_again_soon_and_later_each_time_up_to_an_hour() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.expect(expected(&[1], 1), start);
        let mut now = start + SETTLING;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            schedule.due(now).unwrap();
            schedule.failed(&key(1), leaf(1), now);
            let next = schedule.next().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        schedule.due(now).unwrap();
        schedule.answered(&key(1));
        assert_eq!(schedule.next(), Some(now + EVERY));
        schedule.failed(&key(1), leaf(1), now);
        assert_eq!(schedule.next(), Some(now + AGAIN), "it is as patient as at first");
        schedule.expect(expected(&[1], 2), now);
        schedule.failed(&key(1), leaf(1), now);
        assert_eq!(schedule.next(), Some(now + SETTLING), "it was asked for the former leaf");
    }

    #[test]
    fn after_a_rotation_it_is_asked_when_that_had_time_to_settle_and_not_before() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.expect(expected(&[1], 1), start);
        schedule.due(start);
        let rotated = start + SETTLING * 10;
        while schedule.due(rotated).is_some() {}
        schedule.expect(expected(&[1], 2), rotated);
        assert_eq!(schedule.next(), Some(rotated + SETTLING));
        assert!(schedule.due(rotated + SETTLING - Duration::from_secs(1)).is_none());
        assert!(schedule.due(rotated + SETTLING).is_some());
    }

    #[test]
    fn another_leaf_is_stale_only_once_a_server_had_the_time_to_take_the_new_one() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.expect(expected(&[1], 1), start);
        let judge = |schedule: &Schedule, asked, presented, after| {
            schedule.judge(&key(1), leaf(asked), leaf(presented), start + after).unwrap()
        };
        assert_eq!(judge(&schedule, 1, 1, Duration::ZERO), Judgement::Fresh);
        assert_eq!(judge(&schedule, 1, 9, Duration::ZERO), Judgement::MayBeLate);
        assert_eq!(judge(&schedule, 1, 9, SETTLING), Judgement::Stale);
        schedule.expect(expected(&[1], 2), start + SETTLING * 5);
        assert_eq!(judge(&schedule, 1, 1, SETTLING * 5), Judgement::MayBeLate, "it was asked before the rotation");
        assert_eq!(judge(&schedule, 2, 1, SETTLING * 6), Judgement::Stale);
        assert_eq!(judge(&schedule, 2, 2, SETTLING * 6), Judgement::Fresh);
    }

    #[test]
    fn what_is_named_no_longer_is_neither_asked_nor_judged() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.expect(expected(&[1, 2], 1), start);
        assert_eq!(schedule.expect(expected(&[2], 1), start), [key(1)]);
        assert_eq!(schedule.due(start).unwrap().0, key(2));
        assert!(schedule.due(start).is_none());
        assert_eq!(schedule.judge(&key(1), leaf(1), leaf(1), start), None);
    }
}
