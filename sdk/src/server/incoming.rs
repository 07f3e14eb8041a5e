//! Accepted connections as a stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::accept::Accepting;
use super::io::TlsIo;
use super::limits::AcceptLimits;
use super::listener::Listener;
use crate::identity::{Commit, Consumer, Identity};
use crate::source::Refusal;
use crate::tls::{Generation, ServerTls, config};

/// How many finished connections wait for the server to take them. Behind them handshakes wait too, and then accepting.
const FINISHED_QUEUE: usize = 64;

/// The connections of one listener whose handshake is done, each made with the generation of its moment: for tonic's
/// `serve_with_incoming` and `serve_with_incoming_shutdown`. Never ends and never fails; dropping it closes the listener and
/// ends unfinished handshakes.
///
/// While the identity has no generation that this server can use, connections are closed unanswered.
pub struct Incoming<IO> {
    finished: mpsc::Receiver<TlsIo<IO>>,
    // Attached to the identity for as long as this lives.
    _slot: Arc<Slot>,
    _accepting: AbortOnDropHandle<()>,
    // Keeps the identity's task going.
    _identity: Identity,
}

/// The settings of an [`Incoming`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncomingSettings {
    /// The settings of TLS.
    pub tls: ServerTls,
    /// The limits of connections that have not finished their handshake.
    pub limits: AcceptLimits,
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
    /// closed until one comes that has it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn incoming_with<A: Listener>(&self, listener: A, settings: IncomingSettings) -> Incoming<A::Io> {
        let (incoming, attached) = Incoming::start(self, listener, settings, None);
        if let Err(refusal) = attached {
            tracing::warn!(identity = %self.name(), %refusal, "cannot serve the current generation; connections are closed");
        }
        incoming
    }
}

impl<IO: Send + 'static> Incoming<IO> {
    /// Starts accepting, whether the current generation can be used or not. `cut` ends the connections too.
    pub(super) fn start<A: Listener<Io = IO>>(
        identity: &Identity,
        listener: A,
        settings: IncomingSettings,
        cut: Option<&CancellationToken>,
    ) -> (Self, Result<(), Refusal>) {
        let slot = Arc::new(Slot { tls: settings.tls, config: Arc::default() });
        let weak = Arc::downgrade(&slot);
        let attached = identity.attach(weak);
        let (sender, finished) = mpsc::channel(FINISHED_QUEUE);
        let accepting =
            Accepting { listener, config: Arc::clone(&slot.config), limits: settings.limits, cut: cut.cloned() };
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting.run(sender)));
        (Self { finished, _slot: slot, _accepting: accepting, _identity: identity.clone() }, attached)
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

/// Where the accept loop finds the config of the moment.
struct Slot {
    tls: ServerTls,
    config: Arc<ArcSwapOption<ServerConfig>>,
}

impl Consumer for Slot {
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal> {
        let prepared = Arc::new(config::server_config(generation, &self.tls)?);
        let config = Arc::clone(&self.config);
        Ok(Box::new(move || config.store(Some(prepared))))
    }

    fn withdraw(&self, _refusal: &Refusal) {
        self.config.store(None);
    }
}
