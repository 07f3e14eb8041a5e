//! A connection that gives up on a peer that says nothing.

use std::io::{self, IoSlice};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The length of the preface every HTTP/2 connection starts with (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// The time limits on a silent peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the connection's start until its preface is there.
    pub(super) preface: Duration,
    /// Between two bytes after that. A living peer answers the pings, which come more often.
    pub(super) silence: Duration,
    /// From the moment that a message for it is there until it has taken that. Nothing else is made for a stream until then, and what
    /// was decided about it is no older.
    pub(super) taking: Duration,
}

/// The wait before so many bytes more that were read are within what may be read; none: they are.
pub(super) type Allowance = Box<dyn Fn(NonZeroU32) -> Option<Duration> + Send + Sync>;

/// Whether a connection was given up: its peer was silent, or took nothing, for too long.
#[derive(Debug, Clone, Default)]
pub(super) struct GaveUp(Arc<AtomicBool>);

impl GaveUp {
    /// It is given up.
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Release);
    }

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
    allowance: Option<Allowance>,
    /// The bytes read above the allowance: nothing more is read before they are within it.
    owed: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, patience: Patience, gave_up: GaveUp) -> Self {
        let deadline = Instant::now() + patience.preface;
        let alarm = Box::pin(tokio::time::sleep_until(deadline));
        Self { io, patience, received: 0, deadline, alarm, gave_up, allowance: None, owed: 0, pause: None }
    }

    /// Reads no more than `allowance` allows.
    pub(super) fn within(mut self, allowance: Allowance) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// Pays what is owed for what was read, as soon as it can be paid.
    fn pay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                // The silence is this side's.
                if self.received >= PREFACE {
                    self.deadline = Instant::now() + self.patience.silence;
                }
            }
            let (Some(allowance), Some(owed)) = (&self.allowance, NonZeroU32::new(self.owed)) else {
                return Poll::Ready(());
            };
            match allowance(owed) {
                None => self.owed = 0,
                Some(wait) => self.pause = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
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
                self.gave_up.now();
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(self.deadline);
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pay(cx).is_pending() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        self.heard(bytes);
        self.owed = self.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
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
