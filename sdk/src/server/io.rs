//! One accepted connection.

mod lull;
mod opening;

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::connections::{Connections, Entry};
use super::draining::Draining;
use super::hosts::ServedBy;
use crate::peer::PeerIdentity;
use lull::Lull;
use opening::Opening;

/// The time a closed connection waits for the peer to close its side, and the number of bytes it takes from it meanwhile. A
/// socket that is closed with bytes unread is reset, and with that the peer may lose answers that it has not been sent yet.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A connection whose handshake is done and agreed on a version of HTTP.
///
/// Fails reading if the peer does not begin to speak that version in time: an HTTP/2 server waits without a limit for the connection
/// preface, and neither its keepalive nor its graceful shutdown works before.
pub struct TlsIo<IO>(
    // Whoever serves it moves it about, and keeps room for it in each place where it has been.
    Box<Parts<IO>>,
);

struct Parts<IO> {
    stream: TlsStream<IO>,
    version: Version,
    opening: Option<Opening>,
    lull: Lull,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    lingering: Option<Lingering>,
    // After the stream: no descriptor outlives its connection's entry.
    entry: Entry,
}

/// The limits of reading from a peer that was told that nothing more comes.
struct Lingering {
    bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<IO> TlsIo<IO> {
    /// Once it is cut, what is under way on the connection fails, and everything after.
    pub(super) fn new(stream: TlsStream<IO>, version: Version, timeout: Duration, entry: Entry) -> Self {
        Self(Box::new(Parts {
            stream,
            version,
            opening: Some(Opening::new(version, timeout)),
            lull: if version == Version::HTTP_2 { Lull::after(opening::PREFACE.len()) } else { Lull::Over },
            cut: Box::pin(entry.cut().clone().cancelled_owned()),
            lingering: None,
            entry,
        }))
    }

    /// The connections it is one of, and its number among them.
    pub(super) fn place(&self) -> (&Arc<Connections>, u64) {
        self.0.entry.place()
    }

    /// The identity that it was made with, where a server has several ([`Hosts`](super::Hosts)): whose bundle vouches for the peer. To be
    /// put into the extensions of its requests by a serve loop of one's own.
    #[must_use]
    pub fn served_by(&self) -> ServedBy {
        ServedBy(Arc::clone(&self.place().0.identity))
    }

    /// The version of HTTP that was agreed on: 2 or 1.1.
    #[must_use]
    pub fn http_version(&self) -> Version {
        self.0.version
    }

    /// The TLS session: versions, suite, the peer's certificates.
    #[must_use]
    pub fn session(&self) -> &ServerConnection {
        self.0.stream.get_ref().1
    }

    /// The identity of the peer; `None` for one that showed no certificate. To be put into the extensions of its requests by a serve loop
    /// of one's own.
    #[must_use]
    pub fn peer_identity(&self) -> Option<PeerIdentity> {
        PeerIdentity::of_chain(self.session().peer_certificates()?)
    }

    /// The hook by which a serve loop of one's own is told when the peer is to be told to go. A connection whose hook was taken is drained
    /// as the [`DrainPolicy`](super::DrainPolicy) has it; any other is cut where it would be cut after the drain.
    pub fn draining(&mut self) -> Draining {
        Draining::new(self.0.entry.drained().clone())
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &IO {
        self.0.stream.get_ref().0
    }
}

impl<IO> Parts<IO> {
    /// The outcome, unless the connection would wait and has been cut. A busy connection waits often enough: tokio's sockets do
    /// every so many operations.
    fn unless_cut<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_pending() && self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, Cut)));
        }
        outcome
    }
}

impl Lingering {
    fn new() -> Self {
        Self { bytes: LINGER_BYTES, deadline: Box::pin(tokio::time::sleep(LINGER)) }
    }

    /// Ready once the peer has closed its side, or has had its time.
    fn poll(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        while self.bytes > 0 {
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {
                    self.bytes = self.bytes.saturating_sub(scratch.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsIo<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.0;
        loop {
            if this.lull.pass_on(cx, buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
            let read = buf.filled().len() - before;
            if let Some(opening) = &mut this.opening {
                if opening.follow(&buf.filled()[before..])? {
                    this.opening = None;
                } else if outcome.is_pending() {
                    opening.check(cx)?;
                }
            }
            let left = this.lull.follow(&mut buf.filled_mut()[before..]);
            buf.set_filled(before + left);
            // Nothing would mean the end.
            if read == 0 || left > 0 {
                return this.unless_cut(cx, outcome);
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsIo<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self.0;
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.unless_cut(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self.0;
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.unless_cut(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.0;
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.unless_cut(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.0;
        if this.lingering.is_none() {
            let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.unless_cut(cx, outcome))?;
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::new);
        let outcome = lingering.poll(&mut this.stream, cx).map(Ok);
        this.unless_cut(cx, outcome)
    }
}

/// As tonic's own TLS has it, so `Request::peer_certs` and `Request::remote_addr` work over TCP.
impl<IO: Connected> Connected for TlsIo<IO> {
    type ConnectInfo = <TlsStream<IO> as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.stream.connect_info()
    }
}

impl<IO> fmt::Debug for TlsIo<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIo").field("session", self.session()).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server has cut the connection")]
struct Cut;
