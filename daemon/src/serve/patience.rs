//! A connection that gives up on a peer that says nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The length of the preface every HTTP/2 connection starts with (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// How long a peer may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the connection's start until its preface is there.
    pub(super) preface: Duration,
    /// Between two bytes after that. A living peer answers the pings, which come more often.
    pub(super) silence: Duration,
}

/// Whether a connection ended for its peer's silence.
#[derive(Debug, Clone, Default)]
pub(super) struct GaveUp(Arc<AtomicBool>);

impl GaveUp {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// An IO that fails with `TimedOut` once its peer was silent for too long, whether it is being read or written then: a peer
/// that is stopped stops reading too, and a write to it never ends.
pub(super) struct Patient<T> {
    io: T,
    patience: Patience,
    received: usize,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
    gave_up: GaveUp,
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, patience: Patience, gave_up: GaveUp) -> Self {
        let deadline = Instant::now() + patience.preface;
        Self { io, patience, received: 0, deadline, alarm: Box::pin(tokio::time::sleep_until(deadline)), gave_up }
    }

    fn heard(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        if bytes > 0 && self.received >= PREFACE {
            // The alarm itself is left as it is: it is set anew when it rings, not at every read.
            self.deadline = Instant::now() + self.patience.silence;
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                self.gave_up.0.store(true, Ordering::Release);
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(self.deadline);
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.heard(buf.filled().len() - before);
        match read {
            Poll::Pending => self.check(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
