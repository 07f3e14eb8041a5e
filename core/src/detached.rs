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

/// How nice threads are that give way (nice(2)): a tenth of the weight of one that does not.
const NICENESS: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// Threads that may hang, as many as are asked for at once; the caller bounds that. When this is dropped, those without work end.
#[derive(Debug)]
pub struct Threads {
    name: &'static str,
    /// The size of a stack, in bytes; unset: that of the standard library.
    stack: Option<usize>,
    gives_way: bool,
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
    /// No thread could be had for what is queued.
    is_short: bool,
    stopped: bool,
}

impl Threads {
    /// No thread yet; each will have this name, of at most 15 bytes.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self { name, stack: None, gives_way: false, shared: Arc::default() }
    }

    /// The same, with stacks of this size in bytes.
    #[must_use]
    pub fn with_stack(mut self, bytes: usize) -> Self {
        self.stack = Some(bytes);
        self
    }

    /// The same, for work that nobody waits for: while other threads of this process, or of its control group, want the processor, each of
    /// these gets a tenth of what one of those does.
    #[must_use]
    pub fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }

    /// Has one of the threads do this.
    ///
    /// # Errors
    ///
    /// No further thread can be had. The work is done all the same, by the next thread that is done with its own or can be had: the caller is
    /// to [`catch up`](Self::catch_up) from time to time.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.queue.push_back(Box::new(work));
        if state.queue.len() <= state.idle {
            self.shared.changed.notify_one();
            return Ok(());
        }
        drop(state);
        self.start()
    }

    /// Whether work waits since no further thread could be had.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.shared.state.lock().is_short
    }

    /// Asks for a thread again, where none could be had.
    pub fn catch_up(&self) {
        if self.is_short() {
            let _ = self.start();
        }
    }

    fn start(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(self.name.to_owned());
        let thread = self.stack.into_iter().fold(thread, thread::Builder::stack_size);
        let gives_way = self.gives_way;
        let body = move || {
            if gives_way {
                // On Linux this is for the thread alone (setpriority(2)). Where the kernel refuses, it does not give way.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            }
            shared.work();
        };
        let started = thread.spawn(body).map(drop);
        let was_short = std::mem::replace(&mut self.shared.state.lock().is_short, started.is_err());
        started.inspect_err(|error| {
            if !was_short {
                tracing::error!(threads = self.name, %error, "no further thread can be had for what may hang");
            }
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

    #[test]
    fn work_that_no_thread_could_be_had_for_is_done_once_one_can() {
        let mut threads = Threads::named("test").with_stack(1 << 60);
        let (sender, ids) = mpsc::channel();
        assert!(threads.run(move || sender.send(current()).unwrap()).is_err());
        threads.catch_up();
        assert!(threads.is_short());
        threads.stack = None;
        threads.catch_up();
        assert!(ids.recv_timeout(SOON).is_ok() && !threads.is_short());
    }

    #[test]
    fn a_thread_that_gives_way_is_nice_and_its_process_is_not() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let threads = Threads::named("test").giving_way();
        assert_eq!(threads.call(niceness).blocking_recv().unwrap(), NICENESS.max(before));
        assert_eq!(niceness(), before);
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
