//! The live connections of one identity at one server.
//!
//! ```text
//! handshake ─ enter ─→ Connections ←─ generation, withdrawn ─ slot
//!    TlsIo ─ dropped ─→    ↕ checks, what is due
//!                        warden
//! ```
//!
//! An entry lives exactly as long as its connection's IO does, whoever holds that, so that no way a connection can end has to be
//! thought of here.

mod state;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use evercert_core::clock::Now;
use evercert_core::path::PathError;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::drain::{DrainPolicy, Facts, Fate, FixedPoints, Standing, plan};
use super::serving::Serving;
use crate::identity::{Member, Tally, now};
use crate::phase::Phases;
use crate::telemetry::HandshakeResult;
use crate::tls::allowed::NotAllowed;
use crate::tls::outcome;
use crate::tls::session::Session;
use crate::tls::{AllowedPeers, Generation, Trust};
pub(super) use state::{Due, Watch};
use state::{Live, State};

/// The live connections of one identity at one server: the one owner of what is known of them.
pub(super) struct Connections {
    /// The identity's name, for the log.
    pub(super) identity: Arc<str>,
    policy: DrainPolicy,
    allowed: Option<AllowedPeers>,
    /// Whether all connections can be drained; else one can only be cut until its serve loop asks to be told.
    drains: bool,
    tally: Arc<Tally>,
    phases: Phases,
    state: Mutex<State>,
    /// Wakes the warden: there is something to judge, or something is due sooner than it knew.
    pub(super) stirred: Notify,
    emptied: Notify,
}

/// A connection's place among the live ones; dropped with its IO.
pub(super) struct Entry {
    connections: Arc<Connections>,
    number: u64,
    cut: CancellationToken,
    /// Cancelled when the connection is to be drained, for a serve loop that asked to be told.
    drained: Option<CancellationToken>,
}

/// Whether a live connection's peer is trusted still.
pub(super) struct PeerCheck {
    pub(super) number: u64,
    pub(super) session: Arc<Session>,
    pub(super) trusted: Result<(), Distrust>,
}

/// Why a live connection's peer is not trusted any more.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Distrust {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
}

/// A connection that may not stay, though its handshake went well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwelcome {
    #[error("the server is closing")]
    Closed,
    #[error("the identity's leaf has expired")]
    Withdrawn,
    #[error("trust has changed since the handshake began: {0}")]
    Untrusted(#[from] Distrust),
}

impl Unwelcome {
    /// How the handshake ended, as it is counted.
    pub(super) fn outcome(&self) -> HandshakeResult {
        match self {
            Self::Closed | Self::Withdrawn => HandshakeResult::Success,
            Self::Untrusted(Distrust::Path(error)) => outcome::of_path(error),
            Self::Untrusted(Distrust::NotAllowed(_)) => HandshakeResult::CertificateVerificationFailed,
        }
    }
}

impl Connections {
    pub(super) fn new(identity: Arc<str>, policy: DrainPolicy, drains: bool, tally: Arc<Tally>) -> Self {
        let (state, stirred, emptied) = (Mutex::default(), Notify::new(), Notify::new());
        Self { identity, policy, allowed: None, drains, tally, phases: Phases::default(), state, stirred, emptied }
    }

    /// The same, where only these are let in.
    pub(super) fn with_allowed(self, allowed: Option<AllowedPeers>) -> Self {
        Self { allowed, ..self }
    }

    /// The peers that are let in, where not all are.
    pub(super) fn allowed(&self) -> Option<&AllowedPeers> {
        self.allowed.as_ref()
    }

    /// Notes a handshake with that generation in the tally.
    pub(super) fn begin(&self, generation: &Generation) -> Member {
        self.tally.begin(generation.sequence())
    }

    /// Enters a connection whose handshake is done. It is entered first and held against the current generation then: a swap
    /// that came before is seen here, and one that comes later finds the entry.
    ///
    /// # Errors
    ///
    /// Its peer is not trusted any more, or the server takes no more connections.
    pub(super) fn enter(self: &Arc<Self>, session: Session) -> Result<Entry, Unwelcome> {
        let now = now();
        let session = Arc::new(session);
        let member = self.tally.enter(session.generation().sequence());
        let cut = CancellationToken::new();
        let mut state = self.state();
        if state.closed {
            return Err(Unwelcome::Closed);
        }
        let current = state.current.clone().filter(|_| !state.withdrawn).ok_or(Unwelcome::Withdrawn)?;
        let number = state.next_number();
        let mut facts = Facts {
            began: now.monotonic,
            own_not_after: session.own_not_after(),
            peer_not_after: session.peer_not_after(),
            phase: self.phases.next(),
            drains: self.drains,
            standing: standing(&session, &current),
            fixed: FixedPoints::default(),
        };
        let fate = self.fate(facts, state.live().len() + 1, now);
        facts.fixed = fate.fixed;
        let live = Live {
            session: Arc::clone(&session),
            verified: current.trust().cloned(),
            facts,
            fate,
            cut: cut.clone(),
            serving: None,
            listed: None,
            _member: member,
        };
        let sooner = state.enter(number, live);
        drop(state);
        if sooner {
            self.stirred.notify_one();
        }
        let entry = Entry { connections: Arc::clone(self), number, cut, drained: None };
        session.verify(&current, now.wall).map_err(Distrust::from)?;
        self.check_allowed(&session).map_err(Distrust::from)?;
        Ok(entry)
    }

    /// Holds a peer against this generation's trust and the list of the moment.
    ///
    /// # Errors
    ///
    /// It is not trusted.
    pub(super) fn verify(&self, session: &Session, generation: &Generation, wall: SystemTime) -> Result<(), Distrust> {
        session.verify_anew(generation, wall)?;
        self.check_allowed(session)?;
        Ok(())
    }

    fn check_allowed(&self, session: &Session) -> Result<(), NotAllowed> {
        let leaf = session.peer().and_then(<[_]>::first);
        self.allowed.as_ref().zip(leaf).map_or(Ok(()), |(allowed, leaf)| allowed.check(leaf))
    }

    /// New handshakes use this from now on.
    pub(super) fn publish(&self, generation: Arc<Generation>) {
        let mut state = self.state();
        state.current = Some(generation);
        state.withdrawn = false;
        state.unjudged = true;
        drop(state);
        self.stirred.notify_one();
    }

    /// There are no new handshakes from now on, since our leaf has expired.
    pub(super) fn withdraw(&self) {
        let mut state = self.state();
        state.withdrawn = true;
        state.unjudged = true;
        drop(state);
        self.stirred.notify_one();
    }

    /// No more connections are taken; the warden ends with the last one.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.stirred.notify_one();
    }

    /// Keeps what serves the connection until it is to be drained; drops it at once, where it is to be already.
    pub(super) fn serve(&self, number: u64, serving: Serving) {
        let mut state = self.state();
        let (leaving, count) = (state.leaving, state.live().len());
        let mut sooner = false;
        if let Some(live) = state.live_mut().get_mut(&number)
            && !leaving
            && live.facts.fixed.draining.is_none()
        {
            live.serving = Some(serving);
            if !std::mem::replace(&mut live.facts.drains, true) {
                let facts = live.facts;
                sooner = state.replan(number, self.fate(facts, count, now()));
            }
            drop(state);
        } else {
            drop(state);
            drop(serving);
        }
        if sooner {
            self.stirred.notify_one();
        }
    }

    /// Drains all connections, and those still on their way. The caller decides how long that may take.
    pub(super) fn drain(&self) {
        let mut state = self.state();
        state.leaving = true;
        let serving: Vec<_> = state.live_mut().values_mut().filter_map(|live| live.serving.take()).collect();
        drop(state);
        drop(serving);
    }

    /// Cuts all connections.
    pub(super) fn cut(&self) -> usize {
        let all: Vec<_> = self.state().live().values().map(|live| live.cut.clone()).collect();
        all.iter().for_each(CancellationToken::cancel);
        all.len()
    }

    /// Completes when no connection is live.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state().live().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The number of live connections.
    pub(super) fn len(&self) -> usize {
        self.state().live().len()
    }

    /// Whether what is live is to be held against another generation; with the generation.
    pub(super) fn unjudged(&self) -> Option<Arc<Generation>> {
        let state = self.state();
        state.current.clone().filter(|_| state.unjudged)
    }

    /// New handshakes use it, or did before our leaf expired.
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        self.state().current.clone()
    }

    /// The connections whose peers were last held against another trust than this generation's, to be judged.
    pub(super) fn unverified(&self, generation: &Generation) -> Vec<PeerCheck> {
        self.checks(|live| !same(live.verified.as_ref(), generation.trust()))
    }

    /// All connections, to be judged.
    pub(super) fn live(&self) -> Vec<PeerCheck> {
        self.checks(|_| true)
    }

    fn checks(&self, on: impl Fn(&Live) -> bool) -> Vec<PeerCheck> {
        let state = self.state();
        let check = |(number, live): (&u64, &Live)| PeerCheck {
            number: *number,
            session: Arc::clone(&live.session),
            trusted: Ok(()),
        };
        state.live().iter().filter(|(_, live)| on(live)).map(check).collect()
    }

    /// Takes the checks of peers against `generation`, and plans anew. `false`: it is not the current one any more.
    pub(super) fn judge(&self, generation: &Arc<Generation>, checks: &[PeerCheck], now: Now) -> bool {
        let mut state = self.state();
        if !state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, generation)) {
            return false;
        }
        state.unjudged = false;
        for check in checks {
            if let Some(live) = state.live_mut().get_mut(&check.number) {
                live.facts.standing.untrusted = check.trusted.is_err();
                live.verified = generation.trust().cloned();
            }
        }
        let withdrawn = state.withdrawn;
        for live in state.live_mut().values_mut() {
            let untrusted = live.facts.standing.untrusted;
            live.facts.standing = Standing { untrusted, withdrawn, ..standing(&live.session, generation) };
        }
        state.plan(&self.policy, now);
        true
    }

    fn fate(&self, facts: Facts, live: usize, now: Now) -> Fate {
        let fates = plan(&self.policy, &[facts], live, now);
        fates.into_iter().next().unwrap_or(Fate { fixed: facts.fixed, drain: None, cut: None })
    }

    /// The work due, and what is next.
    pub(super) fn due(&self, now: Instant) -> (Due, Watch) {
        self.state().due(now)
    }

    fn leave(&self, number: u64) {
        let mut state = self.state();
        let left = state.leave(number);
        let (empty, closed) = (state.live().is_empty(), state.closed);
        drop(state);
        drop(left);
        if empty {
            self.emptied.notify_waiters();
        }
        if empty && closed {
            self.stirred.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Entry {
    /// The connections it is one of, and its number among them.
    pub(super) fn place(&self) -> (&Arc<Connections>, u64) {
        (&self.connections, self.number)
    }

    /// Cancelled when the connection is to be drained, as it can be from now on.
    pub(super) fn drained(&mut self) -> &CancellationToken {
        self.drained.get_or_insert_with(|| {
            let drained = CancellationToken::new();
            self.connections.serve(self.number, Serving::Own(drained.clone().drop_guard()));
            drained
        })
    }

    /// Cancelled when the connection is to be cut.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.leave(self.number);
    }
}

fn standing(session: &Session, current: &Generation) -> Standing {
    Standing {
        older: session.generation().sequence() < current.sequence(),
        outlived: session.own_not_after() < current.not_after(),
        ..Standing::default()
    }
}

fn same(one: Option<&Arc<Trust>>, other: Option<&Arc<Trust>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

#[cfg(test)]
mod tests;
