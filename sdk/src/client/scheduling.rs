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
pub(super) trait Sent: Send + Sync {
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
    static BEGUN: RefCell<Option<Arc<dyn Sent>>> = const { RefCell::new(None) };
}

impl Tasks {
    /// The connection of a handshake that is through.
    pub(super) fn connection(&self) -> Option<BoxedTask> {
        self.0.task.lock().take()
    }
}

/// A body is asked for its first frame. If hyper cannot send all of it right away, the next task of this thread is the one that sends it.
pub(super) fn begun(body: Arc<dyn Sent>) {
    BEGUN.set(Some(body));
}

/// A body is gone: no task will send it.
pub(super) fn gone<B: Sent>(body: &Arc<B>) {
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
