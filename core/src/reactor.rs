//! A runtime of one thread, which does work that may hang itself, between its tasks. Where such work hangs, another thread takes over: of the
//! pattern Leader/Followers, with one follower.
//!
//! To hand work over to another thread and its outcome back costs two wake-ups of threads, which may take longer than the work. Here the
//! thread that polls the tasks does it, the leader, and another one sleeps, its deputy. Work that takes long wakes the deputy, which
//! leads from then on. So work that hangs keeps its thread and nothing else, as with [`Threads`](crate::detached::Threads).
//!
//! ```text
//! leader ─ polls tasks → does the work that one asked for → polls tasks ─ …
//! deputy ─ sleeps ───── the work has taken 5 ms ──→ polls tasks ─ …     the leader of before ends with its work
//! ```

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{self, error::TrySendError};

/// How long work may keep the tasks waiting. Ten times what one identity's files take on a disk that answers, and less than anybody notices
/// who waits for another identity.
const PATIENCE: Duration = Duration::from_millis(5);

/// How often a deputy is asked for where none can be had.
const RETRY: Duration = Duration::from_secs(1);

/// How much work may wait for the thread: anything behind it would wait for that as well.
const WAITING: usize = 1;

type Work = Box<dyn FnOnce() + Send>;

/// A runtime whose thread does what may hang, until it does. A cheap clone; its threads end with the last one, and its tasks with them.
#[derive(Debug, Clone)]
pub struct Reactor {
    handle: Handle,
    work: mpsc::Sender<Work>,
}

/// What whoever leads has, and nobody else: work that hangs keeps none of it.
struct Lead {
    runtime: Runtime,
    work: mpsc::Receiver<Work>,
}

/// What leader and deputy share.
struct Shared {
    name: &'static str,
    turn: Mutex<Turn>,
    /// Wakes the deputy.
    alarm: OwnedFd,
}

/// Whose turn it is to poll the tasks.
enum Turn {
    Taken,
    /// Of the leader once its work is done, or of the deputy, whichever comes first.
    Free(Lead),
    /// The last clone of the [`Reactor`] is gone.
    Over,
}

impl Reactor {
    /// Starts one; its threads have this name, of at most 15 bytes.
    ///
    /// # Errors
    ///
    /// The process can have no further thread or descriptor.
    pub fn start(name: &'static str) -> io::Result<Self> {
        let alarm = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (sender, work) = mpsc::channel(WAITING);
        let handle = runtime.handle().clone();
        let shared = Arc::new(Shared { name, turn: Mutex::new(Turn::Free(Lead { runtime, work })), alarm });
        let led = shared.thread(|shared| shared.take_turn().into_iter().for_each(|lead| shared.lead(lead)));
        if led.is_err()
            && let Some(lead) = shared.take_turn()
        {
            // The caller may be a task, which must not wait for the end of a runtime.
            lead.runtime.shutdown_background();
        }
        led.map(|()| Self { handle, work: sender })
    }

    /// Its runtime. What would block is no task's to do there, not even by `block_in_place`, which a runtime of one thread does not have.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Has the thread that polls the tasks do this next.
    ///
    /// # Errors
    ///
    /// Other work waits for it already; this is given back.
    pub fn run<W: FnOnce() + Send + 'static>(&self, work: W) -> Result<(), W> {
        match self.work.try_reserve() {
            Ok(place) => {
                place.send(Box::new(work));
                Ok(())
            }
            Err(TrySendError::Full(()) | TrySendError::Closed(())) => Err(work),
        }
    }
}

impl Shared {
    fn thread(self: &Arc<Self>, run: impl FnOnce(Arc<Self>) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new().name(self.name.to_owned()).spawn(move || run(shared)).map(drop)
    }

    /// Polls the tasks and does what they ask for, until a deputy has its turn.
    fn lead(self: &Arc<Self>, mut lead: Lead) {
        let mut has_deputy = self.deputize();
        while let Some(next) = lead.runtime.block_on(lead.work.recv()) {
            while !has_deputy {
                has_deputy = self.deputize();
                if !has_deputy {
                    // Not without a deputy: the work may hang. The tasks go on meanwhile.
                    lead.runtime.block_on(async { tokio::time::sleep(RETRY).await });
                }
            }
            *self.turn.lock() = Turn::Free(lead);
            self.set_alarm(PATIENCE);
            // Should it panic, this thread ends, and the deputy leads.
            next();
            let Some(own) = self.take_turn() else { return };
            self.set_alarm(Duration::ZERO);
            lead = own;
        }
        *self.turn.lock() = Turn::Over;
        self.set_alarm(Duration::from_nanos(1));
    }

    fn deputize(self: &Arc<Self>) -> bool {
        let started = self.thread(|shared| shared.stand_by());
        started
            .inspect_err(
                |error| tracing::error!(threads = self.name, %error, "no further thread can be had for what may hang"),
            )
            .is_ok()
    }

    /// Sleeps until it is to lead.
    fn stand_by(self: Arc<Self>) {
        loop {
            // It is interrupted at most.
            let _ = rustix::io::read(&self.alarm, &mut [0; 8]);
            if let Some(lead) = self.take_turn() {
                return self.lead(lead);
            }
            if matches!(*self.turn.lock(), Turn::Over) {
                return;
            }
        }
    }

    fn take_turn(&self) -> Option<Lead> {
        let mut turn = self.turn.lock();
        match std::mem::replace(&mut *turn, Turn::Taken) {
            Turn::Free(lead) => Some(lead),
            before => {
                *turn = before;
                None
            }
        }
    }

    /// Wakes the deputy after this time; not at all, if there is none.
    fn set_alarm(&self, after: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Timespec::try_from(after).unwrap_or(zero);
        // It cannot fail with times such as these.
        let _ =
            timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value: at });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::ThreadId;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Does this work in the reactor, and gives what came of it.
    fn run<T: Send + 'static>(reactor: &Reactor, work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (sender, outcome) = channel();
        let work = reactor.run(move || _ = sender.send(work()));
        assert!(work.is_ok(), "the reactor has a place");
        outcome
    }

    fn polls(reactor: &Reactor) -> ThreadId {
        let (sender, polled) = channel();
        reactor.handle().spawn(async move { sender.send(thread::current().id()) });
        polled.recv_timeout(SOON).unwrap()
    }

    #[test]
    fn work_is_done_by_the_thread_that_polls_the_tasks() {
        let reactor = Reactor::start("test").unwrap();
        let is_done_by_the_leader = |_: &i32| {
            let leader = polls(&reactor);
            run(&reactor, || thread::current().id()).recv_timeout(SOON).unwrap() == leader
        };
        // On a machine that is busy a deputy may take over in between.
        assert!((0..100).filter(is_done_by_the_leader).count() > 50);
    }

    #[test]
    fn work_that_hangs_keeps_its_thread_and_nothing_else() {
        let reactor = Reactor::start("test").unwrap();
        let mut hung = Vec::new();
        for _ in 0..3 {
            let (release, released) = channel::<()>();
            let (begin, began) = channel();
            let hangs = run(&reactor, move || {
                begin.send(thread::current().id()).unwrap();
                released.recv()
            });
            let thread = began.recv_timeout(SOON).unwrap();
            assert_ne!(polls(&reactor), thread);
            assert_ne!(run(&reactor, || thread::current().id()).recv_timeout(SOON).unwrap(), thread);
            hung.push((hangs, release));
        }
        for (hangs, release) in hung {
            drop(release);
            assert!(hangs.recv_timeout(SOON).is_ok());
        }
        polls(&reactor);
    }

    #[test]
    fn work_that_panics_ends_no_task() {
        let reactor = Reactor::start("test").unwrap();
        assert!(run(&reactor, || -> () { panic!("on purpose") }).recv_timeout(SOON).is_err());
        polls(&reactor);
    }

    #[test]
    fn more_work_than_may_wait_is_given_back() {
        let reactor = Reactor::start("test").unwrap();
        let refused = (0..1000).map(|_| reactor.run(|| thread::sleep(PATIENCE / 10))).filter(Result::is_err).count();
        assert!(refused > 0);
    }

    #[test]
    fn its_tasks_end_with_it_although_work_of_it_hangs() {
        let reactor = Reactor::start("test").unwrap();
        let (release, released) = channel::<()>();
        let hangs = run(&reactor, move || released.recv());
        let (held, dropped) = channel::<()>();
        reactor.handle().spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(reactor);
        assert_eq!(dropped.recv_timeout(SOON), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
        drop(release);
        assert!(hangs.recv_timeout(SOON).is_ok());
    }
}
