//! What keeps a channel connected.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use evercert_core::digest::Digest;
use rustls::ClientConfig;
use tokio::sync::watch;

use super::connection::Connection;
use super::connector::Connector;
use super::error::{ChannelError, ConnectError, ConnectFailure};
use crate::backoff::Backoff;
use crate::identity::{Commit, Consumer};
use crate::source::Refusal;
use crate::tls::Generation;
use crate::tls::config::client_config;

/// The first and the longest wait between two attempts to connect; up to as much again is added by chance.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

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

/// What a channel connects with next.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) generation: u64,
    pub(super) digest: Digest,
    pub(super) tls: Arc<ClientConfig>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Nothing,
    Refused(Refusal),
    Target(Arc<Target>),
}

/// What the clones of a channel, its task and its identity share.
#[derive(Debug)]
pub(super) struct Link {
    connector: Connector,
    wanted: watch::Sender<Wanted>,
    current: ArcSwapOption<Connection>,
    state: watch::Sender<ChannelState>,
    this: Weak<Self>,
}

impl Link {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            connector,
            wanted: watch::Sender::new(Wanted::Nothing),
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(ChannelState::default()),
            this: Weak::clone(this),
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
        let mut wanted = self.wanted.subscribe();
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        // How many connections in a row the server closed as soon as it had accepted them.
        let mut short_lived = 0_u32;
        loop {
            let now = wanted.borrow_and_update().clone();
            let target = match now {
                Wanted::Target(target) => target,
                Wanted::Nothing => {
                    self.failed(None, ConnectFailure::NoGeneration);
                    _ = wanted.changed().await;
                    self.anew();
                    continue;
                }
                Wanted::Refused(refusal) => {
                    self.failed(None, ConnectFailure::Refused(refusal));
                    _ = wanted.changed().await;
                    self.anew();
                    continue;
                }
            };
            // Even one that was closed at once: no attempt after it but by the waits.
            let serving = self.current.load_full().filter(|connection| connection.digest() == target.digest);
            if let Some(serving) = serving {
                self.serves(target.generation);
                tokio::select! {
                    _ = wanted.changed() => backoff.reset(),
                    () = serving.closed() => {
                        let age = serving.age();
                        self.lost();
                        short_lived = if age < Backoff::GOOD { short_lived.saturating_add(1) } else { 0 };
                        // One may have met a server that was about to go; after more, calls would wait for ever.
                        if short_lived > 1 {
                            self.failed(Some(target.generation), ConnectFailure::ShortLived(age));
                        }
                        _ = tokio::time::timeout(backoff.after(age), wanted.changed()).await;
                    }
                }
                continue;
            }
            // Not cut short by a newer generation: where rotations follow each other faster than a handshake takes, the
            // channel would never move.
            match self.connector.connect(&target).await {
                Ok(connection) => self.swap(connection),
                Err(failure) => {
                    self.failed(Some(target.generation), failure);
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next()) => {}
                        () = self.superseded_closed() => self.lost(),
                        _ = wanted.changed() => {
                            backoff.reset();
                            self.anew();
                        }
                    }
                }
            }
        }
    }

    /// Completes once the connection of an older generation, which still serves, takes no new stream.
    async fn superseded_closed(&self) {
        match self.open() {
            Some(connection) => connection.closed().await,
            None => std::future::pending().await,
        }
    }

    /// The connection in use is as good as one of this generation: a restarted publisher counts anew.
    fn serves(&self, generation: u64) {
        self.state.send_if_modified(|state| {
            let renumbered = state.generation != Some(generation);
            if renumbered {
                *state = ChannelState { generation: Some(generation), trouble: None };
            }
            renumbered
        });
    }

    fn swap(&self, connection: Connection) {
        let generation = connection.generation();
        // The old one, dropped here, takes no new stream and finishes those it has.
        self.current.store(Some(Arc::new(connection)));
        self.state.send_replace(ChannelState { generation: Some(generation), trouble: None });
        tracing::info!(endpoint = %self.connector.endpoint(), generation, "connected");
    }

    fn lost(&self) {
        self.current.store(None);
        self.state.send_replace(ChannelState::default());
        tracing::info!(endpoint = %self.connector.endpoint(), "the connection was lost, or the server drains it");
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

impl Consumer for Link {
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal> {
        let tls = match client_config(generation, &self.connector.settings().tls) {
            Ok(tls) => tls,
            Err(refusal) => {
                // With a target the last good stays; without one, calls are told why there is none.
                self.wanted.send_if_modified(|wanted| {
                    let first = !matches!(wanted, Wanted::Target(_));
                    if first {
                        *wanted = Wanted::Refused(refusal.clone());
                    }
                    first
                });
                return Err(refusal);
            }
        };
        let snapshot = generation.snapshot();
        let target =
            Arc::new(Target { generation: snapshot.generation(), digest: snapshot.digest(), tls: Arc::new(tls) });
        let link = Weak::clone(&self.this);
        Ok(Box::new(move || {
            if let Some(link) = link.upgrade() {
                link.wanted.send_replace(Wanted::Target(target));
            }
        }))
    }

    fn withdraw(&self, refusal: &Refusal) {
        self.wanted.send_replace(Wanted::Refused(refusal.clone()));
    }
}
