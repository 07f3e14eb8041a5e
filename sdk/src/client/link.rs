//! What keeps a channel connected.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::Connection;
use super::connector::Connector;
use super::error::{ChannelError, ConnectError, ConnectFailure};
use super::target::{Target, Wanted};
use crate::backoff::Backoff;
use crate::identity::CLOCK_CHECK;
use crate::phase::{Phase, Phases};

/// The first and the longest wait between two attempts to connect; up to as much again is added by chance.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How many connections in a row may end young and without an answer before calls are told: some may have met a server that was about
/// to go; after more, calls would wait for ever.
const SHORT_LIVED: u32 = 3;

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
}

/// What the clones of a channel and its task share.
#[derive(Debug)]
pub(super) struct Link {
    connector: Connector,
    current: ArcSwapOption<Connection>,
    state: watch::Sender<ChannelState>,
    phase: Phase,
}

impl Link {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            connector,
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(ChannelState::default()),
            phase: PHASES.next(),
        })
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

    /// Why there is no connection; `None` where there is one, or the first attempt is under way.
    pub(super) fn why_not_connected(&self) -> Option<Arc<ConnectError>> {
        if self.open().is_some() { None } else { self.state.borrow().trouble.clone() }
    }

    /// Waits until there is a connection; `patient` beyond failed attempts too.
    pub(super) async fn connected(&self, patient: bool) -> Result<Arc<Connection>, ChannelError> {
        let mut state = self.state.subscribe();
        loop {
            // Seen before the connection is looked at, so that a swap in between is not missed.
            let trouble = state.borrow_and_update().trouble.clone();
            if let Some(connection) = self.open() {
                return Ok(connection);
            }
            match trouble {
                Some(cause) if !patient => return Err(ChannelError::not_connected(cause)),
                // The sender lives as long as `self`.
                _ => _ = state.changed().await,
            }
        }
    }

    /// Keeps connected with what is wanted, until dropped.
    pub(super) async fn keep_connected(&self) {
        let mut wanted = self.connector.targets().subscribe();
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        // How many connections in a row took no more calls as soon as they were accepted, and had answered none.
        let mut short_lived = 0_u32;
        // When to leave a connection that was superseded. A newer generation does not put it off.
        let mut move_at = None;
        loop {
            let now = wanted.borrow_and_update().clone();
            let failure = match now {
                Wanted::Target(target) => {
                    // Even one that was closed at once: no attempt after it but by the waits.
                    if let Some(connection) = self.current.load_full() {
                        let wait = self.wait(&connection, &target, &mut move_at);
                        if !wait.is_zero() {
                            tokio::select! {
                                _ = wanted.changed() => backoff.reset(),
                                () = connection.life().ended() => {
                                    let (life, age) = (Arc::clone(connection.life()), connection.life().age());
                                    drop(connection);
                                    self.clear();
                                    let wait = if life.has_answered() { Duration::ZERO } else { backoff.after(age) };
                                    _ = tokio::time::timeout(wait, wanted.changed()).await;
                                    // An answer may have been on its way.
                                    if life.has_answered() {
                                        backoff.reset();
                                    }
                                    let young = !life.has_answered() && age < Backoff::GOOD;
                                    short_lived = if young { short_lived + 1 } else { 0 };
                                    if short_lived > SHORT_LIVED {
                                        self.failed(Some(life.origin().generation), ConnectFailure::ShortLived(age));
                                    }
                                }
                                () = tokio::time::sleep(wait) => {}
                            }
                            continue;
                        }
                    }
                    let begun = self.connector.begin(&target);
                    // What came before that may have been reported as settled.
                    if wanted.has_changed().unwrap_or_default() {
                        continue;
                    }
                    // Not cut short by a newer generation: where rotations follow each other faster than a handshake takes, the
                    // channel would never move.
                    match self.connector.connect(&target).await {
                        Ok(connection) => {
                            self.swap(connection);
                            drop(begun);
                            move_at = None;
                        }
                        Err(failure) => {
                            drop(begun);
                            self.failed(Some(target.number()), failure);
                            tokio::select! {
                                () = tokio::time::sleep(backoff.next()) => {}
                                () = self.superseded_ended() => self.clear(),
                                _ = wanted.changed() => {
                                    backoff.reset();
                                    self.anew();
                                }
                            }
                        }
                    }
                    continue;
                }
                Wanted::Nothing => ConnectFailure::NoGeneration,
                Wanted::Refused(refusal) => ConnectFailure::Refused(refusal),
            };
            // Where there was a connection it may not be used either.
            self.supersede(None);
            self.failed(None, failure);
            _ = wanted.changed().await;
            self.anew();
        }
    }

    /// How long the channel stays with a connection, if nothing else happens.
    fn wait(&self, connection: &Connection, target: &Target, move_at: &mut Option<Instant>) -> Duration {
        let now = SystemTime::now();
        let until = |end: SystemTime| end.duration_since(now).unwrap_or_default();
        let session = connection.session();
        let renewal = connection.renewal().map_or(CLOCK_CHECK, until);
        if session.generation().sequence() == target.generation.sequence() {
            return renewal.min(CLOCK_CHECK);
        }
        let spread = self.phase.of(self.connector.settings().rotation_spread);
        let at = *move_at.get_or_insert(target.since + spread);
        let wait = at.saturating_duration_since(Instant::now());
        let outlasted = session.not_after().is_some_and(|end| until(end) <= wait);
        if outlasted { Duration::ZERO } else { wait.min(renewal).min(CLOCK_CHECK) }
    }

    /// Completes once the connection that serves while no other can be had takes no new call.
    async fn superseded_ended(&self) {
        match self.current.load_full() {
            Some(connection) => connection.life().ended().await,
            None => std::future::pending().await,
        }
    }

    fn swap(&self, connection: Connection) {
        let generation = connection.generation();
        self.supersede(Some(connection));
        self.state.send_replace(ChannelState { generation: Some(generation), trouble: None });
        tracing::info!(endpoint = %self.connector.endpoint(), generation, "connected");
    }

    /// The old connection takes no new call, and finishes those it has. Calls that wait for room on it go to the new one.
    fn supersede(&self, connection: Option<Connection>) {
        if let Some(old) = self.current.swap(connection.map(Arc::new)) {
            old.life().end();
        }
    }

    fn clear(&self) {
        self.supersede(None);
        self.state.send_replace(ChannelState::default());
        tracing::info!(endpoint = %self.connector.endpoint(), "the connection takes no more calls");
    }

    /// Something changed since the last attempt failed: calls without a connection wait for the next one.
    fn anew(&self) {
        if self.open().is_none() {
            self.state.send_replace(ChannelState::default());
        }
    }

    fn failed(&self, generation: Option<u64>, failure: ConnectFailure) {
        let trouble = self.connector.error(generation, failure);
        tracing::warn!(error = %trouble, "not connected; trying again");
        let generation = self.open().map(|connection| connection.generation());
        self.state.send_replace(ChannelState { generation, trouble: Some(Arc::new(trouble)) });
    }
}
