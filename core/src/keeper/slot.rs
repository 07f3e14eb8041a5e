//! The keeper's state of one identity.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::IdentityState;
use super::ending::{self, End};
use super::job::{Handoff, Job, Look, Restless};
use super::key_requests::KeyRetention;
use super::numbers::{JobNumber, SlotKey};
use super::pace::Pace;
use crate::finding::{Check, Finding, Severity};
use crate::lifecycle::Lifecycle;
use crate::mount::{self, Stamp};
use crate::spec::IdentitySpec;
use crate::watch::{Inotify, Interest};

/// The keeper's state of one identity.
pub(super) struct Slot {
    pub(super) spec: Arc<IdentitySpec>,
    lifecycle: Whereabouts,
    /// The stamp of the files when they were last read.
    pub(super) stamp: Option<Stamp>,
    /// The files are not at rest.
    pub(super) restless: Option<Restless>,
    /// How often the files were read again because they looked half-written.
    pub(super) tries: usize,
    /// When they are looked at again, because of either.
    pub(super) again_at: Option<Instant>,
    /// When time alone will change the outcome.
    pub(super) wake_at: Option<SystemTime>,
    /// The events that are heard for it.
    pub(super) interests: Vec<Interest>,
    /// A job looks at its files.
    looking: bool,
    /// The events that were heard meanwhile, and the time of the first.
    deferred: Option<(Instant, BTreeSet<Interest>)>,
    /// The job whose mount does not answer.
    pub(super) unresponsive: Option<JobNumber>,
    pub(super) shown: Shown,
    /// It waits for its turn.
    pub(super) queued: bool,
    wants: Wants,
    retention: KeyRetention,
    /// Whether keys stay in memory.
    keeps_keys: bool,
    /// A change of `keeps_keys` altered what is to be shown, while a job borrowed the lifecycle.
    unshown: bool,
}

/// The state an observer was shown last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing yet.
    Nothing,
    /// The lifecycle's state.
    State,
    /// The same, and that the mount does not answer.
    Unresponsive,
}

/// Where the lifecycle is.
enum Whereabouts {
    Here(Box<Lifecycle>),
    /// A job that began with this spec borrows it.
    Lent(JobNumber, Handoff, Arc<IdentitySpec>),
}

/// The work to be done.
#[derive(Debug, Default)]
struct Wants {
    /// Look at the files.
    look: bool,
    /// Read them even if they look as they did.
    read: bool,
    /// Tell the lifecycle that time has passed.
    time: bool,
    /// Let go of retained anchors.
    ends: Vec<End>,
    /// When the first hint came that is not answered yet.
    since: Option<Instant>,
}

impl Slot {
    /// An identity whose files were never read.
    pub(super) fn new(spec: Arc<IdentitySpec>, retention: KeyRetention) -> Self {
        let mut lifecycle = Lifecycle::new(Arc::clone(&spec));
        let keeps_keys = retention == KeyRetention::Always;
        // It has no state yet that could change.
        let _ = lifecycle.keep_keys(keeps_keys);
        Self {
            lifecycle: Whereabouts::Here(Box::new(lifecycle)),
            spec,
            stamp: None,
            restless: None,
            tries: 0,
            again_at: None,
            wake_at: None,
            interests: Vec::new(),
            looking: false,
            deferred: None,
            unresponsive: None,
            shown: Shown::Nothing,
            queued: false,
            wants: Wants::default(),
            retention,
            keeps_keys,
            unshown: false,
        }
    }

    /// Its files may have changed.
    pub(super) fn hint(&mut self, now: Instant) {
        self.wants.since.get_or_insert(now);
        // Files that keep changing are looked at when their pause is over, however many hints come.
        self.wants.look |= self.restless.is_none() || self.again_at.is_none();
    }

    /// Something was heard. If a job looks just now, it may know better whether that is still on the way to the files: after a
    /// kubelet's swap its former directory is emptied.
    pub(super) fn defer(&mut self, interest: Interest, now: Instant) -> bool {
        if self.looking {
            self.deferred.get_or_insert_with(|| (now, BTreeSet::new())).1.insert(interest);
        }
        self.looking
    }

    /// A job has looked, and this is on the way to the files; absent: it is not known. An event on the way that was heard meanwhile is a
    /// hint: since when there is one.
    pub(super) fn looked(&mut self, interests: Option<&[Interest]>) -> Option<Instant> {
        self.looking = false;
        let (since, heard) = self.deferred.take()?;
        let is_on_the_way = interests.is_none_or(|interests| interests.iter().any(|interest| heard.contains(interest)));
        is_on_the_way.then_some(since)
    }

    /// Its files are to be read, whatever they look like.
    pub(super) fn reread(&mut self, since: Instant) {
        self.wants.since.get_or_insert(since);
        self.wants.look = true;
        self.wants.read = true;
    }

    /// The pause is over that was made before the files are looked at again.
    pub(super) fn pause_over(&mut self, now: Instant) {
        self.again_at = None;
        let reread = self.restless.is_none();
        self.hint(now);
        self.wants.read |= reread;
    }

    /// How much is left of the pause until its files are looked at again.
    pub(super) fn remaining_pause(&self, now: Instant) -> Option<Duration> {
        self.again_at.map(|at| at.saturating_duration_since(now))
    }

    /// The job that answered a hint that came at `since` did not answer it for good.
    pub(super) fn still_due(&mut self, since: Instant) {
        self.wants.since = Some(self.wants.since.map_or(since, |other| other.min(since)));
    }

    /// Whether what it retains has to be written down, or read, once more.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(&self.lifecycle, Whereabouts::Here(lifecycle) if lifecycle.is_unwritten())
    }

    /// Time has passed, or the clock was set.
    pub(super) fn time_passed(&mut self, now: Instant) {
        self.wants.since.get_or_insert(now);
        self.wants.time = true;
    }

    /// Its key is wanted, or no longer. True if there is another state to show.
    pub(super) fn want_keys(&mut self, wanted: bool, now: Instant) -> bool {
        if self.retention != KeyRetention::OnDemand || self.keeps_keys == wanted {
            return false;
        }
        self.keeps_keys = wanted;
        if wanted {
            self.reread(now);
        }
        self.apply_keys()
    }

    /// Tells the lifecycle whether keys stay in memory. Where a job has it just now, that waits until it is given back.
    fn apply_keys(&mut self) -> bool {
        let keeps_keys = self.keeps_keys;
        match &mut self.lifecycle {
            Whereabouts::Here(lifecycle) => lifecycle.keep_keys(keeps_keys),
            Whereabouts::Lent(_, handoff, _) => {
                self.unshown |= handoff.change(|lifecycle| lifecycle.keep_keys(keeps_keys)).unwrap_or(false);
                false
            }
        }
    }

    /// A retained anchor is to be let go of. Says where it is on disk instead, if that is all there is to it.
    pub(super) fn end_overlap(&mut self, end: End) -> Result<(), Option<PathBuf>> {
        if let Whereabouts::Here(lifecycle) = &self.lifecycle
            && self.shown != Shown::Nothing
            && !lifecycle.overlap().holds(end.anchor)
        {
            return Err(ending::on_disk(lifecycle.state(), end.anchor));
        }
        self.want_end(end);
        Ok(())
    }

    /// The same, whatever is retained.
    pub(super) fn want_end(&mut self, end: End) {
        self.wants.ends.push(end);
    }

    /// The retained anchors that nobody has let go of yet.
    pub(super) fn take_ends(&mut self) -> Vec<End> {
        std::mem::take(&mut self.wants.ends)
    }

    /// Whether there is something to do that can be done now.
    pub(super) fn wants_job(&self) -> bool {
        let look = self.wants.look && self.unresponsive.is_none();
        matches!(self.lifecycle, Whereabouts::Here(_)) && (look || self.wants.time || !self.wants.ends.is_empty())
    }

    /// Whether a subscriber wants its key; where keys are kept anyway nobody says so.
    pub(super) fn is_awaited(&self) -> bool {
        self.retention == KeyRetention::OnDemand && self.keeps_keys
    }

    /// Whether nothing is to be done and no job is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        let here = matches!(self.lifecycle, Whereabouts::Here(_));
        here && !self.wants.look && self.unresponsive.is_none() && self.again_at.is_none()
    }

    /// Starts the job it wants.
    pub(super) fn begin(
        &mut self,
        key: SlotKey,
        number: JobNumber,
        now: Instant,
        inotify: Option<Inotify>,
        pace: &Pace,
    ) -> Option<Job> {
        if !matches!(self.lifecycle, Whereabouts::Here(_)) {
            return None;
        }
        let handoff = Handoff::default();
        let lent = Whereabouts::Lent(number, handoff.clone(), Arc::clone(&self.spec));
        if let Whereabouts::Here(lifecycle) = std::mem::replace(&mut self.lifecycle, lent) {
            handoff.put(*lifecycle);
        }
        let ends = std::mem::take(&mut self.wants.ends);
        let look = (self.wants.look && self.unresponsive.is_none() && ends.is_empty()).then(|| Look {
            inotify,
            known: self.stamp.clone().filter(|_| !self.wants.read),
            restless: self.restless.clone(),
            final_try: self.tries >= pace.again.len(),
        });
        self.looking = look.is_some();
        let since = self.wants.since.unwrap_or(now);
        let time_passed = self.wants.time;
        let postponed = Wants { look: self.wants.look && look.is_none(), read: self.wants.read, ..Wants::default() };
        self.wants = if postponed.look { Wants { since: Some(since), ..postponed } } else { Wants::default() };
        Some(Job { key, number, spec: Arc::clone(&self.spec), lifecycle: handoff, look, time_passed, ends, since })
    }

    /// Takes the lifecycle back from a job whose mount does not answer. False if the job was faster.
    pub(super) fn take_back(&mut self, number: JobNumber) -> bool {
        let (lifecycle, is_current) = match &self.lifecycle {
            Whereabouts::Lent(lent, handoff, spec) if *lent == number => {
                (handoff.take(), spec.files == self.spec.files)
            }
            _ => return false,
        };
        let Some(lifecycle) = lifecycle else { return false };
        // The caller shows its state.
        let _ = self.give_back(lifecycle);
        self.apply_spec();
        // Nobody waits for what it will find.
        if let Some(since) = self.looked(None) {
            self.hint(since);
        }
        // The job may have been to tell it so.
        self.wants.time = true;
        // If other files are wanted by now, nothing is known against their mount.
        self.unresponsive = is_current.then_some(number);
        true
    }

    /// A job brings the lifecycle back. True if there is another state to show, whatever the job says.
    pub(super) fn give_back(&mut self, lifecycle: Lifecycle) -> bool {
        self.lifecycle = Whereabouts::Here(Box::new(lifecycle));
        self.apply_keys() | std::mem::take(&mut self.unshown)
    }

    /// The identity is to be kept by this spec from now on.
    pub(super) fn respec(&mut self, spec: Arc<IdentitySpec>, now: Instant) {
        if spec.files != self.spec.files {
            self.unresponsive = None;
        }
        self.spec = spec;
        self.apply_spec();
        self.stamp = None;
        self.restless = None;
        self.reread(now);
    }

    /// Tells the lifecycle the spec, if it is here.
    pub(super) fn apply_spec(&mut self) {
        if let Whereabouts::Here(lifecycle) = &mut self.lifecycle {
            lifecycle.respec(Arc::clone(&self.spec));
        }
    }

    /// The state an observer is to be shown now. None while a job borrows the lifecycle.
    pub(super) fn state(&self) -> Option<Arc<IdentityState>> {
        let Whereabouts::Here(lifecycle) = &self.lifecycle else { return None };
        let state = lifecycle.state();
        if self.unresponsive.is_none() {
            return Some(Arc::clone(state));
        }
        let findings = state.findings.iter().cloned().chain([self.mount_unresponsive()]).collect();
        Some(Arc::new(IdentityState { findings, ..IdentityState::clone(state) }))
    }

    fn mount_unresponsive(&self) -> Finding {
        let directory = mount::by_place(&self.spec.files).first().map(|(place, _)| place.path().to_owned());
        let sentence = "the file system does not answer: what is published stays, and changes are not seen until it does; look at the mount";
        let finding = Finding::new(Check::MountUnresponsive, Severity::Warn, sentence);
        Finding { file: directory, ..finding }
    }
}
