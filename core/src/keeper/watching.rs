//! The keeper's inotify instance, and who is not watched.

use std::collections::HashSet;
use std::io;

use rustix::io::Errno;

use super::numbers::SlotKey;
use super::system::System;
use super::{Observer, WatchProblem};
use crate::watch::{Event, Events, Inotify, Interest, Placed, Subject, Table};

/// The keeper's inotify instance, if it could have one, and who is not watched. The tick carries those.
pub(super) struct Watching {
    events: Option<Events>,
    table: Table<SlotKey>,
    unwatched: HashSet<SlotKey>,
    /// The observer was told that no further instance or watch can be had.
    exhaustion_told: bool,
}

/// The events that were heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Everyone may be concerned.
    pub(super) everyone: bool,
    /// These may be, by this.
    pub(super) concerned: Vec<(SlotKey, Interest)>,
}

impl Watching {
    pub(super) fn new() -> Self {
        Self { events: None, table: Table::new(), unwatched: HashSet::new(), exhaustion_told: false }
    }

    /// Opens an instance if there is none; true if it did, and everyone is to be watched by it.
    pub(super) fn open(&mut self, system: &dyn System, observer: &dyn Observer) -> bool {
        if self.events.is_some() {
            return false;
        }
        match system.inotify().and_then(Events::new) {
            Ok(events) => self.events = Some(events),
            Err(error) => self.tell(problem(&error), observer),
        }
        self.events.is_some()
    }

    pub(super) fn inotify(&self) -> Option<Inotify> {
        self.events.as_ref().map(|events| events.inotify().clone())
    }

    /// Waits for events; for ever, if there is no instance.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.events {
            Some(events) => events.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Takes the events that there are.
    pub(super) fn hear(&mut self, ready: io::Result<()>, observer: &dyn Observer) -> Heard {
        let mut heard = Heard::default();
        let Self { events: Some(events), table, .. } = self else { return heard };
        let inotify = events.inotify().clone();
        let directory = |watch| Interest { watch, subject: Subject::Directory };
        let drained = ready.and_then(|()| {
            events.drain(|event| {
                let interest = match event {
                    Event::Overflow => return heard.everyone = true,
                    Event::Ended(watch) => {
                        return heard.concerned.extend(table.ended(watch).map(|key| (key, directory(watch))));
                    }
                    Event::Directory(watch) => directory(watch),
                    Event::Name(watch, name) => inotify.name(watch, name),
                };
                heard.concerned.extend(table.heard(interest).map(|key| (key, interest)));
            })
        });
        if heard.everyone {
            observer.watch_problem(WatchProblem::Overflow);
        }
        if let Err(error) = drained {
            // The next tick opens another instance.
            tracing::warn!(%error, "inotify failed");
            observer.watch_problem(WatchProblem::Other);
            (self.events, self.table) = (None, Table::new());
        }
        heard
    }

    /// An identity has the watches that a job placed, in place of `held`. Tells whether it has to look again.
    pub(super) fn claim(
        &mut self,
        key: SlotKey,
        held: &mut Vec<Interest>,
        (inotify, placed): (Inotify, Placed),
        observer: &dyn Observer,
    ) -> bool {
        let Some(current) = self.inotify().filter(|current| current.is(&inotify)) else { return true };
        let again = self.table.claim(&current, key, held, &placed.interests);
        *held = placed.interests;
        match placed.problem {
            Some(problem) => {
                if self.unwatched.insert(key) || problem == WatchProblem::Exhausted {
                    self.tell(problem, observer);
                }
            }
            None => {
                self.unwatched.remove(&key);
                self.exhaustion_told &= !self.unwatched.is_empty();
            }
        }
        again
    }

    /// An identity is no longer kept.
    pub(super) fn release(&mut self, key: SlotKey, held: &[Interest]) {
        if let Some(inotify) = self.inotify() {
            self.table.claim(&inotify, key, held, &[]);
        }
        self.unwatched.remove(&key);
    }

    /// The watches that a job placed are for an identity that is no longer kept.
    pub(super) fn abandon(&self, (inotify, placed): (Inotify, Placed)) {
        placed.interests.into_iter().for_each(|interest| self.table.abandon(&inotify, interest.watch));
    }

    /// No job is under way that placed watches.
    pub(super) fn forget_early(&mut self) {
        self.table.forget_early();
    }

    /// The slots to be watched again, since something is not watched for them.
    pub(super) fn unwatched(&self) -> &HashSet<SlotKey> {
        &self.unwatched
    }

    /// Exhaustion is told once, until it is over.
    fn tell(&mut self, problem: WatchProblem, observer: &dyn Observer) {
        let exhausted = problem == WatchProblem::Exhausted;
        if !exhausted || !self.exhaustion_told {
            tracing::warn!(?problem, "not everything can be watched; the periodic tick carries on");
            observer.watch_problem(problem);
        }
        self.exhaustion_told |= exhausted;
    }
}

fn problem(error: &io::Error) -> WatchProblem {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM) => WatchProblem::Exhausted,
        _ => WatchProblem::Other,
    }
}
