//! An issuer's keys as they were fetched the last time, and when they are fetched again.
//!
//! ```text
//! no keys ──the first token, or `ready`, which waits──→ a fetch ──well──→ keys ──after `refresh`; nobody waits──→ a fetch
//!    ↑                                                     │               ├──a token by another key, which waits──→ a fetch
//!    │                                                  failed: what is held stays, and no fetch begins for a while
//!    └───────────── fetched longer than `lifetime` ago ────────────────────┘
//! ```
//!
//! One fetch is under way at a time, and whoever needs its outcome waits for that one. It runs where identities do, so neither a call that is
//! given up nor a runtime that ends takes it along.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use evercert_core::digest::Digest;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::discovery::{Discovery, FetchError};
use super::key_set::KeySet;
use crate::runtime;
use crate::telemetry::{Event, FileKind, Recorder, TokenFailure};

/// The least time between the beginnings of two fetches: tokens with made-up names of keys make no more of them.
pub(super) const FETCH_INTERVAL: Duration = Duration::from_secs(30);

/// The same while there have never been any keys.
const FIRST_FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// How far one caller's clock may be behind another's, as it is read at different times. What is further in the future is of a clock that was
/// set back, and long ago.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// When keys are fetched again, and until when they are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) refresh: Duration,
    pub(super) lifetime: Duration,
}

/// The keys of an issuer.
pub(super) struct Fetched(Arc<Shared>);

struct Shared {
    discovery: Discovery,
    timing: Timing,
    held: ArcSwapOption<HeldKeys>,
    flight: Mutex<Flight>,
    /// The number of fetches that ended.
    ended: watch::Sender<u64>,
    recorder: OnceLock<Arc<dyn Recorder>>,
}

struct HeldKeys {
    keys: KeySet,
    /// When the fetch began.
    since: SystemTime,
}

#[derive(Default)]
struct Flight {
    is_under_way: bool,
    began: Option<SystemTime>,
    /// Whether it was told of that the last one failed.
    is_told: bool,
}

impl Fetched {
    pub(super) fn new(discovery: Discovery, timing: Timing) -> Self {
        Self(Arc::new(Shared {
            discovery,
            timing,
            held: ArcSwapOption::empty(),
            flight: Mutex::default(),
            ended: watch::Sender::new(0),
            recorder: OnceLock::new(),
        }))
    }

    /// The generation of the keys of `now`; `None` where there are none. Has them fetched again when it is time.
    pub(super) fn generation(&self, now: SystemTime) -> Option<Digest> {
        let held = self.0.held.load();
        let held = held.as_ref()?;
        let age = age(held.since, now);
        if age >= self.0.timing.refresh {
            _ = self.0.begin(now);
        }
        (age < self.0.timing.lifetime).then(|| held.keys.generation())
    }

    /// What `check` makes of the keys of `now`, with their generation. Where there are none, or not the one that it looks for, those are waited
    /// for that are fetched now, if it is time to.
    pub(super) async fn with<T>(
        &self,
        now: SystemTime,
        check: impl Fn(&KeySet, SystemTime) -> Result<T, TokenFailure>,
    ) -> Result<(T, Digest), TokenFailure> {
        let first = self.0.checked(now, &check);
        if !matches!(first, Err(TokenFailure::UnknownKey | TokenFailure::KeysUnavailable)) {
            return first;
        }
        let Some(mut ended) = self.0.begin(now) else { return first };
        // The sender is in what is borrowed here, so it is not gone.
        let began = Instant::now();
        _ = ended.changed().await;
        self.0.checked(now + began.elapsed(), &check)
    }

    pub(super) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        _ = self.0.recorder.set(recorder);
    }
}

impl Shared {
    fn checked<T>(
        &self,
        now: SystemTime,
        check: impl Fn(&KeySet, SystemTime) -> Result<T, TokenFailure>,
    ) -> Result<(T, Digest), TokenFailure> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| age(held.since, now) < self.timing.lifetime);
        let keys = &held.ok_or(TokenFailure::KeysUnavailable)?.keys;
        Ok((check(keys, now)?, keys.generation()))
    }

    /// Begins a fetch, or joins the one that is under way; `None` where it is too early for another one.
    fn begin(self: &Arc<Self>, now: SystemTime) -> Option<watch::Receiver<u64>> {
        let mut flight = self.flight.lock();
        // Before it can end: no end is missed.
        let ended = self.ended.subscribe();
        if flight.is_under_way {
            return Some(ended);
        }
        let interval = if self.held.load().is_some() { FETCH_INTERVAL } else { FIRST_FETCH_INTERVAL };
        if flight.began.is_some_and(|began| age(began, now) < interval) {
            return None;
        }
        (flight.is_under_way, flight.began) = (true, Some(now));
        drop(flight);
        let landing = Landing(Arc::clone(self));
        runtime::of_identities().spawn(async move {
            let outcome = landing.0.discovery.fetch().await;
            landing.0.take(outcome, now);
        });
        Some(ended)
    }

    fn take(&self, outcome: Result<KeySet, FetchError>, began: SystemTime) {
        let issuer = self.discovery.issuer();
        let is_used = outcome.is_ok();
        let was_told = std::mem::replace(&mut self.flight.lock().is_told, !is_used);
        match outcome {
            Ok(keys) => {
                let before = self.held.load();
                let before = before.as_ref().map(|held| &held.keys);
                if before.is_none_or(|before| before.generation() != keys.generation()) {
                    tracing::info!(issuer, ?keys, "the keys of an issuer are new");
                }
                keys.tell(issuer, before);
                self.held.store(Some(Arc::new(HeldKeys { keys, since: began })));
            }
            Err(error) if was_told => tracing::debug!(issuer, %error, "the keys of an issuer still cannot be fetched"),
            Err(error) => {
                let lifetime = self.timing.lifetime.as_secs();
                tracing::error!(issuer, %error, lifetime, "the keys of an issuer cannot be fetched; those before stay for their lifetime");
            }
        }
        if let Some(recorder) = self.recorder.get() {
            recorder.tell(&Event::Reloaded { file: FileKind::Keys, is_used });
        }
    }
}

/// The end of a fetch, however it comes about.
struct Landing(Arc<Shared>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.flight.lock().is_under_way = false;
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

/// The time that has passed since.
fn age(since: SystemTime, now: SystemTime) -> Duration {
    match now.duration_since(since) {
        Ok(age) => age,
        Err(future) if future.duration() <= CLOCK_SLACK => Duration::ZERO,
        Err(_) => Duration::MAX,
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("discovery", &self.0.discovery)
            .field("timing", &self.0.timing)
            .finish_non_exhaustive()
    }
}
