//! What one subscriber is told of a set of identities: attested, and the latest wins.
//!
//! A feed is pulled: the next message is asked for only once the subscriber has taken the one before, and what it gets is made
//! from the state that is the latest then. So a subscriber that reads slowly, or not at all, skips generations and costs no queue here. Nor
//! in its own connection, whose window may be megabytes wide: a subscriber that has left a few generations of an identity unanswered gets
//! the next one when it reports, or after a while.
//!
//! The key of an identity comes into memory when the first subscriber is there that is to be given it, so a generation may have to
//! wait for its key.
//!
//! How a message looks is the service's matter. It is asked for one only after the decision that the subscriber may have what is in it, so
//! nothing is made of a key for anybody else.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use evercert_core::digest::Digest;
use evercert_core::finding::Finding;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;
use evercert_core::text;
use futures_util::future::select_all;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::connection::Peer;
use super::stopping;
use super::streams::Displaced;
use crate::attest::{Attestor, Denial};
use crate::callers::Origin;
use crate::inventory::Wanted;
use crate::publication::{Delivery, Disconnect, NewSubscriber, Report, Subscribers, Subscription};

/// How often it is tried again to find out whether the caller may have a generation, while its file is not there or its file
/// system does not answer.
const DECIDE_AGAIN: Duration = Duration::from_secs(5);

/// How many generations of an identity may be on their way to a subscriber that has answered none of them.
const UNANSWERED: u32 = 4;

/// How long such a subscriber waits for the next generation: it may be one that never reports.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// How long a subscriber waits for a generation's key before it is told why there is nothing yet. With the wait for an identity's
/// first reading that stays below the 10 s that the SDK waits for an answer.
const KEY_PATIENCE: Duration = Duration::from_secs(3);

/// Who asks, for what, and who decides.
pub(super) struct Asker {
    pub(super) attestor: Arc<Attestor>,
    pub(super) wanted: watch::Receiver<Arc<Wanted>>,
    pub(super) peer: Arc<Peer>,
    pub(super) displaced: Displaced,
    pub(super) deliver: Delivery,
    /// The version of its SDK, as it says.
    pub(super) sdk_version: String,
    pub(super) shutdown: CancellationToken,
}

/// One identity that is asked for.
pub(super) struct Asked {
    pub(super) id: IdentityId,
    pub(super) state: watch::Receiver<Arc<IdentityState>>,
    /// What the subscriber says it holds already.
    pub(super) held: Option<Digest>,
}

/// What the subscriber is to be told of one identity.
pub(super) struct News<'a> {
    pub(super) state: &'a IdentityState,
    pub(super) what: What<'a>,
}

/// What there is to tell of a state.
pub(super) enum What<'a> {
    /// That nothing is published, and why.
    Pending,
    /// What is found since the generation that was told.
    Findings,
    /// That this is what the subscriber holds.
    Unchanged(&'a Snapshot),
    /// What is published. Where the subscriber is given keys, its key is in memory.
    Generation(&'a Snapshot),
    /// That the identity is no longer kept.
    Removed,
}

/// What the subscriber says.
pub(super) enum Said {
    /// What it does with the identity that it asked for in this place.
    Report(usize, Report),
    /// Something that it may not say, for this reason.
    Wrong(Status),
    /// It broke the stream off, or its transport did.
    Left(Status),
}

/// The identities that one subscriber follows, and what it says meanwhile.
pub(super) struct Feed<S> {
    asker: Asker,
    followed: Vec<Followed>,
    /// Who is looked at first, so that no identity keeps another one waiting.
    turn: usize,
    /// Absent once the subscriber has said its last word; it may still listen.
    said: Option<S>,
}

/// One identity, and what the subscriber has been told of it.
struct Followed {
    state: watch::Receiver<Arc<IdentityState>>,
    held: Option<Digest>,
    /// Absent once the identity is no longer kept, or the feed has ended.
    subscription: Option<Subscription>,
    told: Told,
    /// Whether its key was given.
    granted: bool,
    unanswered: Unanswered,
    /// Until when it is waited in silence for the key of a generation.
    silent_until: Option<Instant>,
    /// When it is tried again to decide.
    decide_at: Option<Instant>,
    /// Whether it is to be looked whether there is news.
    is_due: bool,
}

/// What the subscriber was told last.
enum Told {
    Nothing,
    /// That nothing is published, and why.
    Pending(Arc<[Finding]>),
    /// A generation, and the findings since.
    Generation(u64, Digest, Arc<[Finding]>),
}

/// The generations that were sent since the subscriber's last report.
#[derive(Default)]
struct Unanswered {
    count: u32,
    /// When the next one may be sent although there are [`UNANSWERED`] of them.
    next: Option<Instant>,
}

impl Unanswered {
    fn sent(&mut self) {
        self.count = self.count.saturating_add(1);
        self.next = (self.count >= UNANSWERED).then(|| Instant::now() + UNANSWERED_PAUSE);
    }

    /// Until when the next generation has to wait.
    fn pause(&self) -> Option<Instant> {
        self.next.filter(|next| *next > Instant::now())
    }
}

/// What may come next.
enum Next {
    Changed(usize),
    Removed(usize),
    LookAgain(usize),
    ProcessEnded,
    Said(Option<Said>),
    Stopping,
}

/// A message as a service makes it, or why it cannot.
type Made<M> = Result<M, Status>;

impl<S: Stream<Item = Said> + Unpin> Feed<S> {
    /// What `asker` is told of all that is `asked` for, each registered with `subscribers`.
    ///
    /// # Errors
    ///
    /// It may not have one of them, or is no longer who connected.
    pub(super) async fn open(
        asker: Asker,
        asked: Vec<Asked>,
        said: S,
        subscribers: &Arc<Subscribers>,
    ) -> Result<Self, Status> {
        for Asked { id, state, .. } in &asked {
            let current = Arc::clone(&state.borrow());
            match asker.decide(&current).await {
                Err(denial) if !denial.is_missing() => return Err(refusal(id, &denial)),
                Ok(()) | Err(_) => {}
            }
        }
        asker.confirm().map_err(|denial| stranger(&denial))?;
        let followed = asked.into_iter().map(|Asked { id, state, held }| Followed {
            state,
            held,
            subscription: Some(subscribers.connect(id, asker.subscriber())),
            told: Told::Nothing,
            granted: false,
            unanswered: Unanswered::default(),
            silent_until: None,
            decide_at: None,
            is_due: false,
        });
        Ok(Self { followed: followed.collect(), asker, turn: 0, said: Some(said) })
    }

    /// The next message, as soon as there is one, as `make` makes it of the news; nothing once the feed has ended.
    pub(super) async fn next<M>(&mut self, make: &mut (impl FnMut(News<'_>) -> Made<M> + Send)) -> Option<Made<M>> {
        if self.followed.iter().all(|followed| followed.subscription.is_none()) {
            return None;
        }
        // What is new since the last message is told without waiting for the next change.
        for followed in &mut self.followed {
            followed.is_due |= followed.is_owed() && followed.unanswered.pause().is_none();
        }
        loop {
            if let Some(made) = self.look(make).await {
                return Some(made);
            }
            match self.wait().await {
                Next::Changed(at) => {
                    // All that have changed take turns.
                    for followed in &mut self.followed {
                        followed.is_due |= followed.has_changed();
                    }
                    self.followed[at].is_due = true;
                }
                Next::LookAgain(at) => self.followed[at].is_due = true,
                Next::Said(Some(Said::Report(at, report))) => {
                    if let Some(followed) = self.followed.get_mut(at) {
                        followed.report(report);
                    }
                }
                Next::Said(Some(Said::Wrong(status))) => {
                    self.end(Disconnect::Error);
                    return Some(Err(status));
                }
                Next::Said(Some(Said::Left(status))) => {
                    self.end(self.why_it_left());
                    return Some(Err(status));
                }
                Next::Said(None) => self.said = None,
                Next::ProcessEnded => {
                    self.end(Disconnect::ProcessEnded);
                    return None;
                }
                Next::Removed(at) => {
                    let followed = &mut self.followed[at];
                    followed.end(Disconnect::Removed);
                    let state = Arc::clone(&followed.state.borrow());
                    return Some(make(News { state: &state, what: What::Removed }));
                }
                Next::Stopping => {
                    self.end(Disconnect::Shutdown);
                    return Some(Err(stopping()));
                }
            }
        }
    }

    /// Looks at the identities that are due until there is something to tell of one.
    async fn look<M>(&mut self, make: &mut (impl FnMut(News<'_>) -> Made<M> + Send)) -> Option<Made<M>> {
        for step in 0..self.followed.len() {
            let at = (self.turn + step) % self.followed.len();
            let followed = &mut self.followed[at];
            if !std::mem::take(&mut followed.is_due) || followed.subscription.is_none() {
                continue;
            }
            let state = Arc::clone(&followed.state.borrow_and_update());
            match followed.answer(&self.asker, &state, make).await {
                Ok(answer) => {
                    followed.decide_at = None;
                    let Some(made) = answer else { continue };
                    self.turn = at + 1;
                    if made.is_err() {
                        self.end(Disconnect::Error);
                    }
                    return Some(made);
                }
                Err(denial) if denial.is_unanswered() || denial.is_missing() => {
                    followed.decide_at = Some(Instant::now() + DECIDE_AGAIN);
                }
                Err(denial) => {
                    self.end(Disconnect::Denied);
                    return Some(Err(refusal(&state.spec.id, &denial)));
                }
            }
        }
        None
    }

    async fn wait(&mut self) -> Next {
        let live = |followed: &Followed| followed.subscription.is_some();
        let timers = self.followed.iter().enumerate().filter(|(_, followed)| live(followed));
        let timer = timers.filter_map(|(at, followed)| followed.timer().map(|timer| (timer, at))).min();
        let listened = self.followed.iter_mut().enumerate().filter(|(_, followed)| live(followed));
        let changes: Vec<_> = listened
            .filter(|(_, followed)| followed.unanswered.pause().is_none())
            .map(|(at, followed)| Box::pin(async move { (at, followed.state.changed().await.is_ok()) }))
            .collect();
        let changed = async {
            match changes.is_empty() {
                true => pending().await,
                false => select_all(changes).await.0,
            }
        };
        let said = async {
            match &mut self.said {
                Some(said) => said.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.asker.shutdown.cancelled() => Next::Stopping,
            () = self.asker.peer.caller.ended() => Next::ProcessEnded,
            () = sleep_until(timer.map_or_else(Instant::now, |timer| timer.0)), if timer.is_some() => {
                Next::LookAgain(timer.map_or(0, |timer| timer.1))
            }
            (at, is_kept) = changed => if is_kept { Next::Changed(at) } else { Next::Removed(at) },
            said = said => Next::Said(said),
        }
    }
}

impl<S> Feed<S> {
    /// Why the other side, or what counts the streams, broke it off.
    fn why_it_left(&self) -> Disconnect {
        if self.asker.displaced.is_so() { Disconnect::Displaced } else { self.asker.peer.why_it_left() }
    }

    fn end(&mut self, reason: Disconnect) {
        self.followed.iter_mut().for_each(|followed| followed.end(reason));
    }
}

impl<S> Drop for Feed<S> {
    fn drop(&mut self) {
        self.end(self.why_it_left());
    }
}

impl Followed {
    fn end(&mut self, reason: Disconnect) {
        if let Some(subscription) = self.subscription.take() {
            subscription.end(reason);
        }
    }

    fn report(&mut self, report: Report) {
        self.unanswered = Unanswered::default();
        if let Some(subscription) = &self.subscription {
            subscription.report(report);
        }
    }

    /// Whether there is another state than when it was last looked, which need not wait.
    fn has_changed(&self) -> bool {
        self.unanswered.pause().is_none() && self.state.has_changed().unwrap_or(false)
    }

    /// Whether something is to be told beside the generation told last.
    fn is_owed(&self) -> bool {
        match &self.told {
            Told::Nothing | Told::Pending(_) => true,
            Told::Generation(_, _, told) => *told != self.state.borrow().findings,
        }
    }

    /// When it is to be looked again, though nothing has changed.
    fn timer(&self) -> Option<Instant> {
        let silent_until = self.silent_until.filter(|until| *until > Instant::now());
        [self.unanswered.pause(), self.decide_at, silent_until].into_iter().flatten().min()
    }

    /// What the subscriber has to be told of `state`, where it has not been told yet.
    async fn answer<M>(
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
        if matches!(self.told, Told::Generation(told, told_digest, _) if (told, told_digest) == (generation, digest)) {
            if self.has_heard(findings) {
                return Ok(None);
            }
            asker.may_hear(state).await?;
            self.told = Told::Generation(generation, digest, Arc::clone(findings));
            return Ok(Some(make(News { state, what: What::Findings })));
        }
        self.generation(asker, snapshot, state, make).await
    }

    /// Whether these findings are what the subscriber was told last.
    fn has_heard(&self, findings: &Arc<[Finding]>) -> bool {
        matches!(&self.told, Told::Pending(told) | Told::Generation(_, _, told) if told == findings)
    }

    /// That there is nothing yet, where the subscriber has nothing; whether it has heard that is its caller's to look.
    fn pending<M>(&mut self, state: &IdentityState, make: &mut impl FnMut(News<'_>) -> Made<M>) -> Option<Made<M>> {
        match &self.told {
            Told::Generation(..) => None,
            Told::Nothing | Told::Pending(_) => {
                self.told = Told::Pending(Arc::clone(&state.findings));
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
            self.told = Told::Generation(generation, digest, Arc::default());
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
        let wanted = Arc::clone(&asker.wanted.borrow());
        let grant = match asker.attestor.decide(&asker.peer.caller, state, &wanted).await {
            Ok(grant) => grant,
            Err(denial) if denial.is_missing() && matches!(self.told, Told::Nothing) => {
                asker.confirm()?;
                return Ok(self.pending(state, make));
            }
            Err(denial) => return Err(denial),
        };
        asker.confirm()?;
        // A message may be megabytes large: it is made for whoever may have it, and for nobody else.
        let made = make(News { state, what: What::Generation(snapshot) });
        if made.is_ok() {
            if credential.is_some() && !std::mem::replace(&mut self.granted, true) {
                asker.attestor.granted(&asker.peer.caller, &state.spec.id, &grant, &wanted.pods);
            }
            self.told = Told::Generation(generation, digest, Arc::clone(findings));
            self.unanswered.sent();
        }
        Ok(Some(made))
    }
}

impl Asker {
    /// Whether the subscriber may have what is in `state`.
    async fn decide(&self, state: &IdentityState) -> Result<(), Denial> {
        let wanted = Arc::clone(&self.wanted.borrow());
        self.attestor.decide(&self.peer.caller, state, &wanted).await.map(drop)
    }

    /// Whether the subscriber may hear what is found of the files: as for a key, but that there may be none yet.
    async fn may_hear(&self, state: &IdentityState) -> Result<(), Denial> {
        match self.decide(state).await {
            Err(denial) if !denial.is_missing() => Err(denial),
            Ok(()) | Err(_) => self.confirm(),
        }
    }

    fn confirm(&self) -> Result<(), Denial> {
        self.attestor.confirm(&self.peer.caller)
    }

    /// What the subscriber is known by.
    fn subscriber(&self) -> NewSubscriber {
        let caller = &self.peer.caller;
        let (pod, unit) = match caller.origin() {
            Origin::Pod(uid) => (Some(Arc::clone(uid)), None),
            Origin::Host { unit } => (None, unit.clone()),
            Origin::Container | Origin::Unclear => (None, None),
        };
        NewSubscriber {
            pid: caller.pid(),
            uid: caller.uid(),
            command: caller.command(),
            sdk_version: self.sdk_version.clone(),
            deliver: self.deliver,
            pod,
            unit,
            life: caller.life(),
        }
    }
}

fn refusal(id: &IdentityId, denial: &Denial) -> Status {
    denied(&format!("identity {}: {denial}", id.name), denial)
}

/// The answer to a caller that is no longer who connected.
pub(super) fn stranger(denial: &Denial) -> Status {
    denied(&denial.to_string(), denial)
}

fn denied(message: &str, denial: &Denial) -> Status {
    let message = text::sentence(message);
    if denial.is_of_the_dead() {
        Status::unauthenticated(message)
    } else if denial.is_unanswered() {
        Status::unavailable(message)
    } else {
        Status::permission_denied(message)
    }
}
