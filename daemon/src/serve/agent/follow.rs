//! One `Watch` stream.
//!
//! The stream is pulled: the next message is asked for only once the subscriber has taken the one before, and what it gets
//! is made from the state that is the latest then. So a subscriber that reads slowly, or not at all, skips generations and costs
//! no queue here. Nor in its own connection, whose window may be megabytes wide: a subscriber that has left a few generations
//! unanswered gets the next one when it reports, or after a while.
//!
//! The key of an identity comes into memory when the first subscriber is there that is to be given it, so a generation may have to
//! wait for its key.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use evercert_api::{update_from_snapshot, v1};
use evercert_core::digest::Digest;
use evercert_core::finding::Finding;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;
use futures_util::Stream;
use http_body::Frame;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Status, Streaming};
use v1::watch_request::Message as Asked;
use v1::watch_response::Message as Answer;

use super::super::connection::Peer;
use super::super::stopping;
use super::super::streams::{Displaced, last_word};
use super::parcels::{self, Kind, Parcels};
use super::{bounds, refusal};
use crate::attest::{Attestor, Denial};
use crate::inventory::Wanted;
use crate::publication::{Delivery, Disconnect, Subscription};
use crate::status;

/// How often it is tried again to find out whether the caller may have a generation, while its file is not there or its file
/// system does not answer.
const DECIDE_AGAIN: Duration = Duration::from_secs(5);

/// How many generations may be on their way to a subscriber that has answered none of them.
const UNANSWERED: u32 = 4;

/// How long such a subscriber waits for the next generation: it may be one that never reports.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// How long a subscriber waits for a generation's key before it is told why there is nothing yet. With the wait for an identity's
/// first reading that stays below the 10 s that the SDK waits for an answer.
const KEY_PATIENCE: Duration = Duration::from_secs(3);

/// One subscriber, and what it has been told.
pub(super) struct Follow {
    pub(super) epoch: u64,
    pub(super) state: watch::Receiver<Arc<IdentityState>>,
    pub(super) attestor: Arc<Attestor>,
    pub(super) parcels: Arc<Parcels>,
    pub(super) wanted: watch::Receiver<Arc<Wanted>>,
    pub(super) peer: Arc<Peer>,
    pub(super) displaced: Displaced,
    pub(super) deliver: Delivery,
    /// What it said it holds already.
    pub(super) held: Option<Digest>,
    /// Absent once the stream has ended.
    pub(super) subscription: Option<Subscription>,
    /// Absent once the subscriber has said its last word; it may still listen.
    pub(super) requests: Option<Streaming<v1::WatchRequest>>,
    pub(super) told: Told,
    /// Whether it has been given a key.
    pub(super) granted: bool,
    pub(super) unanswered: Unanswered,
    /// Until when it waits in silence for the key of a generation.
    pub(super) silent_until: Option<Instant>,
    pub(super) shutdown: CancellationToken,
}

/// What the subscriber was told last.
pub(super) enum Told {
    Nothing,
    /// That nothing is published, and why.
    Pending(Arc<[Finding]>),
    /// A generation, and the findings since.
    Generation(u64, Digest, Arc<[Finding]>),
}

/// The generations that were sent since the subscriber's last report.
#[derive(Default)]
pub(super) struct Unanswered {
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

/// An answer as it is sent, or why it is not.
type Encoded = Result<Bytes, Status>;

/// What may come next.
enum Next {
    Changed,
    Removed,
    LookAgain,
    ProcessEnded,
    Said(Result<Option<v1::WatchRequest>, Status>),
    Stopping,
}

impl Follow {
    /// The answers, encoded.
    pub(super) fn into_body(self) -> Body {
        let answers = futures_util::stream::unfold(self, |mut follow| async move {
            let message = follow.next().await?;
            Some((message, follow))
        });
        Body::new(Answers { answers: Box::pin(answers), has_ended: false })
    }

    /// The next message, as soon as there is one; nothing once the stream has ended.
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        let mut decide_at = None;
        self.subscription.as_ref()?;
        // What is new since the last message is told without waiting for the next change.
        let owed = !matches!(self.told, Told::Generation(..)) || self.owes_findings();
        let mut look = owed && self.unanswered.pause().is_none();
        loop {
            if look {
                let state = Arc::clone(&self.state.borrow_and_update());
                match self.answer(&state).await {
                    Ok(Some(Ok(answer))) => return Some(Ok(answer)),
                    Ok(Some(Err(too_large))) => {
                        self.end(Disconnect::Error);
                        return Some(Err(too_large));
                    }
                    Ok(None) => decide_at = None,
                    Err(denial) if denial.is_unanswered() || denial.is_missing() => {
                        decide_at = Some(Instant::now() + DECIDE_AGAIN);
                    }
                    Err(denial) => {
                        self.end(Disconnect::Denied);
                        return Some(Err(refusal(&state.spec.id, &denial)));
                    }
                }
            }
            look = match self.wait(decide_at).await {
                Next::Changed | Next::LookAgain => true,
                Next::Said(Ok(Some(v1::WatchRequest { message: Some(Asked::Report(report)) }))) => {
                    let report = match bounds::of_report(report) {
                        Ok(report) => report,
                        Err(refused) => {
                            self.end(Disconnect::Error);
                            return Some(Err(refused));
                        }
                    };
                    self.unanswered = Unanswered::default();
                    if let Some(subscription) = &self.subscription {
                        subscription.report(report);
                    }
                    false
                }
                Next::Said(Ok(Some(_))) => {
                    self.end(Disconnect::Error);
                    return Some(Err(Status::invalid_argument("after Open every request of Watch has to be a Report")));
                }
                Next::Said(Ok(None)) => {
                    self.requests = None;
                    false
                }
                Next::ProcessEnded => {
                    self.end(Disconnect::ProcessEnded);
                    return None;
                }
                Next::Said(Err(error)) => {
                    self.end(self.why_it_left());
                    return Some(Err(error));
                }
                Next::Removed => {
                    self.end(Disconnect::Removed);
                    let reason = "the identity is no longer kept by evercertd".to_owned();
                    return Some(parcels::alone(Answer::Withdrawn(v1::Withdrawn { reason })));
                }
                Next::Stopping => {
                    self.end(Disconnect::Shutdown);
                    return Some(Err(stopping()));
                }
            };
        }
    }

    async fn wait(&mut self, decide_at: Option<Instant>) -> Next {
        let said = async {
            match &mut self.requests {
                Some(requests) => requests.message().await,
                None => std::future::pending().await,
            }
        };
        let pause = self.unanswered.pause();
        let silent_until = self.silent_until.filter(|until| *until > Instant::now());
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Next::Stopping,
            () = self.peer.caller.ended() => Next::ProcessEnded,
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => Next::LookAgain,
            changed = self.state.changed(), if pause.is_none() => changed.map_or(Next::Removed, |()| Next::Changed),
            said = said => Next::Said(said),
            () = sleep_until(decide_at.unwrap_or_else(Instant::now)), if decide_at.is_some() => Next::LookAgain,
            () = sleep_until(silent_until.unwrap_or_else(Instant::now)), if silent_until.is_some() => Next::LookAgain,
        }
    }

    /// What the subscriber has to be told of `state`, where it has not been told yet.
    async fn answer(&mut self, state: &IdentityState) -> Result<Option<Encoded>, Denial> {
        let findings = &state.findings;
        let Some(snapshot) = &state.snapshot else {
            if self.has_heard(findings) {
                return Ok(None);
            }
            self.may_hear(state).await?;
            return Ok(self.pending(state));
        };
        let (generation, digest) = (snapshot.generation(), snapshot.digest());
        if matches!(self.told, Told::Generation(told, told_digest, _) if (told, told_digest) == (generation, digest)) {
            if self.has_heard(findings) {
                return Ok(None);
            }
            self.may_hear(state).await?;
            self.told = Told::Generation(generation, digest, Arc::clone(findings));
            let answer = || Answer::Findings(v1::Findings { findings: status::findings(findings) });
            return Ok(Some(self.shared(state, Kind::Findings, answer)));
        }
        self.generation(snapshot, state).await
    }

    /// Whether these findings are what the subscriber was told last.
    fn has_heard(&self, findings: &Arc<[Finding]>) -> bool {
        matches!(&self.told, Told::Pending(told) | Told::Generation(_, _, told) if told == findings)
    }

    /// Whether the subscriber may hear what is found of the files: as for a key, but that there may be none yet.
    async fn may_hear(&self, state: &IdentityState) -> Result<(), Denial> {
        let wanted = Arc::clone(&self.wanted.borrow());
        match self.attestor.decide(&self.peer.caller, state, &wanted).await {
            Err(denial) if !denial.is_missing() => Err(denial),
            Ok(_) | Err(_) => self.attestor.confirm(&self.peer.caller),
        }
    }

    /// That there is nothing yet, where the subscriber has nothing; whether it has heard that is its caller's to look.
    fn pending(&mut self, state: &IdentityState) -> Option<Encoded> {
        let findings = &state.findings;
        match &self.told {
            Told::Generation(..) => None,
            Told::Nothing | Told::Pending(_) => {
                self.told = Told::Pending(Arc::clone(findings));
                let answer = || Answer::Pending(v1::Pending { findings: status::findings(findings) });
                Some(self.shared(state, Kind::Pending, answer))
            }
        }
    }

    /// What `make` makes of `state`, which others may be told too.
    fn shared(&self, state: &IdentityState, kind: Kind, make: impl FnOnce() -> Answer) -> Encoded {
        match self.parcels.of::<std::convert::Infallible>(state, kind, || Ok(make())) {
            Ok(encoded) => encoded,
        }
    }

    /// A generation the subscriber has not seen, if it may have it and the key is in memory.
    async fn generation(&mut self, snapshot: &Snapshot, state: &IdentityState) -> Result<Option<Encoded>, Denial> {
        let (generation, digest, findings) = (snapshot.generation(), snapshot.digest(), &state.findings);
        // Only what the subscriber held when it came is known to be in its hands: what was sent since it may have refused.
        if self.held == Some(digest) {
            self.may_hear(state).await?;
            self.held = None;
            self.told = Told::Generation(generation, digest, Arc::default());
            return Ok(Some(parcels::alone(Answer::Unchanged(v1::Unchanged { epoch: self.epoch, generation }))));
        }
        self.held = None;
        if self.lacks_key(snapshot) {
            let until = *self.silent_until.get_or_insert_with(|| Instant::now() + KEY_PATIENCE);
            if until > Instant::now() || self.has_heard(findings) {
                return Ok(None);
            }
            self.may_hear(state).await?;
            return Ok(self.pending(state));
        }
        self.silent_until = None;
        let wanted = Arc::clone(&self.wanted.borrow());
        let grant = match self.attestor.decide(&self.peer.caller, state, &wanted).await {
            Ok(grant) => grant,
            Err(denial) if denial.is_missing() && matches!(self.told, Told::Nothing) => {
                self.attestor.confirm(&self.peer.caller)?;
                return Ok(self.pending(state));
            }
            Err(denial) => return Err(denial),
        };
        self.attestor.confirm(&self.peer.caller)?;
        // An update may be megabytes large: it is made for whoever may have it, and for nobody else.
        let kind = if self.deliver == Delivery::Digest { Kind::Digest } else { Kind::Full };
        let update = || update_from_snapshot(self.epoch, snapshot, findings, self.deliver.into()).map(Answer::Update);
        let update = match self.parcels.of(state, kind, update) {
            Ok(Ok(update)) => update,
            Ok(Err(too_large)) => return Ok(Some(Err(too_large))),
            Err(lacks_key) => return Ok(Some(Err(Status::internal(lacks_key.to_string())))),
        };
        if kind == Kind::Full && snapshot.credential().is_some() && !self.granted {
            self.granted = true;
            self.attestor.granted(&self.peer.caller, &state.spec.id, &grant, &wanted.pods);
        }
        self.told = Told::Generation(generation, digest, Arc::clone(findings));
        self.unanswered.sent();
        Ok(Some(Ok(update)))
    }

    /// Whether the key that the subscriber is to be given is not in memory yet.
    fn lacks_key(&self, snapshot: &Snapshot) -> bool {
        self.deliver == Delivery::Full && snapshot.credential().is_some_and(|credential| credential.key().is_none())
    }

    /// Whether findings are to be told beside the generation told last.
    fn owes_findings(&self) -> bool {
        matches!(&self.told, Told::Generation(_, _, told) if *told != self.state.borrow().findings)
    }

    /// Why the other side, or what counts the streams, broke it off.
    fn why_it_left(&self) -> Disconnect {
        if self.displaced.is_so() { Disconnect::Displaced } else { self.peer.why_it_left() }
    }

    fn end(&mut self, reason: Disconnect) {
        if let Some(subscription) = self.subscription.take() {
            subscription.end(reason);
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.end(self.why_it_left());
    }
}

/// The body of the response: the answers, and in the trailers why they end.
struct Answers<S> {
    answers: Pin<Box<S>>,
    has_ended: bool,
}

impl<S: Stream<Item = Encoded>> http_body::Body for Answers<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let status = match ready!(self.answers.as_mut().poll_next(cx)) {
            Some(Ok(answer)) => return Poll::Ready(Some(Ok(Frame::data(answer)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.has_ended = true;
        Poll::Ready(Some(last_word(&status)))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}
