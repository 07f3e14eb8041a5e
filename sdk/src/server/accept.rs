//! The accept loop: handshakes run beside each other in two stages, and peers that stall cost nobody else time.
//!
//! The first stage waits for the ClientHello: cheap, wide and short. Only then is the config of that moment taken, by one atomic
//! load, and the handshake computed; a small pool bounds how many compute at a time, so a burst of handshakes does not stand
//! before running calls in the runtime's queue. The cost of a stranger's chain stands before none: `tls::apart`, and [`threads`] where the
//! runtime has but one.

mod peers;
mod threads;
mod waiting;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use evercert_core::path::Role;
use evercert_core::text;
use futures_util::FutureExt as _;
use rustix::io::Errno;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::PollSemaphore;
use tokio_util::task::AbortOnDropHandle;

use super::connections::Unwelcome;
use super::hosts::Slots;
use super::io::TlsIo;
use super::limits::AcceptLimits;
use super::listener::Listener;
use super::slot::Prepared;
use crate::telemetry::{Event, HandshakeKind, HandshakeResult, Recorder};
use crate::tls::outcome;
use crate::tls::session::Session;
use peers::Peers;
pub(super) use peers::network;
use waiting::Waiting;

/// The pause of accepting when the process or the system is out of what a connection needs. The failed connection stays in the
/// kernel's queue, so trying again at once would only burn the CPU.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The number of errors of single connections in a row that are passed over without a pause. So many come of a listener that fails for
/// good, such as one whose calls are forbidden (seccomp).
const PASSED_OVER: u32 = 64;

/// The alert `unrecognized_name` (RFC 6066 §3), fatal, as a record before there are keys (RFC 8446 §5.1).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The parts of an accept loop.
pub(super) struct Accepting<A: Listener> {
    pub(super) listener: A,
    pub(super) slots: Arc<Slots>,
    pub(super) limits: AcceptLimits,
    /// The recorder that is told how handshakes ended.
    pub(super) recorder: Option<Arc<dyn Recorder>>,
}

impl<A: Listener> Accepting<A> {
    /// Accepts until `finished` is closed; then it ends its handshakes, as it does when it is dropped.
    pub(super) async fn run(mut self, finished: mpsc::Sender<TlsIo<A::Io>>) {
        let computing = Arc::new(Semaphore::new(self.limits.computing.clamp(1, Semaphore::MAX_PERMITS)));
        let mut handshakes = JoinSet::new();
        let mut peers = Peers::new(self.limits.unfinished_per_peer.max(1));
        let mut waiting = Waiting::new(self.limits.waiting);
        let (mut exhausted, mut passed_over) = (false, 0);
        self.listener.grow_backlog();
        let begin = |handshakes: &mut JoinSet<()>, io| {
            let handshake = Handshake {
                slots: Arc::clone(&self.slots),
                limits: self.limits,
                computing: PollSemaphore::new(Arc::clone(&computing)),
            };
            handshakes.spawn(deliver(handshake, io, finished.clone(), self.recorder.clone())).id()
        };
        loop {
            tokio::select! {
                () = finished.closed() => break,
                Some(ended) = handshakes.join_next_with_id() => {
                    let ended = peers.ended(ended.map_or_else(|error| error.id(), |(id, ())| id));
                    if let Some((peer, io)) = ended.and_then(|peer| Some((peer, waiting.next(peer)?))) {
                        peers.began(begin(&mut handshakes, io), Some(peer));
                    }
                }
                accepted = self.listener.accept(), if handshakes.len() < self.limits.unfinished.max(1) => match accepted {
                    Ok((io, peer)) => {
                        (exhausted, passed_over) = (false, 0);
                        match peers.full(peer) {
                            Some(peer) => waiting.wait(peer, io, Instant::now()),
                            None => peers.began(begin(&mut handshakes, io), peer),
                        }
                    }
                    Err(error) if !is_exhaustion(&error) && passed_over < PASSED_OVER => passed_over += 1,
                    Err(error) => {
                        if !std::mem::replace(&mut exhausted, true) {
                            tracing::warn!(%error, "cannot accept connections; trying on");
                        }
                        passed_over = 0;
                        // Those that wait have the descriptors that it may have failed for.
                        if !is_exhaustion(&error) || !waiting.turn_away(Instant::now()) {
                            tokio::time::sleep(EXHAUSTED_PAUSE).await;
                        }
                    }
                },
            }
        }
        drop(self.listener);
        handshakes.shutdown().await;
    }
}

/// Whether the process or the system is out of what a connection needs (accept(2)). Every other error is one connection's, that was gone
/// before it was accepted or, in a listener of the service's own, did not begin as it has to, and says nothing about the next one.
fn is_exhaustion(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

async fn deliver<IO>(
    handshake: Handshake,
    io: IO,
    finished: mpsc::Sender<TlsIo<IO>>,
    recorder: Option<Arc<dyn Recorder>>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = handshake.run(io).await;
    if let Some(recorder) = recorder {
        let (result, kind) = match &ended {
            Ok(io) => (HandshakeResult::Success, outcome::kind(io.session())),
            Err(error) => error.outcome(),
        };
        recorder.tell(&Event::ServerHandshake { result, kind });
    }
    match ended {
        // A receiver that is gone wants no more connections.
        Ok(io) => drop(finished.send(io).await),
        // It may quote the names in the peer's certificate.
        Err(error) => tracing::debug!(error = text::sentence(&error.to_string()), "handshake failed"),
    }
}

struct Handshake {
    slots: Arc<Slots>,
    limits: AcceptLimits,
    computing: PollSemaphore,
}

impl Handshake {
    async fn run<IO>(self, io: IO) -> Result<TlsIo<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !self.slots.all().iter().any(|slot| slot.is_ready()) {
            return Err(HandshakeError::Pending);
        }
        let hello = timeout(self.limits.client_hello, LazyConfigAcceptor::new(Acceptor::default(), io));
        let hello = hello.await.map_err(|_| HandshakeError::ClientHello(self.limits.client_hello))??;
        let limit = self.limits.handshake;
        let slow = |_| HandshakeError::Slow(limit);
        let Some(slot) = self.slots.of(hello.client_hello().server_name()) else {
            let mut io = hello.io;
            // It is the answer to a peer that is turned away: whether it arrives is the peer's concern.
            let alert = async {
                io.write_all(&UNRECOGNIZED_NAME).await?;
                io.flush().await
            };
            let _ = timeout(limit, alert).await.map_err(slow)?;
            return Err(HandshakeError::UnknownName);
        };
        // Until it is entered, or is none.
        let (prepared, _begun) = slot.begin().ok_or(HandshakeError::Pending)?;
        let Prepared { generation, handshakes } = &*prepared;
        let mut behind = Ok(());
        let accept = hello.into_stream_with(Arc::clone(&handshakes.config), |tls| {
            // What came right behind the ClientHello: it is off the socket, whose next bytes may never come.
            behind = tls.process_new_packets().map(drop);
        });
        if let Err(error) = behind {
            // Nobody waits for it to take the alert that this sends.
            drop(accept.now_or_never());
            return Err(io::Error::new(io::ErrorKind::InvalidData, error).into());
        }
        let accept = InTurn { handshake: accept, computing: self.computing };
        // An await for each: a future that is one or the other would be twice as large, in every handshake.
        let stream = match threads::of_handshakes() {
            None => timeout(limit, accept).await.map_err(slow)??,
            Some(threads) => {
                let accept = AbortOnDropHandle::new(threads.spawn(accept));
                timeout(limit, accept).await.map_err(slow)???
            }
        };
        let tls = stream.get_ref().1;
        let version = handshakes.http_version(tls).ok_or(HandshakeError::NoHttp)?;
        handshakes.verify_resumed(tls, SystemTime::now())?;
        let session = Session::new(Arc::clone(generation), tls.peer_certificates(), Role::Client);
        let entry = slot.connections().enter(session)?;
        Ok(TlsIo::new(stream, version, self.limits.preface, entry))
    }
}

/// Polls the handshake with a place in the pool, and gives the place back between polls.
struct InTurn<H> {
    handshake: H,
    computing: PollSemaphore,
}

impl<H: Future + Unpin> Future for InTurn<H> {
    type Output = H::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H::Output> {
        // The semaphore is never closed; without a place the handshake would still have to go on.
        let _place = ready!(self.computing.poll_acquire(cx));
        Pin::new(&mut self.handshake).poll(cx)
    }
}

/// A connection that became none.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("the identity has no generation this server can use yet")]
    Pending,
    #[error("no ClientHello within {0:?}")]
    ClientHello(Duration),
    #[error("not finished within {0:?} of the ClientHello")]
    Slow(Duration),
    #[error("the peer asks for a name that no identity was given for (SNI), or for none")]
    UnknownName,
    #[error("the peer does not offer a version of HTTP that this server lets in (ALPN)")]
    NoHttp,
    #[error("resumed a session that it may not: {0}")]
    Resumed(#[from] rustls::Error),
    #[error(transparent)]
    Unwelcome(#[from] Unwelcome),
    #[error(transparent)]
    Tls(#[from] io::Error),
    #[error("it panicked: {0}")]
    Panicked(#[from] JoinError),
}

impl HandshakeError {
    /// How the handshake ended, and whether it was a full one, where that is known.
    fn outcome(&self) -> (HandshakeResult, Option<HandshakeKind>) {
        let result = match self {
            Self::Resumed(error) => return (outcome::of_tls(error), Some(HandshakeKind::Resumed)),
            Self::Tls(error) => outcome::of_io(error),
            Self::ClientHello(_) | Self::Slow(_) => HandshakeResult::HandshakeTimeout,
            Self::UnknownName => HandshakeResult::CertificateHostnameMismatch,
            Self::NoHttp => HandshakeResult::NoApplicationProtocol,
            Self::Unwelcome(unwelcome) => unwelcome.outcome(),
            Self::Pending | Self::Panicked(_) => HandshakeResult::UnknownFailure,
        };
        (result, None)
    }
}

#[cfg(test)]
mod tests;
