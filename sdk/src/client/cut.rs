//! The hard end of a connection: everything on it fails at once.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::Ending;

/// Whether a connection is cut, and why.
#[derive(Debug, Default)]
pub(super) struct Cut {
    why: OnceLock<Ending>,
    task: AtomicWaker,
}

impl Cut {
    /// Cuts the connection; the first reason counts.
    pub(super) fn cut(&self, why: Ending) {
        _ = self.why.set(why);
        self.task.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.why.get().is_some()
    }

    /// The task that polls the connection, woken when it is cut.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    fn check(&self) -> io::Result<()> {
        match self.why.get() {
            None => Ok(()),
            Some(why) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.to_string())),
        }
    }
}

/// A stream that fails from the moment it is cut.
#[derive(Debug)]
pub(super) struct Severable<S> {
    stream: S,
    cut: Arc<Cut>,
}

impl<S> Severable<S> {
    pub(super) fn new(stream: S, cut: Arc<Cut>) -> Self {
        Self { stream, cut }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
