//! The end of a connection's stream: by a cut, with everything on it at once, or once the last word of the server is read.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    deaf: AtomicBool,
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

    /// Whether the server takes nothing any more; what it has sent may still be read.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Relaxed)
    }

    /// The task that polls the connection, woken when it is cut.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// # Errors
    ///
    /// It is cut.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.why.get() {
            None => Ok(()),
            Some(why) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.to_string())),
        }
    }
}

/// A stream that fails from the moment it is cut, and that does not fail for a write.
///
/// A server that ends a connection may reset it, and a write often learns of that first. The GOAWAY that the server sent before, and
/// answers, are still to be read then, and with them the proof of what it has processed. So what cannot be written is dropped, and the end
/// comes with the end of what can be read.
#[derive(Debug)]
pub(super) struct Severable<S> {
    stream: S,
    cut: Arc<Cut>,
}

impl<S> Severable<S> {
    pub(super) fn new(stream: S, cut: Arc<Cut>) -> Self {
        Self { stream, cut }
    }

    /// The result of a write; where it failed, it counts as done.
    fn written<T>(&self, write: Poll<io::Result<T>>, dropped: T) -> Poll<io::Result<T>> {
        match write {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "the server takes nothing any more; what it has sent is read first");
                self.cut.deaf.store(true, Relaxed);
                Poll::Ready(Ok(dropped))
            }
            write => write,
        }
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
        if self.cut.is_deaf() {
            return Poll::Ready(Ok(buf.len()));
        }
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(write, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        let length = || bufs.iter().map(|buf| buf.len()).sum();
        if self.cut.is_deaf() {
            return Poll::Ready(Ok(length()));
        }
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let length = length();
        self.written(write, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        if self.cut.is_deaf() {
            return Poll::Ready(Ok(()));
        }
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(flush, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        if self.cut.is_deaf() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
