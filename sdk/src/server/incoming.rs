//! Accepted connections as a stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::task::AbortOnDropHandle;

use super::accept::Accepting;
use super::all_connections::AllConnections;
use super::connections::Connections;
use super::drain::DrainPolicy;
use super::hosts::{Hosts, told_apart};
use super::io::TlsIo;
use super::limits::AcceptLimits;
use super::listener::Listener;
use super::slot::Slot;
use super::warden;
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::telemetry::Recorder;
use crate::tls::{PeerList, ServerTls};

/// The number of finished connections that wait for the server to take them. Behind them handshakes wait too, and then accepting.
const FINISHED_QUEUE: usize = 64;

/// The connections of one listener whose handshake is done, each made with the generation of its moment: for hyper and what is built
/// on it, such as axum, and for tonic's `serve_with_incoming` and `serve_with_incoming_shutdown`. Never ends and never fails; dropping
/// it closes the listener and ends unfinished handshakes, and [`Incoming::shut_down`] sees to the live ones too.
///
/// While the identity has no generation that this server can use, connections are closed unanswered. Where the settings let HTTP/1.1 in,
/// tonic has to be told too, by its `accept_http1`; its `tls_config` must not be set, since it would ask for TLS within TLS.
///
/// [`TlsIo::draining`] is the hook by which a serve loop learns that the [`DrainPolicy`] wants a connection to be told to go, and
/// [`Draining`](super::Draining) has such a loop. A connection whose hook nobody took, as with tonic's loops, is not told, and
/// is cut where it would be cut after the drain. That concerns connections whose peers are no longer trusted, those made with a
/// leaf of ours that expired under a policy of failing closed, and, if set, superseded and aged ones. A connection whose peer's
/// certificate expires is cut then, as everywhere. All of it holds for connections that have been taken out of this stream,
/// as long as they live.
pub struct Incoming<IO> {
    finished: mpsc::Receiver<TlsIo<IO>>,
    connections: AllConnections,
    accepting: AbortOnDropHandle<()>,
}

/// The settings of an [`Incoming`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct IncomingSettings {
    /// The settings of TLS.
    pub tls: ServerTls,
    /// The limits of connections that have not finished their handshake.
    pub accept_limits: AcceptLimits,
    /// The policy by which connections are ended.
    pub drain_policy: DrainPolicy,
    /// Identities for other names than the default identity's.
    pub hosts: Hosts,
    /// The recorder that is told of handshakes, those with other identities of the server included. The default identity's unless set.
    pub recorder: Option<Arc<dyn Recorder>>,
}

impl IncomingSettings {
    /// Sets [`IncomingSettings::tls`](#structfield.tls).
    #[must_use]
    pub fn tls(self, tls: ServerTls) -> Self {
        Self { tls, ..self }
    }

    /// Sets [`IncomingSettings::accept_limits`](#structfield.accept_limits).
    #[must_use]
    pub fn accept_limits(self, accept_limits: AcceptLimits) -> Self {
        Self { accept_limits, ..self }
    }

    /// Sets [`IncomingSettings::drain_policy`](#structfield.drain_policy).
    #[must_use]
    pub fn drain_policy(self, drain_policy: DrainPolicy) -> Self {
        Self { drain_policy, ..self }
    }

    /// Sets [`IncomingSettings::hosts`](#structfield.hosts).
    #[must_use]
    pub fn hosts(self, hosts: Hosts) -> Self {
        Self { hosts, ..self }
    }

    /// Sets [`IncomingSettings::recorder`](#structfield.recorder).
    #[must_use]
    pub fn recorder(self, recorder: Arc<dyn Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }
}

impl Identity {
    /// Accepts from `listener`, with client certificates required and the default limits.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn incoming<A: Listener>(&self, listener: A) -> Incoming<A::Io> {
        self.incoming_with(listener, IncomingSettings::default())
    }

    /// Accepts from `listener`. A current generation that lacks what the settings need is shown by the log: connections are
    /// closed until one comes that has it. So are, for good, those for another identity that is called as this one is.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn incoming_with<A: Listener>(&self, listener: A, settings: IncomingSettings) -> Incoming<A::Io> {
        Incoming::start(self, listener, settings, false).0
    }
}

impl<IO: Send + 'static> Incoming<IO> {
    /// Starts accepting, whether the current generations can be used or not; the log says which cannot, and the first one's refusal is
    /// given. `drains`: whether whoever serves the connections can drain them.
    pub(super) fn start<A: Listener<Io = IO>>(
        default: &Identity,
        listener: A,
        settings: IncomingSettings,
        drains: bool,
    ) -> (Self, Result<(), Refusal>) {
        let mut attached = settings.hosts.check(default);
        let is_refused = attached.is_err();
        if let Err(refusal) = &attached {
            tracing::warn!(identity = %default.name(), %refusal, "cannot serve; connections are closed");
        }
        let slots = settings.hosts.slots(default, |identity| {
            let name = Arc::clone(identity.name());
            let connections = Connections::new(name, settings.drain_policy, drains, Arc::clone(identity.tally()));
            let of_server = settings.tls.allowed_peers.as_ref();
            let allowed = settings.hosts.allowed(identity, default, of_server);
            if allowed.as_ref().is_some_and(|allowed| *allowed.list() == PeerList::default()) {
                let identity = identity.name();
                tracing::warn!(
                    %identity,
                    "the list of allowed peers is empty: no peer is let in. Where the server has a list, each of its identities needs \
                     one, by allowed_peers_of"
                );
            }
            let connections = Arc::new(connections.with_allowed(allowed.clone()));
            let tls = ServerTls { allowed_peers: allowed, ..settings.tls.clone() };
            let slot = Arc::new(Slot::new(tls, connections));
            if is_refused {
                return slot;
            }
            if let Err(error) = told_apart(default, identity) {
                tracing::warn!(%error, "cannot serve an identity; connections are closed");
                return slot;
            }
            let weak = Arc::downgrade(&slot);
            if let Err(refusal) = identity.attach(weak) {
                let identity = identity.name();
                tracing::warn!(%identity, %refusal, "cannot serve the current generation; connections are closed");
                attached = std::mem::replace(&mut attached, Ok(())).and(Err(refusal));
            }
            tokio::spawn(warden::watch(Arc::clone(slot.connections()), Arc::clone(&slot), identity.clone()));
            slot
        });
        let connections = AllConnections(slots.all().iter().map(|slot| Arc::clone(slot.connections())).collect());
        let (sender, finished) = mpsc::channel(FINISHED_QUEUE);
        let recorder = settings.recorder.or_else(|| default.recorder().cloned());
        let accepting = Accepting { listener, slots: Arc::new(slots), limits: settings.accept_limits, recorder };
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting.run(sender)));
        (Self { finished, connections, accepting }, attached)
    }

    /// The connections that have been accepted and still live.
    pub(super) fn connections(&self) -> &AllConnections {
        &self.connections
    }

    /// Closes the listener, ends unfinished handshakes, closes what nobody has taken, and fires all hooks ([`TlsIo::draining`]); what
    /// runs may go on for `timeout`, and is cut then. No connection is left when this returns; gives how many were cut. Where it is dropped
    /// instead, nothing is cut.
    pub async fn shut_down(self, timeout: Duration) -> usize {
        let all = self.connections.clone();
        all.drain();
        let drained = tokio::time::timeout(timeout, async {
            self.close().await;
            all.emptied().await;
        });
        if drained.await.is_ok() {
            return 0;
        }
        let count = all.cut();
        tracing::warn!(identity = %all.name(), count, ?timeout, "cut the connections that did not drain");
        all.emptied().await;
        count
    }

    /// Where accepting has ended, it has panicked, for the listener did: so does this.
    pub(super) async fn resume_panic(&mut self) {
        if let Err(ended) = (&mut self.accepting).await
            && let Ok(panic) = ended.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    async fn close(mut self) {
        self.finished.close();
        while self.finished.recv().await.is_some() {}
        // Should it have panicked, there is nothing of it left either.
        let _ = (&mut self.accepting).await;
    }
}

impl<IO> Drop for Incoming<IO> {
    fn drop(&mut self) {
        self.connections.close();
    }
}

impl<IO> Stream for Incoming<IO> {
    type Item = io::Result<TlsIo<IO>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.finished.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl<IO> fmt::Debug for Incoming<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("waiting", &self.finished.len()).finish_non_exhaustive()
    }
}
