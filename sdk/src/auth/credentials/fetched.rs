//! A token that a closure fetches: kept, fetched early, one fetch at a time.

use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::token::{BearerTokenError, InvalidToken, Token};
use crate::backoff::Backoff;
use crate::telemetry::{Event, FileKind, Recorder};

/// The longest that a fetch may take.
const FETCH: Duration = Duration::from_secs(30);

/// The first and the longest wait after a fetch that failed (gRPC's connection backoff, as A97 has it).
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The least time between a fetch and one that is asked for because a server did not take the token: it may take none.
const REJECTION_INTERVAL: Duration = Duration::from_secs(10);

/// The number of fetches that a call waits for: of a runtime that ends, theirs are lost.
const MOST_LOST: usize = 3;

/// A token as a closure gives it, with the time of its end.
pub struct AccessToken {
    text: Zeroizing<String>,
    expires: Option<SystemTime>,
}

impl AccessToken {
    /// A token. If it is a JWT, its `exp` says when it ends; any other needs to be told.
    #[must_use]
    pub fn new(token: impl Into<Zeroizing<String>>) -> Self {
        Self { text: token.into(), expires: None }
    }

    /// The time from which it is not valid any more, where a JWT does not say an earlier one.
    #[must_use]
    pub fn expires_at(self, end: SystemTime) -> Self {
        Self { expires: Some(end), ..self }
    }

    /// The same, from now: OAuth's `expires_in` (RFC 6749 §5.1).
    #[must_use]
    pub fn expires_in(self, life: Duration) -> Self {
        Self { expires: SystemTime::now().checked_add(life), ..self }
    }
}

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self::new(token)
    }
}

/// Without the token.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

type FetchError = Box<dyn Error + Send + Sync>;
type Fetch = dyn Fn() -> BoxFuture<'static, Result<AccessToken, FetchError>> + Send + Sync;
type Outcome = Result<Arc<HeldToken>, BearerTokenError>;
/// A fetch that is under way. If it is lost, its sender is.
type Flight = watch::Receiver<Option<Outcome>>;

pub(super) struct Fetched {
    fetch: Box<Fetch>,
    held: ArcSwapOption<HeldToken>,
    state: Mutex<State>,
    recorder: OnceLock<Arc<dyn Recorder>>,
}

struct HeldToken {
    token: Token,
    /// Whether the next one is to be waited for, though this one has not expired.
    is_rejected: AtomicBool,
}

struct State {
    flight: Option<Flight>,
    began: Option<Instant>,
    /// The last failure, and the time until which it stands.
    failed: Option<(BearerTokenError, Instant)>,
    backoff: Backoff,
}

impl Fetched {
    pub(super) fn new<F, R, T, E>(fetch: F) -> Arc<Self>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<AccessToken>,
        E: Into<FetchError>,
    {
        let fetch = move || {
            let fetching = fetch();
            async move { fetching.await.map(Into::into).map_err(Into::into) }.boxed()
        };
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Arc::new(Self {
            fetch: Box::new(fetch),
            held: ArcSwapOption::empty(),
            state: Mutex::new(State { flight: None, began: None, failed: None, backoff }),
            recorder: OnceLock::new(),
        })
    }

    /// What is sent with a call now; nothing where it is to wait for that.
    pub(super) fn cached(self: &Arc<Self>, now: SystemTime) -> Option<HeaderValue> {
        let held = self.held.load();
        let held = held.as_ref()?;
        if held.token.is_old(now) || held.is_rejected.load(Ordering::Relaxed) {
            return None;
        }
        if held.token.is_due(now) {
            // This call has its token, whatever becomes of the next one.
            _ = self.flight();
        }
        Some(held.token.header().clone())
    }

    /// What is sent with a call that waits for it.
    ///
    /// # Errors
    ///
    /// There is none, neither a new one nor one that has not expired.
    pub(super) async fn fresh(self: &Arc<Self>, now: SystemTime) -> Result<HeaderValue, BearerTokenError> {
        for _ in 0..MOST_LOST {
            let outcome = match self.flight() {
                Ok(mut flight) => match flight.wait_for(Option::is_some).await {
                    Ok(outcome) => outcome.clone().unwrap_or(Err(BearerTokenError::NoRuntime)),
                    Err(_lost) => continue,
                },
                Err(failed) => Err(failed),
            };
            return match outcome {
                Ok(held) => Ok(held.token.header().clone()),
                Err(error) => self.last_good(now).ok_or(error),
            };
        }
        self.last_good(now).ok_or(BearerTokenError::NoRuntime)
    }

    /// Has the token fetched anew by the next call.
    pub(super) fn refresh(&self) {
        if let Some(held) = &*self.held.load() {
            held.is_rejected.store(true, Ordering::Relaxed);
        }
    }

    /// The same, for a server did not take this; but not if it is another by now, or was fetched just now.
    pub(super) fn rejected(&self, sent: &HeaderValue) {
        let held = self.held.load();
        let Some(held) = held.as_ref().filter(|held| held.token.header() == sent) else { return };
        let began = self.state.lock().began;
        if began.is_none_or(|began| began.elapsed() >= REJECTION_INTERVAL) {
            held.is_rejected.store(true, Ordering::Relaxed);
        }
    }

    /// The token before the one that could not be had. It is taken for good again, until the next call asks.
    fn last_good(&self, now: SystemTime) -> Option<HeaderValue> {
        let held = self.held.load();
        let held = held.as_ref()?;
        held.is_rejected.store(false, Ordering::Relaxed);
        held.token.unexpired(now).ok().cloned()
    }

    /// The fetch that is under way, or one that is begun.
    ///
    /// # Errors
    ///
    /// The last one failed a moment ago, or there is no runtime.
    fn flight(self: &Arc<Self>) -> Result<Flight, BearerTokenError> {
        let mut state = self.state.lock();
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Ok(flight.clone());
        }
        let now = Instant::now();
        if let Some((error, _)) = state.failed.as_ref().filter(|(_, until)| now < *until) {
            return Err(error.clone());
        }
        let runtime = Handle::try_current().map_err(|_| BearerTokenError::NoRuntime)?;
        let (ended, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        state.began = Some(now);
        drop(state);
        let this = Arc::clone(self);
        runtime.spawn(async move {
            let outcome = this.fetch().await;
            this.land(&outcome);
            ended.send_replace(Some(outcome));
        });
        Ok(flight)
    }

    async fn fetch(&self) -> Outcome {
        let fetching = AssertUnwindSafe(async { (self.fetch)().await }).catch_unwind();
        let fetched = match timeout(FETCH, fetching).await {
            Ok(Ok(Ok(fetched))) => fetched,
            Ok(Ok(Err(error))) => return Err(BearerTokenError::Failed(error.into())),
            Ok(Err(_panic)) => return Err(BearerTokenError::Panicked),
            Err(_) => return Err(BearerTokenError::TooSlow(FETCH)),
        };
        let now = SystemTime::now();
        let token = Token::new(&fetched.text, fetched.expires, now)?;
        token.end().ok_or(InvalidToken::Unending)?;
        token.unexpired(now)?;
        Ok(Arc::new(HeldToken { token, is_rejected: AtomicBool::new(false) }))
    }

    pub(super) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        _ = self.recorder.set(recorder);
    }

    /// Keeps what was fetched, or why it was not.
    fn land(&self, outcome: &Outcome) {
        if let Some(recorder) = self.recorder.get() {
            recorder.tell(&Event::Reloaded { file: FileKind::Token, is_used: outcome.is_ok() });
        }
        let mut state = self.state.lock();
        match outcome {
            Ok(held) => {
                self.held.store(Some(Arc::clone(held)));
                state.backoff.reset();
                state.failed = None;
            }
            Err(error) => {
                if state.failed.is_none() {
                    tracing::warn!(%error, "a client's token is not to be had; the one before it is sent until it expires");
                }
                let wait = state.backoff.next();
                state.failed = Some((error.clone(), Instant::now() + wait));
            }
        }
    }
}

#[cfg(test)]
mod tests;
