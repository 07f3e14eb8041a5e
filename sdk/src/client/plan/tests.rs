use std::time::Instant;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Now {
    Now { wall: SystemTime::UNIX_EPOCH + 1000 * 24 * HOUR, monotonic: Instant::now() + 100 * HOUR }
}

fn plan(after_swap: Duration) -> Plan {
    Plan::new(after_swap, Backoff::new(FIRST_DELAY, LONGEST_DELAY))
}

fn later(now: Now, by: Duration) -> Now {
    Now { wall: now.wall + by, monotonic: now.monotonic + by }
}

fn goal(sequence: u64, since: Now) -> Option<Goal> {
    Some(Goal { sequence, since: since.monotonic })
}

/// A connection with leaves that are valid for long.
fn current(sequence: u64) -> Option<Current> {
    Some(Current { sequence, not_after: None, renewal: None })
}

fn looked(wanted: Option<Goal>, current: Option<Current>, now: Now) -> Event {
    Event::Looked { wanted, current, now }
}

fn ended(age: Duration, answered: bool) -> Ended {
    Ended { generation: 7, age, answered }
}

/// The wait after a connection ended so, and the step after that.
fn end(plan: &mut Plan, before: Ended, after: Ended) -> (Duration, Step) {
    let Step::Forget(forgotten, wait) = plan.after(Event::Ended(before)) else { panic!("it is not forgotten") };
    assert_eq!(forgotten, before);
    (wait, plan.after(Event::Forgotten(after)))
}

fn retry(plan: &mut Plan) -> Duration {
    match plan.after(Event::Failed) {
        Step::Retry(wait) => wait,
        other => panic!("{other:?}"),
    }
}

fn is_first(wait: Duration) -> bool {
    (FIRST_DELAY..=2 * FIRST_DELAY).contains(&wait)
}

#[test]
fn a_channel_without_a_connection_makes_one_at_once_if_it_may() {
    let (mut plan, now) = (plan(10 * SECOND), now());
    assert_eq!(plan.after(looked(goal(1, now), None, now)), Step::Connect);
    assert_eq!(plan.after(looked(None, None, now)), Step::Refuse);
    assert_eq!(plan.after(looked(None, current(1), now)), Step::Refuse, "nor may the one there is be used");
    assert_eq!(plan.after(Event::Over), Step::Look);
}

#[test]
fn with_what_is_wanted_it_stays_until_the_renewal_and_looks_at_the_clock_now_and_then() {
    let (mut plan, now) = (plan(10 * SECOND), now());
    let renewed = |after| Some(Current { sequence: 1, not_after: None, renewal: Some(now.wall + after) });
    assert_eq!(plan.after(looked(goal(1, now), current(1), now)), Step::Stay(CLOCK_CHECK));
    assert_eq!(plan.after(looked(goal(1, now), renewed(HOUR), now)), Step::Stay(CLOCK_CHECK));
    assert_eq!(plan.after(looked(goal(1, now), renewed(SECOND), now)), Step::Stay(SECOND));
    assert_eq!(plan.after(looked(goal(1, now), renewed(SECOND), later(now, SECOND))), Step::Connect);
}

#[test]
fn a_superseded_connection_is_left_at_the_channels_point_of_the_spread() {
    let (mut plan, swap) = (plan(40 * SECOND), now());
    assert_eq!(plan.after(looked(goal(2, swap), current(1), swap)), Step::Stay(CLOCK_CHECK));
    let then = later(swap, 30 * SECOND);
    assert_eq!(plan.after(looked(goal(2, swap), current(1), then)), Step::Stay(10 * SECOND));
    // A newer generation does not put it off.
    assert_eq!(plan.after(Event::Changed), Step::Look);
    assert_eq!(plan.after(looked(goal(3, then), current(1), then)), Step::Stay(10 * SECOND));
    let then = later(swap, 40 * SECOND);
    assert_eq!(plan.after(looked(goal(3, then), current(1), then)), Step::Connect);
    // The next move has a point of its own.
    assert_eq!(plan.after(Event::Connected), Step::Look);
    assert_eq!(plan.after(looked(goal(4, then), current(3), then)), Step::Stay(CLOCK_CHECK));
    assert_eq!(plan.after(looked(goal(4, then), current(3), later(then, 40 * SECOND))), Step::Connect);
}

#[test]
fn a_spread_without_end_is_never_over() {
    let (mut plan, now) = (plan(Duration::MAX), now());
    assert_eq!(plan.after(looked(goal(2, now), current(1), now)), Step::Stay(CLOCK_CHECK));
}

#[test]
fn a_superseded_connection_is_left_at_once_where_a_leaf_of_it_ends_before_its_point() {
    let (mut plan, now) = (plan(40 * SECOND), now());
    let until = |after| Some(Current { sequence: 1, not_after: Some(now.wall + after), renewal: None });
    assert_eq!(plan.after(looked(goal(2, now), until(40 * SECOND), now)), Step::Connect);
    assert_eq!(plan.after(looked(goal(2, now), until(41 * SECOND), now)), Step::Stay(CLOCK_CHECK));
    let renewed = Some(Current { sequence: 1, not_after: None, renewal: Some(now.wall) });
    assert_eq!(plan.after(looked(goal(2, now), renewed, now)), Step::Connect, "nor may the renewal come too late");
}

#[test]
fn attempts_that_fail_are_repeated_after_longer_and_longer_waits_until_something_changes() {
    let mut plan = plan(Duration::ZERO);
    assert!(is_first(retry(&mut plan)));
    let waits: Vec<_> = (0..40).map(|_| retry(&mut plan)).collect();
    assert!(waits[39] >= LONGEST_DELAY && waits.iter().all(|wait| *wait <= 2 * LONGEST_DELAY), "{waits:?}");
    assert_eq!(plan.after(Event::Over), Step::Look);
    assert!(retry(&mut plan) >= LONGEST_DELAY);
    assert_eq!(plan.after(Event::Changed), Step::Look);
    assert!(is_first(retry(&mut plan)));
}

#[test]
fn after_a_connection_that_was_good_the_next_is_made_at_once() {
    let mut plan = plan(Duration::ZERO);
    for good in [ended(Duration::ZERO, true), ended(Backoff::GOOD, false)] {
        (0..9).for_each(|_| _ = retry(&mut plan));
        assert_eq!(end(&mut plan, good, good), (Duration::ZERO, Step::Look));
        assert!(is_first(retry(&mut plan)), "{good:?}");
    }
}

#[test]
fn calls_are_told_when_one_connection_too_many_was_short_lived() {
    let mut plan = plan(Duration::ZERO);
    let short = ended(Backoff::GOOD - Duration::from_millis(1), false);
    for _ in 0..3 {
        for _ in 0..SHORT_LIVED {
            let (wait, step) = end(&mut plan, short, short);
            assert!(wait >= FIRST_DELAY && step == Step::Look);
        }
        // An answer that comes while the channel waits counts too.
        assert_eq!(end(&mut plan, short, Ended { answered: true, ..short }).1, Step::Look);
    }
    (0..SHORT_LIVED).for_each(|_| _ = end(&mut plan, short, short));
    assert_eq!(end(&mut plan, short, short).1, Step::Tell(short));
    assert_eq!(end(&mut plan, short, short).1, Step::Tell(short));
    assert_eq!(end(&mut plan, ended(HOUR, false), ended(HOUR, false)).1, Step::Look);
    assert_eq!(end(&mut plan, short, short).1, Step::Look);
}

fn events() -> impl Strategy<Value = (u8, u64, u64, bool, Option<u64>)> {
    (0..7_u8, 0..100_000_u64, 0..4_u64, any::<bool>(), prop::option::of(0..200_000_u64))
}

proptest! {
    #[test]
    fn whatever_happens_waits_are_bounded_and_no_failure_is_followed_by_an_attempt_at_once(
        spread in 0..600_u32,
        events in prop::collection::vec(events(), 1..60),
    ) {
        let mut plan = plan(spread * SECOND);
        let mut time = now();
        for (kind, millis, sequence, answered, left) in events {
            let passed = Duration::from_millis(millis);
            time = later(time, passed);
            let ended = ended(passed, answered);
            let end = left.map(|left| time.wall + Duration::from_millis(left));
            let there = answered.then_some(Current { sequence: 1, not_after: end, renewal: end });
            let event = match kind {
                0 => Event::Over,
                1 => looked(goal(sequence, time), there, time),
                2 => Event::Changed,
                3 => Event::Connected,
                4 => Event::Failed,
                5 => Event::Ended(ended),
                _ => Event::Forgotten(ended),
            };
            match (event, plan.after(event)) {
                (Event::Looked { .. }, Step::Stay(wait)) => prop_assert!(!wait.is_zero() && wait <= CLOCK_CHECK),
                (Event::Looked { wanted, current, .. }, Step::Connect) => {
                    let is_newest = wanted.map(|goal| goal.sequence) == current.map(|current| current.sequence);
                    prop_assert!(!is_newest || end == Some(time.wall), "it leaves what it wants");
                }
                (Event::Failed, Step::Retry(wait)) => {
                    prop_assert!((FIRST_DELAY..=2 * LONGEST_DELAY).contains(&wait));
                }
                (Event::Ended(ended), Step::Forget(_, wait)) => {
                    let is_good = ended.answered || ended.age >= Backoff::GOOD;
                    prop_assert_eq!(wait.is_zero(), is_good);
                    prop_assert!(is_good || (FIRST_DELAY..=2 * LONGEST_DELAY).contains(&wait));
                }
                (Event::Forgotten(_), step) => prop_assert!(matches!(step, Step::Look | Step::Tell(_))),
                (Event::Over | Event::Changed | Event::Connected, step) => prop_assert_eq!(step, Step::Look),
                (event, step) => prop_assert!(false, "{:?} after {:?}", step, event),
            }
        }
    }
}
