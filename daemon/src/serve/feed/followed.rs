//! One identity of a feed, and what its subscriber has been told of it.

use std::sync::Arc;
use std::time::Duration;

use evercert_core::digest::Digest;
use evercert_core::finding::Finding;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;
use tokio::sync::watch;
use tokio::time::Instant;

use super::asker::Asker;
use super::{Made, News, What};
use crate::attest::Denial;
use crate::publication::{Delivery, Disconnect, Report, Subscription};

/// The number of generations of an identity that may be on their way to a subscriber that has answered none of them.
const UNANSWERED: u32 = 4;

/// The time such a subscriber waits for the next generation: it may be one that never reports.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// The time a subscriber waits for a generation's key before it is told why there is nothing yet. With the wait for an identity's
/// first reading that stays below the 10 s that the SDK waits for an answer.
const KEY_PATIENCE: Duration = Duration::from_secs(3);

/// One identity, and what the subscriber has been told of it.
pub(super) struct Followed {
    pub(super) state: watch::Receiver<Arc<IdentityState>>,
    held: Option<Digest>,
    /// Absent once the identity is no longer kept, or the feed has ended.
    pub(super) subscription: Option<Subscription>,
    last_sent: LastSent,
    /// Whether its key was given.
    granted: bool,
    unanswered: Unanswered,
    /// The end of the silent wait for the key of a generation.
    silent_until: Option<Instant>,
    /// The time of the next attempt to decide.
    pub(super) decide_at: Option<Instant>,
    /// Whether it is to be looked whether there is news.
    pub(super) is_due: bool,
}

/// The last news the subscriber was told.
enum LastSent {
    Nothing,
    /// Nothing is published, for these reasons.
    Pending(Arc<[Finding]>),
    /// A generation, and the findings since.
    Generation(u64, Digest, Arc<[Finding]>),
}

/// The generations that were sent since the subscriber's last report.
#[derive(Default)]
struct Unanswered {
    count: u32,
    /// The time from which the next one may be sent although there are [`UNANSWERED`] of them.
    next: Option<Instant>,
}

impl Unanswered {
    fn sent(&mut self) {
        self.count = self.count.saturating_add(1);
        self.next = (self.count >= UNANSWERED).then(|| Instant::now() + UNANSWERED_PAUSE);
    }

    /// The time until which the next generation has to wait.
    fn pause(&self) -> Option<Instant> {
        self.next.filter(|next| *next > Instant::now())
    }
}

impl Followed {
    pub(super) fn new(
        state: watch::Receiver<Arc<IdentityState>>,
        held: Option<Digest>,
        subscription: Subscription,
    ) -> Self {
        Self {
            state,
            held,
            subscription: Some(subscription),
            last_sent: LastSent::Nothing,
            granted: false,
            unanswered: Unanswered::default(),
            silent_until: None,
            decide_at: None,
            is_due: false,
        }
    }

    pub(super) fn end(&mut self, reason: Disconnect) {
        if let Some(subscription) = self.subscription.take() {
            subscription.end(reason);
        }
    }

    pub(super) fn report(&mut self, report: Report) {
        self.unanswered = Unanswered::default();
        if let Some(subscription) = &self.subscription {
            subscription.report(report);
        }
    }

    /// Whether there is another state than when it was last looked, which need not wait.
    pub(super) fn has_changed(&self) -> bool {
        self.unanswered.pause().is_none() && self.state.has_changed().unwrap_or(false)
    }

    /// Whether something is to be told beside the generation told last.
    pub(super) fn is_owed(&self) -> bool {
        match &self.last_sent {
            LastSent::Nothing | LastSent::Pending(_) => true,
            LastSent::Generation(_, _, told) => *told != self.state.borrow().findings,
        }
    }

    /// The time until which the next generation has to wait for an answer to those before.
    pub(super) fn pause(&self) -> Option<Instant> {
        self.unanswered.pause()
    }

    /// The time to look again, though nothing has changed.
    pub(super) fn timer(&self) -> Option<Instant> {
        let silent_until = self.silent_until.filter(|until| *until > Instant::now());
        [self.unanswered.pause(), self.decide_at, silent_until].into_iter().flatten().min()
    }

    /// The news of `state` for the subscriber, where it has not been told yet.
    pub(super) async fn answer<M>(
        &mut self,
        asker: &Asker,
        state: &IdentityState,
        make: &mut (impl FnMut(News<'_>) -> Made<M> + Send),
    ) -> Result<Option<Made<M>>, Denial> {
        let findings = &state.findings;
        let Some(snapshot) = &state.snapshot else {
            if self.has_heard(findings) {
                return Ok(None);
            }
            asker.may_hear(state).await?;
            return Ok(self.pending(state, make));
        };
        let (generation, digest) = (snapshot.generation(), snapshot.digest());
        if matches!(self.last_sent, LastSent::Generation(told, told_digest, _) if (told, told_digest) == (generation, digest))
        {
            if self.has_heard(findings) {
                return Ok(None);
            }
            asker.may_hear(state).await?;
            self.last_sent = LastSent::Generation(generation, digest, Arc::clone(findings));
            return Ok(Some(make(News { state, what: What::Findings })));
        }
        self.generation(asker, snapshot, state, make).await
    }

    /// Whether these findings are what the subscriber was told last.
    fn has_heard(&self, findings: &Arc<[Finding]>) -> bool {
        matches!(&self.last_sent, LastSent::Pending(told) | LastSent::Generation(_, _, told) if told == findings)
    }

    /// The news that there is nothing yet, where the subscriber has nothing; whether it has heard that is its caller's to look.
    fn pending<M>(&mut self, state: &IdentityState, make: &mut impl FnMut(News<'_>) -> Made<M>) -> Option<Made<M>> {
        match &self.last_sent {
            LastSent::Generation(..) => None,
            LastSent::Nothing | LastSent::Pending(_) => {
                self.last_sent = LastSent::Pending(Arc::clone(&state.findings));
                Some(make(News { state, what: What::Pending }))
            }
        }
    }

    /// A generation the subscriber has not seen, if it may have it and the key is in memory.
    async fn generation<M>(
        &mut self,
        asker: &Asker,
        snapshot: &Snapshot,
        state: &IdentityState,
        make: &mut (impl FnMut(News<'_>) -> Made<M> + Send),
    ) -> Result<Option<Made<M>>, Denial> {
        let (generation, digest, findings) = (snapshot.generation(), snapshot.digest(), &state.findings);
        // Only what the subscriber held when it came is known to be in its hands: what was sent since it may have refused.
        if self.held == Some(digest) {
            asker.may_hear(state).await?;
            self.held = None;
            self.last_sent = LastSent::Generation(generation, digest, Arc::default());
            return Ok(Some(make(News { state, what: What::Unchanged(snapshot) })));
        }
        self.held = None;
        let credential = snapshot.credential().filter(|_| asker.deliver == Delivery::Full);
        if credential.is_some_and(|credential| credential.key().is_none()) {
            let until = *self.silent_until.get_or_insert_with(|| Instant::now() + KEY_PATIENCE);
            if until > Instant::now() || self.has_heard(findings) {
                return Ok(None);
            }
            asker.may_hear(state).await?;
            return Ok(self.pending(state, make));
        }
        self.silent_until = None;
        let grant = match asker.decide(state).await {
            Ok(grant) => grant,
            Err(denial) if denial.is_missing() && matches!(self.last_sent, LastSent::Nothing) => {
                asker.confirm()?;
                return Ok(self.pending(state, make));
            }
            Err(denial) => return Err(denial),
        };
        asker.confirm()?;
        // A message may be megabytes large: it is made for whoever may have it, and for nobody else.
        let made = make(News { state, what: What::Generation(snapshot) });
        if made.is_ok() {
            if let Some(grant) = grant.filter(|_| credential.is_some())
                && !std::mem::replace(&mut self.granted, true)
            {
                let wanted = Arc::clone(&asker.wanted.borrow());
                asker.attestor.granted(&asker.peer.caller, &state.spec.id, &grant, &wanted.pods);
            }
            self.last_sent = LastSent::Generation(generation, digest, Arc::clone(findings));
            self.unanswered.sent();
        }
        Ok(Some(made))
    }
}
