//! The keeper's one task.

mod conclude;
mod key_requests;
mod overlap;
mod tick;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::ending::{Ended, Endings, Request};
use super::job::{Done, Shared};
use super::jobs::{Jobs, Ready};
use super::key_requests::{KeyRequests, KeyRetention};
use super::mounting::Mounting;
use super::numbers::SlotKey;
use super::pace::Pace;
use super::slot::Slot;
use super::sweep::{Sweep, SweepWork};
use super::system::System;
use super::timers::Timers;
use super::watching::{Heard, Watching};
use super::{DesiredState, KeeperSettings, Observer};
use crate::clock::Now;
use crate::detached::Threads;
use crate::identity::IdentityId;
use crate::material::Interner;
use crate::overlap::store::OverlapStore;
use crate::reactor::Reactor;
use crate::spec::IdentitySpec;

/// How many reports of jobs may wait for the task. Threads that have one more wait with it.
const REPORTS: usize = 256;

/// How often a thread is asked for where none can be had.
const RETRY: Duration = Duration::from_secs(1);

/// The report of a thread.
enum ThreadReport {
    Job(Box<Done>),
    /// A sweep found files that do not look as they did.
    Changed(SlotKey),
    /// A thread of a sweep has nothing left to go through of what it was given.
    Swept(Arc<SweepWork>),
}

/// What the keeper's handle asks of the task.
pub(super) struct Orders {
    pub(super) wanted: watch::Receiver<DesiredState>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) key_requests: Arc<KeyRequests>,
}

/// The keeper's one task: it owns every slot.
pub(super) struct Task {
    system: Arc<dyn System>,
    pace: Arc<Pace>,
    tick: Duration,
    observer: Arc<dyn Observer>,
    wanted: watch::Receiver<DesiredState>,
    requests: mpsc::Receiver<Request>,
    endings: Endings,
    retention: KeyRetention,
    key_requests: Arc<KeyRequests>,
    shared: Arc<Shared>,
    rescans: u64,
    reports: (mpsc::Sender<ThreadReport>, mpsc::Receiver<ThreadReport>),
    /// Boxed, since a table has room for more than it holds.
    slots: HashMap<SlotKey, Box<Slot>>,
    keys: HashMap<IdentityId, SlotKey>,
    last_key: u64,
    ready: Ready,
    jobs: Jobs,
    threads: Threads,
    sweepers: Threads,
    /// Does a job that is alone; absent where this runs in another runtime.
    reactor: Option<Reactor>,
    timers: Timers,
    watching: Watching,
    mounting: Mounting,
    sweep: Option<Sweep>,
    next_tick: Instant,
    next_state_sweep: Instant,
    /// Both clocks when they were last held against each other.
    clock: Now,
}

impl Task {
    pub(super) fn new(
        system: Arc<dyn System>,
        pace: Pace,
        settings: KeeperSettings,
        observer: Arc<dyn Observer>,
        Orders { wanted, requests, key_requests }: Orders,
        reactor: Option<Reactor>,
    ) -> Self {
        let clock = system.now();
        Self {
            system,
            pace: Arc::new(pace),
            tick: settings.tick,
            observer,
            wanted,
            requests,
            endings: Endings::default(),
            retention: settings.keys,
            key_requests,
            shared: Arc::new(Shared {
                store: settings.state_directory.map(OverlapStore::new),
                interner: Interner::default(),
            }),
            rescans: 0,
            reports: mpsc::channel(REPORTS),
            slots: HashMap::new(),
            keys: HashMap::new(),
            last_key: 0,
            ready: Ready::default(),
            jobs: Jobs::default(),
            threads: Threads::named("evercert-keeper"),
            sweepers: Threads::named("evercert-sweep").giving_way(),
            reactor,
            timers: Timers::default(),
            watching: Watching::new(),
            mounting: Mounting::new(clock.monotonic),
            sweep: None,
            next_tick: clock.monotonic + settings.tick,
            next_state_sweep: clock.monotonic,
            clock,
        }
    }

    /// Runs until the handle is dropped.
    pub(super) async fn run(mut self) {
        self.watching.open(&*self.system, &*self.observer);
        self.mounting.open(&*self.system);
        self.sweep_store(self.system.now());
        let key_requests = Arc::clone(&self.key_requests);
        loop {
            self.dispatch();
            // Tasks that were woken by what was just shown run before further events are heard.
            tokio::task::yield_now().await;
            let pause = self.pause();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.apply(),
                    Err(_) => return,
                },
                Some(request) = self.requests.recv() => self.end_overlap(request),
                () = key_requests.heard() => self.hear_key_requests(),
                ready = self.watching.readable() => self.hear(ready),
                () = self.mounting.heard() => self.mounting.note(),
                Some(report) = self.reports.1.recv() => self.receive(report),
                () = tokio::time::sleep(pause) => {}
            }
            self.pass_time();
        }
    }

    /// Starts jobs for those who wait, as many as may run.
    fn dispatch(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let now = self.system.now().monotonic;
        while self.jobs.may_start() {
            let Some(key) = self.ready.pop() else { return };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.queued = false;
            if !slot.wants_job() {
                continue;
            }
            let is_alone = self.ready.is_empty() && self.jobs.is_idle();
            let number = self.jobs.start(key, now);
            let Some(job) = slot.begin(key, number, now, self.watching.inotify(), &self.pace) else {
                self.jobs.finish(number);
                continue;
            };
            let (system, pace, reports) = (Arc::clone(&self.system), Arc::clone(&self.pace), self.reports.0.clone());
            let shared = Arc::clone(&self.shared);
            let work = move || {
                // It fails when the keeper is gone, and nobody wants to know.
                let _ = reports.blocking_send(ThreadReport::Job(Box::new(job.run(&*system, &pace, &shared))));
            };
            let work = match self.reactor.as_ref().filter(|_| is_alone) {
                Some(reactor) => reactor.run(work).err(),
                None => Some(work),
            };
            if let Some(work) = work {
                let _ = self.threads.run(work);
            }
        }
    }

    /// How long nothing is due.
    fn pause(&self) -> Duration {
        let now = self.system.now();
        let deadlines = [
            self.may_tick().then_some(self.next_tick),
            self.jobs.next_deadline(&self.pace),
            match &self.sweep {
                Some(sweep) => Some(sweep.next_check(&self.pace)),
                None => self.mounting.next(),
            },
            (self.threads.is_short() || self.sweepers.is_short()).then_some(now.monotonic + RETRY),
        ];
        let deadlines = deadlines.into_iter().flatten().map(|at| at.saturating_duration_since(now.monotonic));
        deadlines.chain(self.timers.next(now)).min().unwrap_or_default()
    }

    /// Brings the slots in line with what is wanted.
    fn apply(&mut self) {
        let now = self.system.now().monotonic;
        let DesiredState { specs, rescans } = self.wanted.borrow_and_update().clone();
        let mut kept = HashSet::with_capacity(specs.len());
        let mut touched = Vec::new();
        for spec in specs.iter() {
            if !kept.insert(&spec.id) {
                continue;
            }
            let slot = match self.keys.get(&spec.id) {
                Some(key) => self.slots.get_mut(key).map(|slot| (*key, slot)),
                None => None,
            };
            match slot {
                Some((_, slot)) if slot.spec == *spec => {}
                Some((key, slot)) => {
                    self.timers.again(key, &mut slot.again_at, None);
                    slot.respec(Arc::clone(spec), now);
                    touched.push(key);
                }
                None => touched.push(self.add(spec, now)),
            }
        }
        let dropped: Vec<_> = self.keys.keys().filter(|id| !kept.contains(id)).cloned().collect();
        dropped.iter().for_each(|id| self.drop_slot(id));
        if std::mem::replace(&mut self.rescans, rescans) != rescans {
            self.slots.values_mut().for_each(|slot| slot.reread(now));
            touched = self.slots.keys().copied().collect();
        }
        touched.into_iter().for_each(|key| self.queue(key));
    }

    fn add(&mut self, spec: &Arc<IdentitySpec>, now: Instant) -> SlotKey {
        self.last_key += 1;
        let key = SlotKey(self.last_key);
        let mut slot = Slot::new(Arc::clone(spec), self.retention);
        slot.reread(now);
        self.keys.insert(spec.id.clone(), key);
        self.slots.insert(key, Box::new(slot));
        key
    }

    fn drop_slot(&mut self, id: &IdentityId) {
        let Some((key, mut slot)) = self.keys.remove(id).and_then(|key| Some((key, self.slots.remove(&key)?))) else {
            return;
        };
        self.timers.again(key, &mut slot.again_at, None);
        self.timers.wake(key, &mut slot.wake_at, None);
        self.watching.release(key, &slot.interests);
        slot.take_ends().into_iter().for_each(|end| self.endings.note(end, id, Ended::NotRetained(None)));
        self.observer.removed(id);
    }

    fn queue(&mut self, key: SlotKey) {
        if let Some(slot) = self.slots.get_mut(&key)
            && slot.wants_job()
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push(key, slot.is_awaited());
        }
    }

    fn hint(&mut self, key: SlotKey, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.hint(now);
        }
        self.queue(key);
    }

    fn hint_everyone(&mut self, now: Instant) {
        let keys: Vec<_> = self.slots.keys().copied().collect();
        keys.into_iter().for_each(|key| self.hint(key, now));
    }

    fn hear(&mut self, ready: std::io::Result<()>) {
        let now = self.system.now().monotonic;
        let Heard { everyone, concerned } = self.watching.hear(ready, &*self.observer);
        if self.jobs.is_idle() {
            self.watching.forget_early();
        }
        for (key, interest) in concerned {
            if !self.slots.get_mut(&key).is_some_and(|slot| slot.defer(interest, now)) {
                self.hint(key, now);
            }
        }
        if everyone {
            self.hint_everyone(now);
        }
    }

    fn receive(&mut self, report: ThreadReport) {
        match report {
            ThreadReport::Job(done) => self.finish(*done),
            ThreadReport::Changed(key) => self.hint(key, self.system.now().monotonic),
            ThreadReport::Swept(work) => {
                if self.sweep.as_ref().is_some_and(|sweep| sweep.is_of(&work)) {
                    self.go_on_with_sweep();
                }
            }
        }
    }
}
