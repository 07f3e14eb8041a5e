//! Work that may hang, such as a look at a mount that is dead, on threads that are left behind with it.
//!
//! They are not the runtime's: at its end a runtime waits for what blocks on its threads, and a dead mount would keep the process alive.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// Threads that may hang, as many as are asked for at once; the caller bounds that. When this is dropped, those without work end.
#[derive(Debug)]
pub struct Threads {
    name: &'static str,
    /// The size of a stack, in bytes; unset: that of the standard library.
    stack: Option<usize>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// How many threads wait for work.
    idle: usize,
    stopped: bool,
}

impl Threads {
    /// No thread yet; each will have this name, of at most 15 bytes.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self { name, stack: None, shared: Arc::default() }
    }

    /// The same, with stacks of this size in bytes.
    #[must_use]
    pub fn with_stack(mut self, bytes: usize) -> Self {
        self.stack = Some(bytes);
        self
    }

    /// Has one of the threads do this.
    ///
    /// # Errors
    ///
    /// No further thread can be had. The work is done all the same, by the next thread that is done with its own or can be had.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.queue.push_back(Box::new(work));
        if state.queue.len() <= state.idle {
            self.shared.changed.notify_one();
            return Ok(());
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(self.name.to_owned());
        let thread = self.stack.into_iter().fold(thread, thread::Builder::stack_size);
        thread.spawn(move || shared.work()).map(drop).inspect_err(|error| {
            tracing::error!(threads = self.name, %error, "no further thread can be had for what may hang");
        })
    }

    /// Has one of the threads do this, and gives what comes of it; an error, if the work panics.
    pub fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, outcome) = oneshot::channel();
        // Without a thread it is waited for, as for one that hangs. It fails where nobody waits any more.
        let _ = self.run(move || drop(sender.send(work())));
        outcome
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Does what there is to do, until there has been nothing for a while.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.state.lock();
                continue;
            }
            if state.stopped {
                return;
            }
            state.idle += 1;
            let waited = self.changed.wait_for(&mut state, IDLE);
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Calls that may hang, of which a few run at once: one that takes long waits for a file system and not for a processor, and gives its
/// place to the next. How many threads they may hold is bounded, too.
#[derive(Debug)]
pub struct Calls {
    threads: Threads,
    places: Semaphore,
    counted: Duration,
    free: Arc<Semaphore>,
}

/// The called function did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was cut short by a fault of this program")]
pub struct CutShort;

impl Calls {
    /// Calls on `threads`, of which `at_once` run at a time, each counted for as long as `counted`, and which hold no more than `held`
    /// threads.
    #[must_use]
    pub fn new(threads: Threads, at_once: usize, counted: Duration, held: usize) -> Self {
        Self { threads, places: Semaphore::new(at_once), counted, free: Arc::new(Semaphore::new(held)) }
    }

    /// Waits for a place and for what comes of this. Where nobody waits any more, the work goes on.
    ///
    /// # Errors
    ///
    /// The work panicked.
    pub async fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, CutShort> {
        let place = self.places.acquire().await.map_err(|_| CutShort)?;
        let thread = Arc::clone(&self.free).acquire_owned().await.map_err(|_| CutShort)?;
        let mut outcome = self.threads.call(move || {
            let outcome = work();
            // Held until here, whoever waits.
            drop(thread);
            outcome
        });
        match tokio::time::timeout(self.counted, &mut outcome).await {
            Ok(outcome) => outcome,
            Err(_) => {
                drop(place);
                outcome.await
            }
        }
        .map_err(|_| CutShort)
    }

    /// How many more threads calls may hold.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::ThreadId;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn current() -> ThreadId {
        thread::current().id()
    }

    #[test]
    fn a_thread_takes_more_work_when_it_is_done_and_one_that_hangs_has_another_take_it() {
        let threads = Threads::named("test").with_stack(128 * 1024);
        let (sender, ids) = mpsc::channel();
        let work = |sender: &mpsc::Sender<_>| {
            let sender = sender.clone();
            move || sender.send(current()).unwrap()
        };
        threads.run(work(&sender)).unwrap();
        let first = ids.recv_timeout(SOON).unwrap();
        while threads.shared.state.lock().idle == 0 {
            thread::yield_now();
        }
        threads.run(work(&sender)).unwrap();
        assert_eq!(ids.recv_timeout(SOON).unwrap(), first);

        let (release, hung) = mpsc::channel::<()>();
        threads.run(move || _ = hung.recv()).unwrap();
        threads.run(work(&sender)).unwrap();
        assert!(ids.recv_timeout(SOON).is_ok());
        // A requested call is made even after the end.
        let late = threads.call(current);
        drop((threads, release));
        assert!(late.blocking_recv().is_ok());
    }

    #[tokio::test]
    async fn a_call_that_takes_long_gives_its_place_away_and_keeps_its_thread() {
        let calls = Calls::new(Threads::named("test"), 1, Duration::from_millis(1), 2);
        let (release, hung) = mpsc::channel::<()>();
        let mut long = Box::pin(calls.call(move || hung.recv().is_ok()));
        // The second call would wait for ever behind the first.
        tokio::select! {
            biased;
            _ = &mut long => panic!("it hangs"),
            outcome = calls.call(|| 7) => assert_eq!(outcome, Ok(7)),
            () = tokio::time::sleep(SOON) => panic!("it waits behind the one that hangs"),
        }
        assert_eq!(calls.free(), 1);
        release.send(()).unwrap();
        assert_eq!((long.await, calls.free()), (Ok(true), 2));
    }

    #[tokio::test]
    async fn a_call_that_panics_is_cut_short_and_holds_nothing() {
        let calls = Calls::new(Threads::named("test"), 1, SOON, 1);
        assert_eq!(calls.call(|| panic!("on purpose")).await, Err::<(), _>(CutShort));
        assert_eq!(calls.call(|| 7).await, Ok(7));
    }
}
