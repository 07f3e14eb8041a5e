//! The part of the work that blocks: a look at one identity's files, and its lifecycle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::ending::{self, End, Ended};
use super::numbers::{JobNumber, SlotKey};
use super::pace::Pace;
use super::system::System;
use crate::clock::Now;
use crate::lifecycle::{Event, Lifecycle, Step};
use crate::material::{Interner, Material};
use crate::mount::{Reading, Stamp};
use crate::overlap::store::OverlapStore;
use crate::spec::IdentitySpec;
use crate::state_file::StateError;
use crate::watch::{Inotify, Placed};

/// One piece of work for one identity.
pub(super) struct Job {
    pub(super) key: SlotKey,
    pub(super) number: JobNumber,
    pub(super) spec: Arc<IdentitySpec>,
    pub(super) lifecycle: Handoff,
    /// The files are to be looked at.
    pub(super) look: Option<Look>,
    /// The instant that time was waited for has come, or the clock was set.
    pub(super) time_passed: bool,
    /// Anchors that are to be retained no longer. A job with any has no look: a mount that does not answer would keep it.
    pub(super) ends: Vec<End>,
    /// When the first hint came that this job answers.
    pub(super) since: Instant,
}

/// The state that all jobs share.
#[derive(Default)]
pub(super) struct Shared {
    /// Where it is remembered what is retained.
    pub(super) store: Option<OverlapStore>,
    pub(super) interner: Interner,
}

/// A look at an identity's files.
pub(super) struct Look {
    /// Where its watches are placed.
    pub(super) inotify: Option<Inotify>,
    /// Their stamp when they were last read: with the same one they are not read again.
    pub(super) known: Option<Stamp>,
    /// Their stamp when they were found to be changing, and since when.
    pub(super) restless: Option<Restless>,
    /// The reading is taken as it is, even if it looks half-written.
    pub(super) final_try: bool,
}

/// Files that are not at rest.
#[derive(Debug, Clone)]
pub(super) struct Restless {
    pub(super) stamp: Stamp,
    /// Since when they have this stamp.
    pub(super) unchanged_since: Instant,
    /// Since when they have not been at rest.
    pub(super) began: Instant,
    /// It was told that they have not come to rest.
    pub(super) told: bool,
}

/// The outcome of a job.
pub(super) struct Done {
    pub(super) key: SlotKey,
    pub(super) number: JobNumber,
    pub(super) spec: Arc<IdentitySpec>,
    /// The lifecycle; absent if the keeper took it back.
    pub(super) lifecycle: Option<Lifecycle>,
    /// The lifecycle's answer, if it was asked.
    pub(super) step: Option<Step>,
    /// The result of the look at the files, if there was one.
    pub(super) looked: Option<LookResult>,
    /// The watches, and the instance they are of.
    pub(super) placed: Option<(Inotify, Placed)>,
    /// The outcome for the anchors that were to be retained no longer; none, if the keeper took the lifecycle back.
    pub(super) ended: Vec<(End, Option<Ended>)>,
    /// Why what is retained could not be written down, or read.
    pub(super) state_error: Option<StateError>,
    pub(super) since: Instant,
}

/// The result of a look at the files.
pub(super) enum LookResult {
    /// They are as they were when they were last read.
    Unchanged,
    /// They were read; the stamp is absent if they are to be read again whatever they look like.
    Read(Option<Stamp>),
    /// They are changing: to be looked at again after a pause.
    Restless(Restless, Duration),
}

/// Where a job takes its identity's lifecycle from once the disk has answered, and the keeper takes it back if it does not.
/// The first that comes has it; nobody waits.
#[derive(Clone, Default)]
pub(super) struct Handoff(Arc<Mutex<Option<Lifecycle>>>);

impl Handoff {
    pub(super) fn put(&self, lifecycle: Lifecycle) {
        *self.0.lock() = Some(lifecycle);
    }

    pub(super) fn take(&self) -> Option<Lifecycle> {
        self.0.lock().take()
    }

    /// Changes it where it is, if nobody has taken it yet. Must not block.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Lifecycle) -> T) -> Option<T> {
        self.0.lock().as_mut().map(change)
    }
}

impl Job {
    /// Does the work. Blocks for as long as the file system takes to answer.
    pub(super) fn run(self, system: &dyn System, pace: &Pace, shared: &Shared) -> Done {
        let store = shared.store.as_ref();
        let Self { key, number, spec, lifecycle, look, time_passed, ends, since } = self;
        let inotify = look.as_ref().and_then(|look| look.inotify.clone());
        let placed = inotify.map(|inotify| {
            let placed = system.place(&inotify, &spec.files);
            (inotify, placed)
        });
        let (looked, reading) = look.map(|look| look.at(&spec, system, pace)).unzip();
        let event = match reading.flatten() {
            Some((reading, final_try)) => {
                let mut material = Material::parse(&spec, reading);
                material.intern(&shared.interner);
                Some(Event::Read { material, final_try })
            }
            None => time_passed.then_some(Event::TimePassed),
        };
        // Not before the disk has answered: while it does not, the keeper may take the lifecycle back.
        let mut lifecycle = lifecycle.take();
        let mut state_error = None;
        let mut ended: Vec<_> = ends.into_iter().map(|end| (end, None)).collect();
        let step = lifecycle.as_mut().and_then(|lifecycle| {
            let unread = store.filter(|_| !lifecycle.has_recalled()).and_then(|store| match store.load(&spec) {
                Ok(overlap) => {
                    lifecycle.recall(overlap);
                    None
                }
                Err(error) => Some(error),
            });
            let mut step = event.map(|event| lifecycle.handle(event, system.now()));
            for (end, ended) in &mut ended {
                let (outcome, next) = ending::end(lifecycle, end.anchor, &spec, store, system.now());
                *ended = Some(outcome);
                step = next.map(|next| step.map_or(next, |step| step.then(next))).or(step);
            }
            // Before the generation is shown: a crash in between must not leave an overlap that nobody remembers.
            if let Some(step) = &mut step {
                let saved = match (unread, step.remember) {
                    (_, true) => store.map_or(Ok(()), |store| store.save(&spec, lifecycle.overlap())),
                    (None, false) => Ok(()),
                    (Some(error), false) => Err(error),
                };
                step.changed |= remember(lifecycle, &spec, &saved);
                state_error = saved.err();
            }
            step
        });
        Done { key, number, spec, lifecycle, step, looked, placed, ended, state_error, since }
    }
}

/// Notes whether what is retained could be remembered. Where that failed it is retained all the same, for as long as the process
/// lives, and tried again with the next event, at the next tick at the latest. True if there is another state to show for it.
fn remember(lifecycle: &mut Lifecycle, spec: &IdentitySpec, saved: &Result<(), StateError>) -> bool {
    let Err(error) = saved else { return lifecycle.remembered() };
    let changed = lifecycle.not_remembered(error);
    if changed {
        tracing::error!(identity = %spec.id, %error, "a restart will not know which anchors are retained");
    }
    changed
}

impl Look {
    /// Looks, and reads what is worth reading; with it, whether it is to be taken as it is.
    fn at(self, spec: &IdentitySpec, system: &dyn System, pace: &Pace) -> (LookResult, Option<(Reading, bool)>) {
        let visit = system.visit(&spec.files);
        let stamp = visit.stamp().clone();
        if self.known.as_ref() == Some(&stamp) {
            return (LookResult::Unchanged, None);
        }
        let read = match self.unrest(&stamp, system.now(), pace) {
            Some(unrest) => Err(unrest),
            None => {
                let reading = system.read(visit);
                self.unrest(&reading.stamp, system.now(), pace).map_or(Ok(reading), Err)
            }
        };
        let (mut restless, pause) = match read {
            Ok(reading) => {
                let stamp = (!reading.is_partial()).then(|| reading.stamp.clone());
                return (LookResult::Read(stamp), Some((reading, self.final_try)));
            }
            Err(unrest) => unrest,
        };
        let tell = !restless.told && restless.unchanged_since.saturating_duration_since(restless.began) > pace.restless;
        restless.told |= tell;
        let torn = tell.then(|| (Reading::torn(&spec.files, restless.stamp.clone()), true));
        (LookResult::Restless(restless, pause), torn)
    }

    /// None if files with this stamp are at rest; else since when they are not, and how long they should be left alone.
    fn unrest(&self, stamp: &Stamp, now: Now, pace: &Pace) -> Option<(Restless, Duration)> {
        let before = self.restless.as_ref();
        let was = self.known.as_ref().or(before.map(|before| &before.stamp));
        let age = now.wall.duration_since(stamp.last_change(was)?).unwrap_or_default();
        let unchanged_since =
            before.filter(|before| before.stamp == *stamp).map_or(now.monotonic, |before| before.unchanged_since);
        let rested = age.max(now.monotonic.saturating_duration_since(unchanged_since));
        let pause = pace.rest.checked_sub(rested).filter(|pause| !pause.is_zero())?;
        let restless = Restless {
            stamp: stamp.clone(),
            unchanged_since,
            began: before.map_or(now.monotonic, |before| before.began),
            told: before.is_some_and(|before| before.told),
        };
        Some((restless, pause))
    }
}
