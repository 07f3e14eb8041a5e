//! The one task that drives a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use tokio::sync::oneshot;

use super::connection::Life;
use super::replay::ReplayBody;
use super::scheduling::{BoxedTask, Tasks};

/// Whether the server accepts the connection.
type Acceptance = io::Result<()>;

/// Drives a connection's queue of requests and the connection itself, in turns of one task: between the two, nothing is read.
///
/// It ends when the connection is closed or cut; what the connection has of sockets, memory and membership ends with it.
pub(super) struct Driver<S: Read + Write + Send + Unpin + 'static> {
    /// Gone once the connection takes no more requests.
    queue: Option<http2::Connection<S, ReplayBody, Tasks>>,
    connection: BoxedTask,
    life: Arc<Life>,
    /// The verdict of the first frame; gone once it is passed on.
    first_frame: Option<(oneshot::Receiver<Acceptance>, oneshot::Sender<Acceptance>)>,
    /// The number of calls the server allows at a time, as far as it was said.
    allowed: usize,
}

impl<S: Read + Write + Send + Unpin + 'static> Driver<S> {
    /// The receiver is told whether the server accepts the connection, once calls can be made on it.
    pub(super) fn new(
        queue: http2::Connection<S, ReplayBody, Tasks>,
        connection: BoxedTask,
        life: Arc<Life>,
        first_frame: oneshot::Receiver<Acceptance>,
    ) -> (Self, oneshot::Receiver<Acceptance>) {
        let (tell, told) = oneshot::channel();
        (Self { queue: Some(queue), connection, life, first_frame: Some((first_frame, tell)), allowed: 0 }, told)
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) {
        let Some(queue) = &mut self.queue else { return };
        let Poll::Ready(ended) = Pin::new(queue).poll(cx) else { return };
        if let Err(error) = ended {
            tracing::debug!(%error, origin = %self.life.origin(), "a connection takes no more calls");
        }
        self.close_queue();
    }

    /// Requests in the queue go back to their calls. Those are told first that this connection is none to try again.
    fn close_queue(&mut self) {
        self.life.end();
        self.queue = None;
    }

    /// Passes on what the first frame was, after what it said was heeded.
    fn tell(&mut self) {
        let Some((first_frame, _)) = &mut self.first_frame else { return };
        let Ok(accepted) = first_frame.try_recv() else { return };
        let Some((_, tell)) = self.first_frame.take() else { return };
        self.follow_limit();
        _ = tell.send(accepted);
    }

    /// The server may allow more calls or fewer at any time (RFC 9113 §6.5.2).
    fn follow_limit(&mut self) {
        if self.first_frame.is_some() {
            return;
        }
        let Some(queue) = &self.queue else { return };
        let allowed = room(queue.current_max_send_streams());
        if allowed != self.allowed {
            self.life.allow(self.allowed, allowed);
            self.allowed = allowed;
        }
    }
}

/// The number of calls run at a time where the server allows so many: one less, if it allows more than one. hyper holds back the call that
/// takes the last stream until h2 has confirmed the stream; a GOAWAY in that time fails the call, and nobody can tell whether it was sent.
fn room(allowed: usize) -> usize {
    if allowed > 1 { allowed - 1 } else { allowed }
}

impl<S: Read + Write + Send + Unpin + 'static> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.life.cut().register(cx.waker());
        // Requests first: the connection writes them in the same turn.
        this.poll_queue(cx);
        let closed = this.connection.as_mut().poll(cx).is_ready();
        this.tell();
        if closed || this.life.cut().is_cut() {
            this.close_queue();
            return Poll::Ready(());
        }
        // Without its queue and without a call, the connection would end before the server's word is read: why it refuses us.
        if this.life.cut().is_deaf() && this.first_frame.is_none() {
            this.close_queue();
        }
        // Again: it may have read that the server takes no more.
        this.poll_queue(cx);
        this.follow_limit();
        Poll::Pending
    }
}

impl<S: Read + Write + Send + Unpin + 'static> Drop for Driver<S> {
    /// A runtime that shuts down drops tasks where they stand.
    fn drop(&mut self) {
        self.life.end();
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::super::cut::{Cut, Severable};
    use super::super::first_frame::FirstFrame;
    use super::super::origin::Origin;
    use super::*;

    const ALERT: &str = "received fatal alert: UnknownCA";

    /// A socket whose server has reset it behind its alert: writes fail at once, the alert is read a little later.
    struct Refused {
        readable: bool,
    }

    impl AsyncRead for Refused {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !std::mem::replace(&mut self.readable, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ALERT)))
        }
    }

    impl AsyncWrite for Refused {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_alert_of_a_server_that_takes_nothing_any_more_is_read() {
        let cut = Arc::new(Cut::default());
        let (stream, first_frame) = FirstFrame::new(Severable::new(Refused { readable: false }, Arc::clone(&cut)));
        let tasks = Tasks::default();
        let builder = http2::Builder::new(tasks.clone());
        let (_sender, queue) = builder.handshake::<_, ReplayBody>(TokioIo::new(Box::new(stream))).await.unwrap();
        let connection = tasks.connection().unwrap();
        let life = Arc::new(Life::new(Origin { endpoint: "https://api.internal".into(), generation: 1 }, cut));
        let (driver, told) = Driver::new(queue, connection, life, first_frame);
        tokio::spawn(driver);
        assert_eq!(told.await.unwrap().unwrap_err().to_string(), ALERT);
    }
}
