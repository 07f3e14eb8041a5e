//! The task that keeps a channel connected: it carries out the steps of the plan, and tells it what happened.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::addresses::Known;
use super::calls::{Calls, Pace};
use super::connection::{Connection, InFlight};
use super::connector::{Connector, Failed};
use super::error::{ChannelError, ConnectError, ConnectFailure};
use super::news::{self, Said};
use super::plan::{Ended, Event, Plan, Step};
use super::target::Wanted;
use crate::backoff::Backoff;
use crate::identity::now;
use crate::phase::{Phase, Phases};

/// Spreads the moves of all channels of the process.
static PHASES: LazyLock<Phases> = LazyLock::new(Phases::default);

/// The state of a channel.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ChannelState {
    /// The generation of the connection that new calls use; absent while there is none.
    pub generation: Option<u64>,
    /// Why the last attempt to connect failed; absent once one succeeded. With [`ChannelState::generation`] present, an older
    /// connection serves meanwhile.
    pub trouble: Option<Arc<ConnectError>>,
    /// Whether calls wait for room on the connection, since the server allows no more at a time than run by now (RFC 9113 §5.1.2).
    pub saturated: bool,
}

/// The state that the clones of a channel share with its task, on one runtime.
#[derive(Debug)]
pub(super) struct Link {
    connector: Connector,
    current: ArcSwapOption<Connection>,
    state: watch::Sender<ChannelState>,
    phase: Phase,
    calls: Calls,
    /// The number of calls that wait for room.
    waiting: AtomicUsize,
    /// Whether the task is there.
    is_kept: AtomicBool,
    stop: CancellationToken,
}

/// The memory of a link's task.
#[derive(Debug, Default)]
struct Memory {
    known: Known,
    said: Said,
    pace: Pace,
}

/// Says that a link has a task for as long as it lives. A runtime that ends drops its tasks, whoever waits for them elsewhere.
struct TaskGuard(Arc<Link>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if !self.0.stop.is_cancelled() {
            self.0.abandon();
        }
    }
}

/// A call that waits for room. Only the first one and the last one change the state.
struct Waits<'a>(&'a Link);

impl<'a> Waits<'a> {
    fn begin(link: &'a Link) -> Self {
        if link.waiting.fetch_add(1, Ordering::SeqCst) == 0 {
            link.tell_saturation();
        }
        Self(link)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.tell_saturation();
        }
    }
}

impl Link {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            connector,
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(ChannelState::default()),
            phase: PHASES.next(),
            calls: Calls::default(),
            waiting: AtomicUsize::new(0),
            is_kept: AtomicBool::new(false),
            stop: CancellationToken::new(),
        })
    }

    /// Whether its task is there.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// Whether anybody uses it or watches it.
    pub(super) fn is_used(&self) -> bool {
        self.is_kept() || self.state.receiver_count() > 0
    }

    /// Sees to it that the task is there. It is started on the current runtime, and so are the connections that it makes.
    ///
    /// # Errors
    ///
    /// There is no runtime, or it has ended.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), ChannelError> {
        if self.is_kept() {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(|_| self.no_runtime())?;
        if self.is_kept.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let guard = TaskGuard(Arc::clone(self));
        let keeping = self.stop.clone().run_until_cancelled_owned(async move { guard.0.keep_connected().await });
        if runtime.spawn(keeping).is_finished() { Err(self.no_runtime()) } else { Ok(()) }
    }

    pub(super) fn no_runtime(&self) -> ChannelError {
        ChannelError::not_connected(Arc::new(self.connector.error(None, ConnectFailure::NoRuntime.into())))
    }

    /// Ends the task for good; the connection finishes the calls it has.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// The task is gone, and with its runtime the connection: whoever waits for one starts the task anew.
    fn abandon(&self) {
        self.supersede(None);
        // Under the lock of the state: what the next task says comes after it.
        self.state.send_modify(|state| {
            self.is_kept.store(false, Ordering::Release);
            (state.generation, state.trouble) = (None, None);
        });
        if let Some(left_out) = news::take(&news::ENDED, Instant::now()) {
            let endpoint = self.connector.endpoint();
            tracing::info!(%endpoint, left_out, "the runtime of the channel has ended; the next call starts it anew");
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<ChannelState> {
        self.state.subscribe()
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The connection that new calls use, if there is one that takes streams.
    pub(super) fn open(&self) -> Option<Arc<Connection>> {
        self.current.load_full().filter(|connection| connection.is_open())
    }

    /// Whether there is a connection that has room for a call.
    pub(super) fn has_room(&self) -> bool {
        self.current.load().as_ref().is_some_and(|connection| connection.life().has_room())
    }

    /// Whether calls fail at once, since an attempt to connect has.
    pub(super) fn has_failed(&self) -> bool {
        !self.connector.settings().wait_for_ready && self.why_not_connected().is_some()
    }

    /// The number of calls whose responses have not ended; the most there can be where there is no connection.
    pub(super) fn load(&self) -> usize {
        self.current.load().as_ref().map_or(usize::MAX, |connection| connection.life().load())
    }

    /// Completes once there is another state than now, or room for a call on the connection of now.
    pub(super) fn change(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.state.subscribe();
        // Without a handle of the link or the connection: an idle waiter would keep them.
        let life = self.current.load().as_ref().map(|connection| Arc::clone(connection.life()));
        async move {
            let room = async {
                match life.filter(|life| life.is_open()) {
                    Some(life) => life.room().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = state.changed() => {}
                () = room => {}
            }
        }
    }

    /// Why there is no connection; `None` where there is one, or the first attempt is under way.
    pub(super) fn why_not_connected(&self) -> Option<Arc<ConnectError>> {
        if self.open().is_some() { None } else { self.state.borrow().trouble.clone() }
    }

    /// A call is about to come: an attempt to connect that it would wait for may be made now.
    pub(super) fn ask(&self) {
        if self.open().is_none() {
            self.calls.tell();
        }
    }

    /// Waits until there is a connection; `patient` beyond failed attempts too.
    pub(super) async fn connected(self: &Arc<Self>, patient: bool) -> Result<Arc<Connection>, ChannelError> {
        let mut state = self.state.subscribe();
        let mut waiting = None;
        loop {
            // Seen before the connection and the task are looked at, so that neither a swap nor an end in between is missed.
            let trouble = state.borrow_and_update().trouble.clone();
            self.start()?;
            if let Some(connection) = self.open() {
                return Ok(connection);
            }
            // Told once, and until it has a connection or gives up.
            waiting.get_or_insert_with(|| self.calls.wait());
            match trouble {
                Some(cause) if !patient => return Err(ChannelError::not_connected(cause)),
                // The sender lives as long as `self`.
                _ => _ = state.changed().await,
            }
        }
    }

    /// Waits for room for one call on the connection; `None` once that takes none any more.
    pub(super) async fn enter(&self, connection: &Connection) -> Option<InFlight> {
        if let Some(in_flight) = connection.try_enter() {
            return Some(in_flight);
        }
        let _waits = connection.is_open().then(|| Waits::begin(self));
        connection.enter().await
    }

    /// Keeps connected with what is wanted, until dropped.
    async fn keep_connected(&self) {
        let mut wanted = self.connector.targets().subscribe();
        let settings = self.connector.settings();
        let (first, longest) = settings.backoff;
        let mut plan = Plan::new(self.phase.of(settings.rotation_spread), Backoff::new(first, longest));
        let mut memory = Memory::default();
        let mut step = Step::Look;
        loop {
            let carried_out = AssertUnwindSafe(self.carry_out(step, &mut wanted, &mut memory)).catch_unwind().await;
            let event = carried_out.unwrap_or_else(|panic| self.panicked(&*panic, &mut memory));
            step = plan.after(event);
        }
    }

    /// Carries out one step of the plan; gives what happened.
    async fn carry_out(&self, step: Step, wanted: &mut watch::Receiver<Wanted>, memory: &mut Memory) -> Event {
        match step {
            Step::Look => {
                let wanted = wanted.borrow_and_update().target().map(|target| target.goal());
                // Even one that was closed at once: no attempt after it but by the waits.
                let current = self.current.load().as_ref().map(|connection| connection.facts());
                Event::Looked { wanted, current, now: now() }
            }
            Step::Refuse => self.refuse(wanted, memory).await,
            Step::Stay(wait) => tokio::select! {
                _ = wanted.changed() => Event::Changed,
                ended = self.ended() => Event::Ended(ended),
                () = sleep(wait) => Event::Over,
            },
            Step::Connect => self.connect(wanted, memory).await,
            Step::Retry(wait) => tokio::select! {
                () = self.wait(wait, memory.pace) => Event::Over,
                _ = self.ended() => {
                    self.clear();
                    Event::Over
                }
                _ = wanted.changed() => {
                    self.anew(memory);
                    Event::Changed
                }
            },
            Step::Forget(ended, wait) => {
                let life = self.current.load().as_ref().map(|connection| Arc::clone(connection.life()));
                self.clear();
                if ended.answered || ended.age >= Backoff::GOOD {
                    memory.pace = Pace::default();
                } else {
                    memory.pace.fail(true);
                }
                tokio::select! {
                    () = self.wait(wait, memory.pace) => {}
                    _ = wanted.changed() => {}
                }
                let answered = life.is_some_and(|life| life.has_answered());
                Event::Forgotten(Ended { answered, ..ended })
            }
            Step::Tell(Ended { generation, age, .. }) => {
                self.failed(Some(generation), ConnectFailure::ShortLived(age).into(), memory);
                Event::Over
            }
        }
    }

    /// Says why no connection may be used, not even the one there is, until something else is wanted.
    async fn refuse(&self, wanted: &mut watch::Receiver<Wanted>, memory: &mut Memory) -> Event {
        let failure = match &*wanted.borrow() {
            Wanted::Nothing => ConnectFailure::NoGeneration,
            Wanted::Refused(refusal) => ConnectFailure::Refused(refusal.clone()),
            Wanted::Target(_) => return Event::Over,
        };
        self.supersede(None);
        self.failed(None, failure.into(), memory);
        _ = wanted.changed().await;
        self.anew(memory);
        Event::Over
    }

    /// Connects with what is wanted now. Not cut short by a newer generation: where rotations follow each other faster than a handshake
    /// takes, the channel would never move.
    async fn connect(&self, wanted: &watch::Receiver<Wanted>, memory: &mut Memory) -> Event {
        let Some(target) = wanted.borrow().target().cloned() else { return Event::Over };
        let begun = self.connector.begin(&target);
        // A swap that came before may have been reported as settled.
        if wanted.has_changed().unwrap_or_default() {
            return Event::Over;
        }
        // Boxed: the task would keep room for an attempt, which is ten times as large as itself, for as long as it lives.
        match Box::pin(self.connector.connect(&target, &mut memory.known, &self.calls)).await {
            Ok(connection) => {
                memory.said.forget();
                self.swap(connection);
                Event::Connected
            }
            Err(failed) => {
                drop(begun);
                self.failed(Some(target.number()), failed, memory);
                Event::Failed
            }
        }
    }

    /// Completes once the connection that new calls use, if there is one, takes no more of them.
    async fn ended(&self) -> Ended {
        // The connection's handle stays where it is: it would keep a superseded one open.
        let Some(life) = self.current.load().as_ref().map(|connection| Arc::clone(connection.life())) else {
            return std::future::pending().await;
        };
        life.ended().await;
        Ended { generation: life.origin().generation, age: life.age(), answered: life.has_answered() }
    }

    fn swap(&self, connection: Connection) {
        let generation = connection.generation();
        self.supersede(Some(connection));
        self.tell(Some(generation), None);
        if let Some(left_out) = news::take(&news::CONNECTED, Instant::now()) {
            tracing::info!(endpoint = %self.connector.endpoint(), generation, left_out, "connected");
        }
    }

    /// Looks at the number under the lock of the state, so that the last to tell is right.
    fn tell_saturation(&self) {
        self.state.send_if_modified(|state| {
            let saturated = self.waiting.load(Ordering::SeqCst) > 0;
            std::mem::replace(&mut state.saturated, saturated) != saturated
        });
    }

    fn tell(&self, generation: Option<u64>, trouble: Option<Arc<ConnectError>>) {
        self.state.send_modify(|state| (state.generation, state.trouble) = (generation, trouble));
    }

    /// The old connection takes no new call, and finishes those it has. Calls that wait for room on it go to the new one.
    fn supersede(&self, connection: Option<Connection>) {
        if let Some(old) = self.current.swap(connection.map(Arc::new)) {
            old.life().end();
        }
    }

    fn clear(&self) {
        self.supersede(None);
        self.tell(None, None);
        if let Some(left_out) = news::take(&news::ENDED, Instant::now()) {
            tracing::info!(endpoint = %self.connector.endpoint(), left_out, "the connection takes no more calls");
        }
    }

    /// Something changed since the last attempt failed: calls without a connection wait for the next one.
    fn anew(&self, memory: &mut Memory) {
        memory.pace = Pace::default();
        if self.open().is_none() {
            self.tell(None, None);
        }
    }

    /// A step panicked: it counts as an attempt that failed, and is waited after like any other.
    fn panicked(&self, panic: &(dyn Any + Send), memory: &mut Memory) -> Event {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let failure = ConnectFailure::Panicked(text.unwrap_or_else(|| "with no text".into()));
        self.failed(None, failure.into(), memory);
        Event::Failed
    }

    fn failed(&self, generation: Option<u64>, failed: Failed, memory: &mut Memory) {
        let trouble = self.connector.error(generation, failed);
        memory.pace.fail(trouble.failure.is_costly());
        let (sentence, now) = (trouble.to_string(), Instant::now());
        if memory.said.is_due(&sentence, now)
            && let Some(left_out) = news::take(&news::FAILED, now)
        {
            tracing::warn!(error = %sentence, left_out, "not connected; trying again");
            memory.said.note(sentence, now);
        }
        let generation = self.open().map(|connection| connection.generation());
        self.tell(generation, Some(Arc::new(trouble)));
    }

    /// Waits so long, or until a call finds no connection and the last attempt is a while ago.
    async fn wait(&self, wait: Duration, pace: Pace) {
        _ = timeout(wait, self.calls.need(pace.apart())).await;
    }
}
