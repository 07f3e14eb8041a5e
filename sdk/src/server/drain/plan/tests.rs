use proptest::prelude::*;

use super::super::MaxAge;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Now {
    Now { wall: SystemTime::UNIX_EPOCH + 1000 * 24 * HOUR, monotonic: Instant::now() + 100 * HOUR }
}

fn later(now: Now, by: Duration) -> Now {
    Now { wall: now.wall + by, monotonic: now.monotonic + by }
}

/// A connection that began now, with leaves that are valid for long.
fn fresh(now: Now) -> Facts {
    Facts {
        began: now.monotonic,
        own_not_after: Some(now.wall + 90 * 24 * HOUR),
        peer_not_after: Some(now.wall + 90 * 24 * HOUR),
        phase: Phase(0.5),
        drains: true,
        standing: Standing::default(),
        fixed: FixedPoints::default(),
    }
}

fn older(now: Now) -> Facts {
    Facts { standing: Standing { older: true, ..Standing::default() }, ..fresh(now) }
}

fn untrusted(now: Now) -> Facts {
    Facts { standing: Standing { untrusted: true, ..Standing::default() }, ..fresh(now) }
}

fn one(policy: &DrainPolicy, facts: Facts, now: Now) -> Fate {
    plan(policy, &[facts], 100, now)[0]
}

/// The time after `now` at which each is drained.
fn drained(fates: &[Fate], now: Now) -> Vec<Option<Duration>> {
    fates.iter().map(|fate| Some(fate.drain?.0 - now.monotonic)).collect()
}

#[test]
fn superseded_connections_are_kept_unless_the_policy_says_otherwise() {
    let now = now();
    let fate = one(&DrainPolicy::default(), older(now), now);
    assert!(fate.drain.unwrap().0 > now.monotonic + 89 * 24 * HOUR, "but for the end of the peer's leaf: {fate:?}");
}

#[test]
fn superseded_connections_are_drained_evenly_and_the_oldest_first() {
    let now = now();
    let policy = DrainPolicy { superseded: Superseded::Drain { over: 10 * SECOND }, ..DrainPolicy::default() };
    let connections = [older(now), fresh(now), older(now), older(now), older(now), older(now)];
    let fates = plan(&policy, &connections, connections.len(), now);
    let seconds: Vec<_> = drained(&fates, now).into_iter().map(|at| at.unwrap().as_secs()).collect();
    assert_eq!([seconds[0], seconds[2], seconds[3], seconds[4], seconds[5]], [0, 2, 4, 6, 8]);
    assert!(fates[1].drain.unwrap().0 > now.monotonic + HOUR);
    assert_eq!(fates[2].drain.unwrap().1, Why::Superseded);
    assert_eq!(fates[2].cut, Some((now.monotonic + 2 * SECOND + policy.drain_timeout, Why::NotDrained)));
}

#[test]
fn a_point_of_a_spread_stays_when_others_have_gone_and_when_the_next_generation_comes() {
    let start = now();
    let policy = DrainPolicy { superseded: Superseded::Drain { over: 100 * SECOND }, ..DrainPolicy::default() };
    let mut connections = vec![older(start); 10];
    for (facts, fate) in connections.iter_mut().zip(plan(&policy, &[older(start); 10], 10, start)) {
        facts.fixed = fate.fixed;
    }
    let half = later(start, 50 * SECOND);
    let rest = plan(&policy, &connections[5..], 5, half);
    assert_eq!(drained(&rest, start), [50, 60, 70, 80, 90].map(|at| Some(at * SECOND)));
}

#[test]
fn an_untrusted_peer_has_the_short_timeout() {
    let now = now();
    let fate = one(&DrainPolicy::default(), untrusted(now), now);
    assert_eq!(fate.drain, Some((now.monotonic, Why::Untrusted)));
    assert_eq!(fate.cut, Some((now.monotonic + 5 * SECOND, Why::Untrusted)));
}

#[test]
fn untrusted_peers_are_spread_where_they_are_more_than_half_of_all() {
    let now = now();
    let policy = DrainPolicy::default();
    let half = [untrusted(now), untrusted(now), fresh(now), fresh(now)];
    assert_eq!(drained(&plan(&policy, &half, 4, now)[..2], now), [Some(Duration::ZERO); 2]);
    let most = [untrusted(now), untrusted(now), untrusted(now), fresh(now)];
    let fates = plan(&policy, &most, 4, now);
    assert_eq!(drained(&fates[..3], now), [0, 10, 20].map(|at| Some(at * SECOND)));
    assert_eq!(fates[2].cut, Some((now.monotonic + 25 * SECOND, Why::Untrusted)));
}

#[test]
fn a_bundle_that_was_put_right_saves_what_has_not_been_drained_yet() {
    let now = now();
    let policy = DrainPolicy::default();
    let spread = plan(&policy, &[untrusted(now); 3], 3, now);
    let soon = later(now, SECOND);
    let saved = one(&policy, Facts { fixed: spread[2].fixed, ..fresh(now) }, soon);
    assert!(saved.drain.unwrap().0 > now.monotonic + HOUR, "{saved:?}");
    let going = FixedPoints { draining: Some(now.monotonic), ..spread[0].fixed };
    let lost = one(&policy, Facts { fixed: going, ..fresh(now) }, soon);
    assert_eq!((lost.drain, lost.cut), (None, Some((now.monotonic + policy.drain_timeout, Why::NotDrained))));
}

#[test]
fn a_connection_that_is_being_drained_and_loses_its_trust_is_cut_sooner() {
    let start = now();
    let draining = FixedPoints { draining: Some(start.monotonic), ..FixedPoints::default() };
    let then = later(start, 3 * SECOND);
    let fate = one(&DrainPolicy::default(), Facts { fixed: draining, ..untrusted(start) }, then);
    assert_eq!((fate.drain, fate.cut), (None, Some((then.monotonic + 5 * SECOND, Why::Untrusted))));
}

#[test]
fn a_connection_is_cut_when_the_last_second_of_its_peers_leaf_is_over() {
    let now = now();
    let facts = Facts { peer_not_after: Some(now.wall + MINUTE), ..fresh(now) };
    let fate = one(&DrainPolicy::default(), facts, now);
    assert_eq!(fate.cut, Some((now.monotonic + 61 * SECOND, Why::PeerExpires)));
    let overdue = Facts { peer_not_after: Some(now.wall - HOUR), drains: false, ..fresh(now) };
    assert_eq!(one(&DrainPolicy::default(), overdue, now).cut, Some((now.monotonic, Why::PeerExpires)));
}

#[test]
fn an_own_leaf_that_expires_ends_nothing_while_there_is_no_newer_one() {
    let now = now();
    let facts = Facts { own_not_after: Some(now.wall + HOUR), peer_not_after: None, ..fresh(now) };
    let fate = one(&DrainPolicy::default(), facts, now);
    assert_eq!((fate.drain, fate.cut), (None, None));
}

#[test]
fn what_was_made_with_an_expiring_own_leaf_is_drained_before_its_end_once_there_is_a_newer_one() {
    let start = now();
    let own_end = start.wall + 10 * HOUR;
    let renewed = Facts {
        own_not_after: Some(own_end),
        peer_not_after: None,
        standing: Standing { older: true, outlived: true, ..Standing::default() },
        ..fresh(start)
    };
    let fate = one(&DrainPolicy::default(), renewed, later(start, HOUR));
    let (at, why) = fate.drain.unwrap();
    assert_eq!(why, Why::OwnExpires);
    let before = start.monotonic + 10 * HOUR - at;
    assert!(before > 30 * SECOND && before < 5 * MINUTE, "{before:?}");

    // Renewed an hour late: there is no window left, so it is one from then on.
    let late = later(start, 11 * HOUR);
    let (at, _) = one(&DrainPolicy::default(), renewed, late).drain.unwrap();
    assert_eq!(at, late.monotonic + (5 * MINUTE).mul_f64(0.5));
}

#[test]
fn with_a_withdrawn_leaf_all_go() {
    let now = now();
    let facts = Facts { standing: Standing { withdrawn: true, ..Standing::default() }, ..fresh(now) };
    let fate = one(&DrainPolicy::default(), facts, now);
    assert_eq!(fate.drain, Some((now.monotonic, Why::Withdrawn)));
    assert_eq!(fate.cut, Some((now.monotonic + 30 * SECOND, Why::NotDrained)));
}

#[test]
fn what_cannot_be_drained_is_cut_where_the_drain_would_have_ended() {
    let now = now();
    let policy = DrainPolicy { superseded: Superseded::Drain { over: MINUTE }, ..DrainPolicy::default() };
    let fate = one(&policy, Facts { drains: false, ..older(now) }, now);
    assert_eq!((fate.drain, fate.cut), (None, Some((now.monotonic + policy.drain_timeout, Why::NotDrained))));
    let outlived = Standing { outlived: true, ..Standing::default() };
    let own = Facts { drains: false, own_not_after: Some(now.wall + HOUR), standing: outlived, ..fresh(now) };
    let cut = one(&policy, own, now).cut.unwrap();
    assert_eq!(cut.1, Why::PeerExpires, "the end of our own leaf alone cuts nobody");
}

#[test]
fn a_wall_clock_that_was_set_moves_the_ends_of_leaves_and_nothing_else() {
    let start = now();
    let policy = DrainPolicy { max_age: Some(MaxAge { age: HOUR, jitter: Duration::ZERO }), ..DrainPolicy::default() };
    let facts = Facts { peer_not_after: Some(start.wall + 10 * HOUR), ..fresh(start) };
    let jumped = Now { wall: start.wall + 5 * HOUR, ..later(start, MINUTE) };
    let fate = one(&policy, facts, jumped);
    assert_eq!(fate.cut.unwrap(), (start.monotonic + HOUR + policy.drain_timeout, Why::NotDrained));
    assert_eq!(fate.drain.unwrap(), (start.monotonic + HOUR, Why::Age));
    let past = Now { wall: start.wall + 11 * HOUR, ..later(start, MINUTE) };
    assert_eq!(one(&policy, facts, past).cut, Some((past.monotonic, Why::PeerExpires)));
}

#[test]
fn durations_without_end_are_never() {
    let now = now();
    let policy = DrainPolicy {
        superseded: Superseded::Drain { over: Duration::MAX },
        expiry_window: Duration::MAX,
        drain_timeout: Duration::MAX,
        untrusted_timeout: Duration::MAX,
        untrusted_spread: Duration::MAX,
        max_age: Some(MaxAge { age: Duration::MAX, jitter: Duration::MAX }),
    };
    let all = Standing { older: true, outlived: true, untrusted: true, withdrawn: true };
    let connections = [Facts { standing: all, ..fresh(now) }; 3];
    let fates = plan(&policy, &connections, 3, now);
    assert!(fates.iter().all(|fate| fate.cut.unwrap().1 == Why::PeerExpires), "{fates:?}");
}

#[test]
fn most_are_more_than_half() {
    assert!(is_most(1, 1) && is_most(2, 3) && !is_most(1, 2) && !is_most(0, 0) && is_most(usize::MAX, usize::MAX));
}

prop_compose! {
    fn durations(longest: u64)(milliseconds in 0..longest) -> Duration {
        Duration::from_millis(milliseconds)
    }
}

prop_compose! {
    fn policies()(
        over in proptest::option::of(durations(1_000_000)),
        expiry_window in durations(10_000_000),
        drain_timeout in durations(100_000),
        untrusted_timeout in durations(10_000),
        untrusted_spread in durations(100_000),
        max_age in proptest::option::of((durations(10_000_000), durations(10_000_000))),
    ) -> DrainPolicy {
        DrainPolicy {
            superseded: over.map_or(Superseded::Keep, |over| Superseded::Drain { over }),
            expiry_window,
            drain_timeout,
            untrusted_timeout,
            untrusted_spread,
            max_age: max_age.map(|(age, jitter)| MaxAge { age, jitter }),
        }
    }
}

/// A time, and connections of then.
fn given() -> impl Strategy<Value = (Now, Vec<Facts>)> {
    let now = now();
    (Just(now), proptest::collection::vec(connection(now), 1..40))
}

// One that began within the last hours, with leaves that end within hours or have ended.
prop_compose! {
    fn connection(now: Now)(
        age in 0..10_000_u64,
        own in -10_000..20_000_i64,
        peer in proptest::option::of(-100..20_000_i64),
        phase in 0.0..1.0,
        drains in any::<bool>(),
        [older, outlived, untrusted, withdrawn] in any::<[bool; 4]>(),
    ) -> Facts {
        let end = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { now.wall - by } else { now.wall + by }
        };
        Facts {
            began: now.monotonic - Duration::from_secs(age),
            own_not_after: Some(end(own)),
            peer_not_after: peer.map(end),
            phase: Phase(phase),
            drains,
            standing: Standing { older, outlived, untrusted, withdrawn },
            fixed: FixedPoints::default(),
        }
    }
}

proptest! {
    #[test]
    fn no_connection_outlives_its_peers_leaf(policy in policies(), (now, connections) in given()) {
        for (facts, fate) in connections.iter().zip(plan(&policy, &connections, connections.len(), now)) {
            let Some(end) = facts.peer_not_after else { continue };
            let end = now.monotonic + (end + SECOND).duration_since(now.wall).unwrap_or_default();
            prop_assert!(fate.cut.unwrap().0 <= end);
        }
    }

    #[test]
    fn no_untrusted_peer_stays_longer_than_spread_and_timeout(policy in policies(), (now, connections) in given()) {
        for (facts, fate) in connections.iter().zip(plan(&policy, &connections, connections.len(), now)) {
            if facts.standing.untrusted {
                prop_assert!(fate.cut.unwrap().0 <= now.monotonic + policy.untrusted_spread + policy.untrusted_timeout);
            }
        }
    }

    #[test]
    fn what_is_drained_is_cut_in_time_and_not_before(policy in policies(), (now, connections) in given()) {
        for (facts, fate) in connections.iter().zip(plan(&policy, &connections, connections.len(), now)) {
            if let Some((at, _)) = fate.drain {
                prop_assert!(facts.drains);
                let (cut, why) = fate.cut.unwrap();
                prop_assert!(cut <= at.max(now.monotonic) + policy.drain_timeout.max(policy.untrusted_timeout));
                prop_assert!(cut >= at || why == Why::PeerExpires);
            }
        }
    }

    #[test]
    fn planning_again_changes_nothing(policy in policies(), (now, connections) in given(), seconds in 0..10_u64) {
        let mut connections = connections;
        let first = plan(&policy, &connections, connections.len(), now);
        for (facts, fate) in connections.iter_mut().zip(&first) {
            facts.fixed = fate.fixed;
        }
        let then = later(now, Duration::from_secs(seconds));
        for (first, again) in first.iter().zip(plan(&policy, &connections, connections.len(), then)) {
            let same = |one: Option<(Instant, Why)>, other: Option<(Instant, Why)>| match (one, other) {
                // A double may have rounded either; what is past is now.
                (Some((one, _)), Some((other, _))) => {
                    let (one, other) = (one.max(then.monotonic), other.max(then.monotonic));
                    one.max(other) - one.min(other) < Duration::from_millis(1)
                }
                (one, other) => one.is_none() && other.is_none(),
            };
            prop_assert!(same(first.drain, again.drain), "{first:?} {again:?}");
            prop_assert!(first.fixed == again.fixed);
        }
    }

    #[test]
    fn in_any_part_of_a_spread_go_no_more_than_its_share(count in 1..200_usize, over in durations(100_000), from in 0.0..1.0, share in 0.0..1.0) {
        let now = now();
        let policy = DrainPolicy { superseded: Superseded::Drain { over }, ..DrainPolicy::default() };
        let fates = plan(&policy, &vec![older(now); count], count, now);
        let (start, length) = (over.mul_f64(from), over.mul_f64(share));
        let within = drained(&fates, now).into_iter().flatten().filter(|at| *at > start && *at < start + length).count();
        prop_assert!(within as f64 <= share * count as f64 + 1.0, "{within} of {count} in {share}");
    }

    #[test]
    fn a_peer_that_comes_back_with_an_expiring_leaf_is_not_sent_away_at_once(left in 1..100_000_u64, phase in 0.0..1.0) {
        let now = now();
        let facts = Facts { peer_not_after: Some(now.wall + Duration::from_secs(left)), phase: Phase(phase), ..fresh(now) };
        let (at, _) = one(&DrainPolicy::default(), facts, now).drain.unwrap();
        prop_assert!(at - now.monotonic >= Duration::from_secs(left) * 3 / 4);
    }
}
