//! The messages to one subscriber of a set of identities: attested, and the latest wins.
//!
//! A feed is pulled: the next message is asked for only once the subscriber has taken the one before, and what it gets is made
//! from the state that is the latest then. So a subscriber that reads slowly, or not at all, skips generations and costs no queue here. Nor
//! in its own connection, whose window may be megabytes wide: a subscriber that has left a few generations of an identity unanswered gets
//! the next one when it reports, or after a while.
//!
//! The key of an identity comes into memory when the first subscriber is there that is to be given it, so a generation may have to
//! wait for its key.
//!
//! The form of a message is up to the service. It is asked for one only after the decision that the subscriber may have what is in it, so
//! nothing is made of a key for anybody else.

mod asker;
mod followed;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;
use futures_util::future::select_all;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

pub(super) use asker::{Asker, Standing, stranger};
use asker::{refusal, too_many};
use followed::Followed;

use super::stopping;
use crate::publication::{Disconnect, Report, Subscribers};

/// The interval at which it is tried again to find out whether the caller may have a generation, while its file is not there or its file
/// system does not answer.
const DECIDE_AGAIN: Duration = Duration::from_secs(5);

/// One identity that is asked for.
pub(super) struct Asked {
    pub(super) id: IdentityId,
    pub(super) state: watch::Receiver<Arc<IdentityState>>,
    /// The digest the subscriber says it holds already.
    pub(super) held: Option<Digest>,
}

/// The news of one identity for the subscriber.
pub(super) struct News<'a> {
    pub(super) state: &'a IdentityState,
    pub(super) what: What<'a>,
}

/// The kind of news that there is of a state.
pub(super) enum What<'a> {
    /// Nothing is published; the state says why.
    Pending,
    /// The findings since the generation that was told.
    Findings,
    /// The subscriber holds this.
    Unchanged(&'a Snapshot),
    /// The published generation. Where the subscriber is given keys, its key is in memory.
    Generation(&'a Snapshot),
    /// The identity is no longer kept.
    Removed,
}

/// A message of the subscriber.
pub(super) enum Said {
    /// Its report on the identity that it asked for in this place.
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
    /// The identity looked at first, so that none keeps another waiting.
    turn: usize,
    /// Absent once the subscriber has said its last word; it may still listen.
    said: Option<S>,
}

/// An event that may come next.
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
    /// The feed of all that is `asked` for to `asker`, each registered with `subscribers`.
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
                Ok(_) | Err(_) => {}
            }
        }
        asker.confirm().map_err(|denial| stranger(&denial))?;
        let followed = asked.into_iter().map(|Asked { id, state, held }| {
            let subscription =
                subscribers.connect(id.clone(), asker.subscriber()).map_err(|error| too_many(&id, error))?;
            Ok(Followed::new(state, held, subscription))
        });
        Ok(Self { followed: followed.collect::<Result<_, Status>>()?, asker, turn: 0, said: Some(said) })
    }

    /// Whether the subscriber is known, and not only taken at its word.
    pub(super) fn is_attested(&self) -> bool {
        self.asker.standing == Standing::Attested
    }

    /// The next message, as soon as there is one, as `make` makes it of the news; nothing once the feed has ended.
    pub(super) async fn next<M>(&mut self, make: &mut (impl FnMut(News<'_>) -> Made<M> + Send)) -> Option<Made<M>> {
        if self.followed.iter().all(|followed| followed.subscription.is_none()) {
            return None;
        }
        // News since the last message is told without waiting for the next change.
        for followed in &mut self.followed {
            followed.is_due |= followed.is_owed() && followed.pause().is_none();
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
                    self.broken_off();
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
            .filter(|(_, followed)| followed.pause().is_none())
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
    /// The other side, or what counts the streams, broke it off.
    fn broken_off(&mut self) {
        self.end(self.asker.peer.why_it_left(&self.asker.displaced));
    }

    fn end(&mut self, reason: Disconnect) {
        self.followed.iter_mut().for_each(|followed| followed.end(reason));
    }
}

impl<S> Drop for Feed<S> {
    fn drop(&mut self) {
        self.broken_off();
    }
}
