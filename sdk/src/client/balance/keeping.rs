//! The task that keeps a balanced channel's set of channels.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::endpoints::{Endpoints, Sets, Source};
use super::set::Set;
use crate::client::calls::{APART, Apart, Calls, LONGEST_WAITING, Waiting};
use crate::client::channel::Channel;
use crate::client::endpoint::Endpoint;
use crate::client::error::{ChannelError, ConnectError, ConnectFailure};
use crate::client::news;
use crate::client::readiness::lives;
use crate::identity::Identity;
use crate::runtime::of_identities;

/// The time after which a name is asked for again while an endpoint of it cannot be connected to.
const REFRESH_IN_TROUBLE: Duration = Duration::from_secs(5);

/// The number of runtimes on which new endpoints are connected to before a call asks for them.
const MOST_RUNTIMES: usize = 16;

/// The least times between two lookups of a name that calls ask for.
const LOOKUPS_APART: Apart = Apart { called: APART, waiting: LONGEST_WAITING };

/// The name of a channel without an endpoint in its errors.
const ITSELF: &str = "the balanced channel";

/// The state that a balanced channel, its clones and its task share.
pub(super) struct Shared {
    identity: Identity,
    /// The timeout of the endpoint whose name it is.
    timeout: Option<Duration>,
    /// Whether calls wait beyond failed lookups of that name.
    is_patient: bool,
    /// The task's.
    work: Mutex<Work>,
    sets: watch::Sender<Arc<Set>>,
    /// The runtimes on which calls are made, the last [`MOST_RUNTIMES`] of them.
    runtimes: ArcSwap<Vec<Handle>>,
    is_kept: AtomicBool,
    /// Ends the task.
    stop: CancellationToken,
    /// Told of the calls for which there is no endpoint.
    calls: Calls,
    /// The endpoint among failed ones that the next call is told of.
    turn: AtomicUsize,
}

struct Work {
    source: Source,
    /// The number of the newest slot.
    number: u64,
}

/// Says that there is a task for as long as it lives. The runtime of identities does not end; where there could be none, it is another one,
/// which drops its tasks when it does.
struct TaskGuard(Arc<Shared>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.is_kept.store(false, Ordering::Release);
        // Whoever waits for another set starts the task anew.
        self.0.sets.send_modify(|_| {});
    }
}

impl Shared {
    pub(super) fn new(identity: Identity, Endpoints(source): Endpoints) -> Self {
        let (timeout, is_patient) = match &source {
            Source::Name { endpoint, .. } => (endpoint.call_timeout(), endpoint.settings().wait_for_ready),
            Source::Sets(_) => (None, false),
        };
        Self {
            identity,
            timeout,
            is_patient,
            work: Mutex::new(Work { source, number: 0 }),
            sets: watch::Sender::default(),
            runtimes: ArcSwap::default(),
            is_kept: AtomicBool::new(false),
            stop: CancellationToken::new(),
            calls: Calls::default(),
            turn: AtomicUsize::new(0),
        }
    }

    #[cfg(feature = "auth")]
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The limit of calls that wait for an endpoint, where it is known.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout.or_else(|| self.sets.borrow().timeout())
    }

    /// Why there is no endpoint, or why one of them is not connected.
    pub(super) fn why(&self) -> Option<Arc<ConnectError>> {
        let set = self.set();
        let of_endpoints = || set.slots.iter().find_map(|slot| slot.channel.state().borrow().trouble.clone());
        set.trouble.clone().or_else(of_endpoints)
    }

    pub(super) fn sets(&self) -> watch::Receiver<Arc<Set>> {
        self.sets.subscribe()
    }

    pub(super) fn set(&self) -> Arc<Set> {
        Arc::clone(&self.sets.borrow())
    }

    /// Ends the task when it is dropped.
    pub(super) fn stop_on_drop(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// Sees to it that there is a task until it is stopped, and that endpoints are connected to on the current runtime. Outside of any there
    /// is none.
    ///
    /// The task is not on that runtime: while one stands still or ends, calls of others need its sets.
    pub(super) fn start(self: &Arc<Self>) {
        let Ok(here) = Handle::try_current() else { return };
        self.note(&here);
        if self.is_kept.load(Ordering::Acquire) || self.is_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let guard = TaskGuard(Arc::clone(self));
        of_identities().spawn(self.stop.clone().run_until_cancelled_owned(async move { guard.0.keep().await }));
    }

    fn note(&self, here: &Handle) {
        let is_known = |all: &[Handle]| all.iter().any(|known| known.id() == here.id());
        if is_known(&self.runtimes.load()) {
            return;
        }
        self.runtimes.rcu(|all| {
            let mut all = all.to_vec();
            if !is_known(&all) {
                all.retain(lives);
                all.truncate(MOST_RUNTIMES - 1);
                all.insert(0, here.clone());
            }
            all
        });
    }

    /// Whether no call can succeed at the moment, and none waits beyond that.
    pub(super) fn has_failed(&self) -> bool {
        let set = self.set();
        set.has_failed() && !(self.is_patient && set.slots.is_empty())
    }

    /// A call has no endpoint, and waits for one.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.calls.wait()
    }

    /// Of the endpoints that are connected the one on which the fewest calls run: where none has room, a call waits for its turn there.
    pub(super) fn least_loaded(&self) -> Option<Channel> {
        let set = self.set();
        let connected = set.slots.iter().filter(|slot| slot.channel.is_connected());
        connected.min_by_key(|slot| slot.channel.load()).map(|slot| slot.channel.clone())
    }

    /// A channel that says why no call can succeed at the moment, or why there is none; `None` where one may succeed soon.
    pub(super) fn failed(&self) -> Option<Result<Channel, ChannelError>> {
        if !self.has_failed() {
            return None;
        }
        let set = self.set();
        if let Some(trouble) = set.trouble.as_ref().filter(|_| set.slots.is_empty()) {
            self.calls.tell();
            return Some(Err(ChannelError::not_connected(Arc::clone(trouble))));
        }
        // In turn: each is asked to try again.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(set.slots.len())?;
        set.slots.get(turn).map(|slot| Ok(slot.channel.clone()))
    }

    /// The error of a call that is made outside of any runtime.
    pub(super) fn no_runtime() -> ChannelError {
        ChannelError::not_connected(Arc::new(error(ITSELF, ConnectFailure::NoRuntime)))
    }

    async fn keep(&self) {
        let mut work = self.work.lock().await;
        let Work { source, number } = &mut *work;
        match source {
            Source::Name { endpoint, refresh } => self.follow_name(endpoint, *refresh, number).await,
            Source::Sets(sets) => self.follow_sets(sets, number).await,
        }
    }

    async fn follow_name(&self, endpoint: &Endpoint, refresh: Duration, number: &mut u64) {
        loop {
            let asked = Instant::now();
            match endpoint.resolved().await {
                Ok(endpoints) => self.change(endpoints, number),
                Err(failure) => self.fail(endpoint.uri(), failure),
            }
            tokio::select! {
                () = sleep_until(asked + refresh) => {}
                () = self.reason_to_ask_again(asked) => {}
            }
        }
    }

    async fn follow_sets(&self, sets: &mut Sets, number: &mut u64) {
        loop {
            match AssertUnwindSafe(sets.next()).catch_unwind().await {
                Ok(Some(endpoints)) => {
                    let is_empty = endpoints.is_empty();
                    self.change(endpoints, number);
                    if is_empty {
                        self.fail(ITSELF, ConnectFailure::NoEndpoints);
                    }
                }
                Ok(None) => {
                    if self.sets.borrow().slots.is_empty() {
                        self.fail(ITSELF, ConnectFailure::NoEndpoints);
                    }
                    break;
                }
                Err(_) => {
                    *sets = Endpoints::no_more();
                    let panicked = io::Error::other("the stream of its endpoints panicked");
                    self.fail(ITSELF, ConnectFailure::Connect(panicked));
                    break;
                }
            }
        }
        // The last set stays; who starts a task again finds the stream at its end.
        std::future::pending().await
    }

    fn change(&self, endpoints: Vec<Endpoint>, number: &mut u64) {
        let (before, found) = (self.set(), endpoints.len());
        let set = before.next(endpoints, &self.identity, number);
        if set.is_cut
            && !before.is_cut
            && let Some(left_out) = news::take(&news::FAILED, Instant::now().into_std())
        {
            tracing::warn!(
                endpoints = found,
                used = Endpoints::MOST,
                left_out,
                "a channel is balanced over some of its endpoints alone: there are too many"
            );
        }
        self.connect(&set);
        self.sets.send_replace(Arc::new(set));
    }

    /// Connects to all endpoints now: a balancer sends nothing to those that are not connected to.
    fn connect(&self, set: &Set) {
        for runtime in self.runtimes.load().iter() {
            let _entered = runtime.enter();
            if !set.slots.iter().all(|slot| slot.channel.begin()) {
                self.runtimes.rcu(|all| all.iter().filter(|of| of.id() != runtime.id()).cloned().collect::<Vec<_>>());
            }
        }
    }

    fn fail(&self, endpoint: &str, failure: ConnectFailure) {
        let trouble = Arc::new(error(endpoint, failure));
        let set = self.set();
        let is_new = set.trouble.as_ref().map(ToString::to_string) != Some(trouble.to_string());
        if is_new && let Some(left_out) = news::take(&news::FAILED, Instant::now().into_std()) {
            let endpoints = set.slots.len();
            tracing::warn!(error = %trouble, endpoints, left_out, "the endpoints of a channel cannot be found");
        }
        self.sets.send_replace(Arc::new(set.in_trouble(trouble)));
    }

    /// Completes once an endpoint cannot be connected to, or a call has none, and the name was `asked` for a while ago.
    async fn reason_to_ask_again(&self, asked: Instant) {
        let set = self.set();
        if set.slots.is_empty() {
            return self.calls.need(LOOKUPS_APART).await;
        }
        loop {
            let mut troubles: FuturesUnordered<_> = set.slots.iter().map(|slot| slot.channel.trouble()).collect();
            // A runtime that uses the channel since then is seen by the next look.
            if timeout(REFRESH_IN_TROUBLE, troubles.next()).await.is_ok() {
                return sleep_until(asked + REFRESH_IN_TROUBLE).await;
            }
        }
    }
}

fn error(endpoint: &str, failure: ConnectFailure) -> ConnectError {
    ConnectError { endpoint: endpoint.to_owned(), address: None, generation: None, failure }
}
