//! The plan of a channel: from what happened to what it does next. It reads no clock and does nothing itself; [`link`](super::link) carries
//! it out.

use std::time::{Duration, Instant, SystemTime};

use evercert_core::clock::Now;

use crate::backoff::Backoff;
use crate::identity::CLOCK_CHECK;

/// The first and the longest wait after a connection that ended young and unanswered: calls wait meanwhile, so it is short.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The number of connections in a row that may end young and unanswered before calls are told: some may have met a server that was about
/// to go; after more, calls would wait for ever.
const SHORT_LIVED: u32 = 3;

/// The next step of the channel. Anything that happens meanwhile is the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It looks at what is wanted and at what there is.
    Look,
    /// It uses no connection, since none may be used, until something else is wanted.
    Refuse,
    /// It stays with the connection there is for so long, unless that ends or something else is wanted.
    Stay(Duration),
    /// It connects with what is wanted.
    Connect,
    /// After an attempt that failed it waits so long, unless something else is wanted or a call finds no connection.
    /// The connection there is goes on serving.
    Retry(Duration),
    /// It forgets the connection that ended, and waits so long, unless something else is wanted or a call finds no connection.
    Forget(Ended, Duration),
    /// It tells the calls that wait that connections end soon after they were made, this one at last.
    Tell(Ended),
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The step is over, and the plan need not know how it ended.
    Over,
    /// The channel has looked.
    Looked { wanted: Option<Goal>, current: Option<Current>, now: Now },
    /// Something else is wanted.
    Changed,
    /// The server has accepted a connection, which new calls use by now.
    Connected,
    /// No connection could be made.
    Failed,
    /// The connection takes no more calls.
    Ended(Ended),
    /// The wait after that is over; an answer may have come meanwhile.
    Forgotten(Ended),
}

/// A generation to be connected with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) sequence: u64,
    /// The time it was put to use.
    pub(super) since: Instant,
}

/// The connection that new calls use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Current {
    /// The sequence of the generation it was made with.
    pub(super) sequence: u64,
    /// The earlier end of the two leaves it was made with.
    pub(super) not_after: Option<SystemTime>,
    /// The time it is made anew although it works.
    pub(super) renewal: Option<SystemTime>,
}

/// A connection that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// The number of the generation it was made with.
    pub(super) generation: u64,
    /// The time it took calls.
    pub(super) age: Duration,
    /// Whether a call ever got a response on it.
    pub(super) answered: bool,
}

/// The memory of the plan from one step to the next.
#[derive(Debug)]
pub(super) struct Plan {
    /// The time after a swap at which the channel leaves a connection of the former generation: its point of the spread.
    after_swap: Duration,
    /// The waits after attempts that failed.
    backoff: Backoff,
    /// The waits after connections that ended young.
    pauses: Backoff,
    /// The number of connections in a row that took no more calls as soon as they were accepted, and had answered none.
    short_lived: u32,
    /// The time since which the current connection is superseded. A newer generation does not put off that it is left.
    superseded: Option<Instant>,
}

impl Plan {
    pub(super) fn new(after_swap: Duration, backoff: Backoff) -> Self {
        let pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        Self { after_swap, backoff, pauses, short_lived: 0, superseded: None }
    }

    /// The step after an event.
    pub(super) fn after(&mut self, event: Event) -> Step {
        match event {
            Event::Over => Step::Look,
            Event::Looked { wanted: None, .. } => Step::Refuse,
            Event::Looked { wanted: Some(_), current: None, .. } => Step::Connect,
            Event::Looked { wanted: Some(goal), current: Some(current), now } => {
                let wait = self.wait(current, goal, now);
                if wait.is_zero() { Step::Connect } else { Step::Stay(wait) }
            }
            Event::Changed => {
                self.reset();
                Step::Look
            }
            Event::Connected => {
                self.superseded = None;
                Step::Look
            }
            Event::Failed => Step::Retry(self.backoff.next()),
            Event::Ended(ended) if ended.answered => Step::Forget(ended, Duration::ZERO),
            Event::Ended(ended) => {
                let wait = self.pauses.after(ended.age);
                if wait.is_zero() {
                    self.reset();
                }
                Step::Forget(ended, wait)
            }
            Event::Forgotten(ended) => {
                if ended.answered {
                    self.reset();
                }
                let was_short = !ended.answered && ended.age < Backoff::GOOD;
                self.short_lived = if was_short { self.short_lived.saturating_add(1) } else { 0 };
                if self.short_lived > SHORT_LIVED { Step::Tell(ended) } else { Step::Look }
            }
        }
    }

    /// The waits of both kinds begin anew.
    fn reset(&mut self) {
        self.backoff.reset();
        self.pauses.reset();
    }

    /// The time the channel stays with a connection, if nothing else happens.
    fn wait(&mut self, current: Current, goal: Goal, now: Now) -> Duration {
        let until = |end: SystemTime| end.duration_since(now.wall).unwrap_or_default();
        let renewal = current.renewal.map_or(CLOCK_CHECK, until).min(CLOCK_CHECK);
        if current.sequence == goal.sequence {
            return renewal;
        }
        let since = *self.superseded.get_or_insert(goal.since);
        let wait = self.after_swap.saturating_sub(now.monotonic.saturating_duration_since(since));
        let is_outlasted = current.not_after.is_some_and(|end| until(end) <= wait);
        if is_outlasted { Duration::ZERO } else { wait.min(renewal) }
    }
}

#[cfg(test)]
mod tests;
