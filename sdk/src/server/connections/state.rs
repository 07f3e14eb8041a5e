//! The record of each connection, and what is next for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use evercert_core::clock::Now;
use tokio_util::sync::CancellationToken;

use crate::identity::Member;
use crate::server::drain::{DrainPolicy, Facts, Fate, Why, plan};
use crate::server::serving::Serving;
use crate::tls::session::Session;
use crate::tls::{Generation, Trust};

/// State of [`Connections`](super::Connections).
#[derive(Default)]
pub(super) struct State {
    live: BTreeMap<u64, Live>,
    /// Each connection's next step, the soonest first.
    agenda: BTreeSet<(Instant, u64)>,
    /// The number of connections so far, which is the last one's own.
    entered: u64,
    /// The warden's next look; `None`: not before it is stirred.
    looks_at: Option<Instant>,
    /// The generation of new handshakes.
    pub(super) current: Option<Arc<Generation>>,
    /// There are no new handshakes, since our leaf has expired.
    pub(super) withdrawn: bool,
    /// `live` has not been held against `current` and `withdrawn` yet.
    pub(super) unjudged: bool,
    /// No more connections are taken.
    pub(super) closed: bool,
    /// All are to go.
    pub(super) leaving: bool,
}

/// The record of one connection.
pub(super) struct Live {
    pub(super) session: Arc<Session>,
    /// The trust it was last held against.
    pub(super) verified: Option<Arc<Trust>>,
    pub(super) facts: Facts,
    pub(super) fate: Fate,
    pub(super) cut: CancellationToken,
    /// Serves it and can drain it, once it is served and until it is drained.
    pub(super) serving: Option<Serving>,
    /// Its time on the agenda.
    pub(super) listed: Option<Instant>,
    pub(super) _member: Member,
}

#[derive(Default)]
pub(in crate::server) struct Due {
    /// Dropping what serves them drains these connections.
    pub(in crate::server) drained: Vec<(u64, Why, Option<Serving>)>,
    /// Cancelling these cuts their connections.
    pub(in crate::server) cut: Vec<(u64, Why, CancellationToken)>,
}

/// The rest to watch over.
pub(in crate::server) enum Watch {
    /// This is when the next thing is due.
    Until(Instant),
    /// Nothing is due for any connection.
    Idle,
    /// No connection is left and none will come.
    Over,
}

impl State {
    pub(super) fn live(&self) -> &BTreeMap<u64, Live> {
        &self.live
    }

    pub(super) fn live_mut(&mut self) -> &mut BTreeMap<u64, Live> {
        &mut self.live
    }

    /// The number of the connection that is entered next.
    pub(super) fn next_number(&mut self) -> u64 {
        self.entered += 1;
        self.entered
    }

    /// `true`: something is due for it before the warden looks next.
    pub(super) fn enter(&mut self, number: u64, live: Live) -> bool {
        self.live.insert(number, live);
        self.list(number);
        self.is_due_before_the_look()
    }

    /// Takes another plan for one connection. `true`: something is due for it before the warden looks next.
    pub(super) fn replan(&mut self, number: u64, fate: Fate) -> bool {
        let Some(live) = self.live.get_mut(&number) else { return false };
        live.fate = fate;
        live.facts.fixed = fate.fixed;
        if let Some(at) = live.listed.take() {
            self.agenda.remove(&(at, number));
        }
        self.list(number);
        self.is_due_before_the_look()
    }

    fn is_due_before_the_look(&self) -> bool {
        match (self.agenda.first(), self.looks_at) {
            (Some((at, _)), Some(looks_at)) => *at < looks_at,
            (first, None) => first.is_some(),
            (None, _) => false,
        }
    }

    pub(super) fn leave(&mut self, number: u64) -> Option<Live> {
        let left = self.live.remove(&number)?;
        if let Some(at) = left.listed {
            self.agenda.remove(&(at, number));
        }
        Some(left)
    }

    /// Plans anew for all.
    pub(super) fn plan(&mut self, policy: &DrainPolicy, now: Now) {
        let facts: Vec<Facts> = self.live.values().map(|live| live.facts).collect();
        let fates = plan(policy, &facts, facts.len(), now);
        self.agenda.clear();
        for ((number, live), fate) in self.live.iter_mut().zip(fates) {
            live.fate = fate;
            live.facts.fixed = fate.fixed;
            live.listed = live.next();
            self.agenda.extend(live.listed.map(|at| (at, *number)));
        }
    }

    /// The work due, and what is next.
    pub(super) fn due(&mut self, now: Instant) -> (Due, Watch) {
        let mut due = Due::default();
        while let Some(&(at, number)) = self.agenda.first()
            && at <= now
        {
            self.agenda.pop_first();
            let Some(live) = self.live.get_mut(&number) else { continue };
            live.listed = None;
            if let Some((_, why)) = live.fate.drain.take_if(|(at, _)| *at <= now) {
                live.facts.fixed.draining = Some(now);
                due.drained.push((number, why, live.serving.take()));
            }
            if let Some((_, why)) = live.fate.cut.take_if(|(at, _)| *at <= now) {
                due.cut.push((number, why, live.cut.clone()));
            } else {
                self.list(number);
            }
        }
        self.looks_at = self.agenda.first().map(|(at, _)| *at);
        let watch = match self.looks_at {
            _ if self.live.is_empty() && self.closed => Watch::Over,
            Some(at) => Watch::Until(at),
            None => Watch::Idle,
        };
        (due, watch)
    }

    /// Lists what is next for a connection that is not listed.
    fn list(&mut self, number: u64) {
        let Some(live) = self.live.get_mut(&number) else { return };
        live.listed = live.next();
        self.agenda.extend(live.listed.map(|at| (at, number)));
    }
}

impl Live {
    /// The time something is due.
    fn next(&self) -> Option<Instant> {
        if self.cut.is_cancelled() {
            return None;
        }
        [self.fate.drain, self.fate.cut].into_iter().flatten().map(|(at, _)| at).min()
    }
}
