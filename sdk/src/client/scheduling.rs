//! The scheduling of a connection's tasks, which decides what a call costs more than anything else here does.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// A task in a box.
pub(super) type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that may take a task to be sent.
pub(super) trait SentByTask: Send + Sync {
    /// This task sends what is left of it.
    fn is_sent_by(&self, task: AbortHandle);
}

/// Spawns hyper's tasks, but not the first, which is the connection itself: [`Tasks::connection`] gives that to the task that also
/// queues the requests. In two tasks they would race: a GOAWAY that one reads between two steps of the other would end a call without
/// a proof that it was not sent.
///
/// All are boxed. hyper spawns one for every request, of a type that has room for the whole connection too; in a box it is moved once
/// instead of by every step of a spawn (6 % of the CPU time of a unary call).
///
/// A body is told which task sends it, since hyper does not end that task once the response has begun. hyper asks a body for its first frame,
/// and spawns the task at once, from the same place, if there is more to do.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<First>);

#[derive(Default)]
struct First {
    made: OnceLock<()>,
    task: Mutex<Option<BoxedTask>>,
}

thread_local! {
    /// The body that this thread has asked for its first frame just now. Whatever a connection shared would be written to by the threads
    /// of its calls as well, which costs 3 % of the CPU time of a unary call.
    static BEGUN: RefCell<Option<Arc<dyn SentByTask>>> = const { RefCell::new(None) };
}

impl Tasks {
    /// The connection of a handshake that is through.
    pub(super) fn connection(&self) -> Option<BoxedTask> {
        self.0.task.lock().take()
    }
}

/// A body is asked for its first frame. If hyper cannot send all of it right away, the next task of this thread is the one that sends it.
pub(super) fn begun(body: Arc<dyn SentByTask>) {
    BEGUN.set(Some(body));
}

/// A body is gone: no task will send it.
pub(super) fn gone<B: SentByTask>(body: &Arc<B>) {
    // A thread that ends has no body to send.
    _ = BEGUN.try_with(|begun| {
        begun.borrow_mut().take_if(|begun| std::ptr::addr_eq(Arc::as_ptr(begun), Arc::as_ptr(body)));
    });
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let task = Box::pin(task);
        if self.0.made.set(()).is_ok() {
            *self.0.task.lock() = Some(task);
            return;
        }
        let begun = BEGUN.take();
        let task = tokio::spawn(task);
        if let Some(body) = begun {
            body.is_sent_by(task.abort_handle());
        }
    }
}

/// A future that, each time it is woken, goes to the end of the runtime's queue once before it runs.
///
/// A connection's queue of requests is woken by the first one put into it, and tokio would run it next: one request, one TLS record,
/// one write. At the end of the queue it finds what the tasks before it have put in as well (5 to 10 % of the CPU time of a
/// unary call where few run at a time). On an idle runtime nothing stands before it.
#[derive(Debug)]
pub(super) struct Batched<F> {
    future: F,
    queued: bool,
}

impl<F> Batched<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future, queued: false }
    }
}

impl<F: Future + Unpin> Future for Batched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.queued = !self.queued;
        if self.queued {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.future).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::poll;
    use http::Request;
    use http_body::{Body, Frame};
    use hyper::client::conn::http2;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::yield_now;

    use super::*;

    /// The settings of a server that allows seven streams and reads nothing of any (RFC 9113 §6.5.2).
    const READS_NOTHING: [u8; 21] = [0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 7, 0, 4, 0, 0, 0, 0];
    const ALLOWED: usize = 7;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Did {
        Spawn,
        /// It asked the body of this number for a frame.
        Ask(u8),
    }

    #[derive(Debug, Clone, Default)]
    struct Record(Arc<Mutex<Vec<Did>>>);

    impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Record {
        fn execute(&self, task: F) {
            self.0.lock().push(Did::Spawn);
            tokio::spawn(task);
        }
    }

    struct Recorded(u8, Record);

    impl Body for Recorded {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.1.0.lock().push(Did::Ask(self.0));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data")))))
        }
    }

    /// The task that sends a body is told from others by this alone: one call would end the task of another.
    #[tokio::test]
    async fn hyper_asks_a_body_before_it_has_a_window_for_it_and_spawns_its_task_next() {
        let record = Record::default();
        let (ours, mut server) = tokio::io::duplex(1 << 16);
        server.write_all(&READS_NOTHING).await.unwrap();
        let (sender, mut queue) = http2::handshake::<_, _, Recorded>(record.clone(), TokioIo::new(ours)).await.unwrap();
        tokio::spawn(async move { server.read_to_end(&mut Vec::new()).await });
        while queue.current_max_send_streams() != ALLOWED {
            assert!(poll!(&mut queue).is_pending());
            yield_now().await;
        }
        record.0.lock().clear();
        let request = |number| Request::post("https://example.org/").body(Recorded(number, record.clone())).unwrap();
        let mut senders = [sender.clone(), sender];
        let [one, two] = &mut senders;
        let _responses = [one.send_request(request(1)), two.send_request(request(2))];
        for _ in 0..100 {
            assert!(poll!(&mut queue).is_pending());
            yield_now().await;
        }
        // Each request has a task for its body, and one for its response.
        let of = |number| [Did::Ask(number), Did::Spawn, Did::Spawn];
        assert_eq!(*record.0.lock(), [of(1), of(2)].concat());
    }
}
