//! The threads that may block.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a thread waits for more before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Something to do that may block.
type Work = Box<dyn FnOnce() + Send>;

/// Threads that may block, as many as are asked for at once; the caller bounds that.
///
/// Not tokio's: a runtime waits at its end for what blocks on its threads, and a dead mount would keep the process alive. These
/// are left behind.
#[derive(Default)]
pub(super) struct Workers(Arc<Shared>);

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

impl Workers {
    /// Has one of the threads do this.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state();
        state.queue.push_back(Box::new(work));
        if state.queue.len() <= state.idle {
            return self.0.changed.notify_one();
        }
        drop(state);
        let shared = Arc::clone(&self.0);
        if let Err(error) = thread::Builder::new().name("evercert-keeper".to_owned()).spawn(move || shared.work()) {
            // The next thread that is done with its work takes it.
            tracing::error!(%error, "no further thread can be had");
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.state().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does: work, until there has been none for a while.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.state();
                continue;
            }
            if state.stopped {
                return;
            }
            state.idle += 1;
            let (guard, waited) = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                return;
            }
        }
    }
}
