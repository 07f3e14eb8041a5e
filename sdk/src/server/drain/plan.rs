//! The plan: a pure function of the connections, how they stand to the current generation, and the time.

use std::time::{Duration, Instant, SystemTime};

use evercert_core::clock::{Now, expiry};

use super::{DrainPolicy, Superseded};
use crate::phase::Phase;

/// The share of a leaf's remaining life that a window before its end may take: one in so many.
const WINDOW_SHARE: u32 = 4;

/// A connection as the plan knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::server) struct Facts {
    /// The time its handshake was done.
    pub(in crate::server) began: Instant,
    /// The end of the leaf that we presented in it.
    pub(in crate::server) own_not_after: Option<SystemTime>,
    /// The end of the peer's leaf.
    pub(in crate::server) peer_not_after: Option<SystemTime>,
    /// Its point in every window.
    pub(in crate::server) phase: Phase,
    /// Whether it can be told to go; what cannot, or not yet, is only ever cut.
    pub(in crate::server) drains: bool,
    /// Its standing against the current generation.
    pub(in crate::server) standing: Standing,
    /// Points that earlier plans have fixed; a later one moves none.
    pub(in crate::server) fixed: FixedPoints,
}

/// The standing of a connection against the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::server) struct Standing {
    /// It was made with an older one.
    pub(in crate::server) older: bool,
    /// The current one has a leaf that lasts longer.
    pub(in crate::server) outlived: bool,
    /// Its peer is not trusted.
    pub(in crate::server) untrusted: bool,
    /// There is none: our leaf has expired, and the policy is to fail closed.
    pub(in crate::server) withdrawn: bool,
}

/// Points that stay once fixed: those of spreads, which depend on how many connections there were then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::server) struct FixedPoints {
    superseded: Option<Instant>,
    outlived: Option<Instant>,
    untrusted: Option<Instant>,
    withdrawn: Option<Instant>,
    /// The time since which it is being drained.
    pub(in crate::server) draining: Option<Instant>,
}

/// The future of a connection unless something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Fate {
    /// To be carried into the facts of the next plan.
    pub(in crate::server) fixed: FixedPoints,
    /// The time it is drained; `None` once it is.
    pub(in crate::server) drain: Option<(Instant, Why)>,
    /// The time it is cut.
    pub(in crate::server) cut: Option<(Instant, Why)>,
}

/// Why a connection is drained or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Why {
    Superseded,
    OwnExpires,
    PeerExpires,
    Withdrawn,
    Untrusted,
    Age,
    NotDrained,
}

impl Why {
    pub(in crate::server) fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "it was made with an older generation",
            Self::OwnExpires => "our leaf that it was made with expires",
            Self::PeerExpires => "the peer's leaf expires",
            Self::Withdrawn => "our leaf has expired",
            Self::Untrusted => "the peer is no longer trusted",
            Self::Age => "it is old",
            Self::NotDrained => "it did not drain in time",
        }
    }
}

/// Whether these are more than half of all.
pub(in crate::server) fn is_most(some: usize, all: usize) -> bool {
    some > all.saturating_sub(some)
}

/// Plans for `connections`, the oldest first, of `live` in all.
pub(in crate::server) fn plan(policy: &DrainPolicy, connections: &[Facts], live: usize, now: Now) -> Vec<Fate> {
    let superseded = |facts: &Facts| facts.standing.older && facts.fixed.superseded.is_none();
    let untrusted = |facts: &Facts| facts.standing.untrusted && facts.fixed.untrusted.is_none();
    let mut superseded_points = match policy.superseded {
        Superseded::Keep => None,
        Superseded::Drain { over } => Some(Spread::new(count(connections, superseded), over, now)),
    };
    let newly_untrusted = count(connections, untrusted);
    let over = if is_most(newly_untrusted, live) { policy.untrusted_spread } else { Duration::ZERO };
    let mut untrusted_points = Spread::new(newly_untrusted, over, now);

    let fix = |facts: &Facts| {
        let mut fixed = facts.fixed;
        if superseded(facts)
            && let Some(points) = &mut superseded_points
        {
            fixed.superseded = points.next();
        }
        if untrusted(facts) {
            fixed.untrusted = untrusted_points.next();
        }
        // A reason that has lapsed ends nothing, unless it has begun to: a bundle that was put right again saves the rest.
        fixed.untrusted = fixed.untrusted.filter(|_| facts.standing.untrusted);
        let since = |fixed: Option<Instant>, holds: bool| holds.then(|| fixed.unwrap_or(now.monotonic));
        fixed.outlived = since(fixed.outlived, facts.standing.outlived);
        fixed.withdrawn = since(fixed.withdrawn, facts.standing.withdrawn);
        fixed
    };
    let fixed: Vec<FixedPoints> = connections.iter().map(fix).collect();
    connections.iter().zip(fixed).map(|(facts, fixed)| fate(policy, facts, fixed, now)).collect()
}

fn count(connections: &[Facts], these: impl Fn(&Facts) -> bool) -> usize {
    connections.iter().filter(|facts| these(facts)).count()
}

fn fate(policy: &DrainPolicy, facts: &Facts, fixed: FixedPoints, now: Now) -> Fate {
    let mut drain: Option<(Instant, Why)> = None;
    let mut cut = facts.peer_not_after.and_then(|end| Some((on_the_monotonic(expiry(end), now)?, Why::PeerExpires)));
    let mut goes = |at: Option<Instant>, timeout: Duration, why: Why| {
        let Some(at) = at else { return };
        sooner(&mut drain, Some((at, why)));
        let late = if why == Why::Untrusted { why } else { Why::NotDrained };
        sooner(&mut cut, at.checked_add(timeout).map(|at| (at, late)));
    };
    goes(fixed.superseded, policy.drain_timeout, Why::Superseded);
    goes(fixed.untrusted, policy.untrusted_timeout, Why::Untrusted);
    goes(fixed.withdrawn, policy.drain_timeout, Why::Withdrawn);
    goes(fixed.draining, policy.drain_timeout, Why::NotDrained);
    let aged = policy.max_age.and_then(|max| {
        let early = facts.phase.of(max.jitter.min(max.age));
        facts.began.checked_add(max.age - early)
    });
    goes(aged, policy.drain_timeout, Why::Age);
    // For what can only be cut, our own leaf's end is no reason that outweighs a failed call; the peer's is, when it comes.
    if facts.drains {
        let window = Window { policy, facts, now };
        goes(window.before(facts.peer_not_after), policy.drain_timeout, Why::PeerExpires);
        let own = fixed.outlived.and_then(|outlived| window.since(outlived, facts.own_not_after));
        goes(own, policy.drain_timeout, Why::OwnExpires);
    }
    let drain = drain.filter(|_| facts.drains && fixed.draining.is_none());
    Fate { fixed, drain, cut }
}

fn sooner(first: &mut Option<(Instant, Why)>, other: Option<(Instant, Why)>) {
    if let Some((at, _)) = other
        && first.is_none_or(|(first, _)| at < first)
    {
        *first = other;
    }
}

/// The moment the wall clock will show that, as it runs now; the past is now.
fn on_the_monotonic(wall: SystemTime, now: Now) -> Option<Instant> {
    now.monotonic.checked_add(wall.duration_since(now.wall).unwrap_or_default())
}

/// The points of a spread: the k-th of n after k n-ths.
struct Spread {
    start: Instant,
    over: Duration,
    count: usize,
    given: usize,
}

impl Spread {
    fn new(count: usize, over: Duration, now: Now) -> Self {
        Self { start: now.monotonic, over, count, given: 0 }
    }

    fn next(&mut self) -> Option<Instant> {
        // Both counts are of connections: no process has more than a double counts exactly.
        let share = self.given as f64 / self.count.max(1) as f64;
        self.given += 1;
        self.start.checked_add(self.over.mul_f64(share))
    }
}

/// The window before the end of a leaf.
struct Window<'a> {
    policy: &'a DrainPolicy,
    facts: &'a Facts,
    now: Now,
}

impl Window<'_> {
    /// The connection's point in the window before that end. It leaves running calls the time to finish, and lies behind the
    /// connection's beginning: a peer that comes back with the same leaf is not sent away at once.
    fn before(&self, end: Option<SystemTime>) -> Option<Instant> {
        let (start, length) = self.of(end?)?;
        on_the_monotonic(start + self.facts.phase.of(length), self.now)
    }

    /// As [`Window::before`], where there is a reason only since `since`. One too late for the window is spread over a whole
    /// one from then on.
    fn since(&self, since: Instant, end: Option<SystemTime>) -> Option<Instant> {
        let ago = self.now.monotonic.saturating_duration_since(since);
        match self.of(end?) {
            Some((start, _)) if self.now.wall.checked_sub(ago)? <= start => self.before(end),
            _ => since.checked_add(self.facts.phase.of(self.policy.expiry_window)),
        }
    }

    /// The start of the window, and the most that its points lie apart; `None` where the connection began after the end.
    fn of(&self, end: SystemTime) -> Option<(SystemTime, Duration)> {
        let age = self.now.monotonic.saturating_duration_since(self.facts.began);
        // By the wall clock as it runs now: it may have been set since.
        let began = self.now.wall.checked_sub(age)?;
        let left = end.duration_since(began).ok()?;
        let length = self.policy.expiry_window.min(left / WINDOW_SHARE);
        let finishing = self.policy.drain_timeout.min(length / 2);
        Some((end - length, length - finishing))
    }
}

#[cfg(test)]
mod tests;
