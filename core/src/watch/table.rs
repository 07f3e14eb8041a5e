//! The identities that an event concerns.

use std::collections::{BTreeSet, HashSet};

use super::{Inotify, Interest, Subject, Watch};

/// How much of what was heard while jobs place watches is kept until they are done. Beyond that, everyone who gets a further
/// watch looks again.
const EARLY: usize = 4096;

/// The keys that each event of one instance concerns. A directory that several share is watched once, until the last one lets go of it.
/// `K` names who; its default is the least of all.
///
/// Watches are placed by jobs and claimed here afterwards, so an event may come before it is known whom it concerns: it is kept
/// until the claim.
#[derive(Debug)]
pub(crate) struct Table<K> {
    concerned: BTreeSet<(Interest, K)>,
    early: HashSet<Interest>,
    /// More was heard than is kept.
    overflowed: bool,
}

impl<K: Copy + Ord + Default> Table<K> {
    pub(crate) fn new() -> Self {
        Self { concerned: BTreeSet::new(), early: HashSet::new(), overflowed: false }
    }

    /// Those that an event concerns.
    pub(crate) fn heard(&mut self, interest: Interest) -> impl Iterator<Item = K> {
        self.keep(interest);
        let from = (interest, K::default());
        self.concerned.range(from..).take_while(move |(other, _)| *other == interest).map(|(_, who)| *who)
    }

    /// Takes a watch that ended out, and tells whom the directory itself concerned. All others hear of its end elsewhere: in its
    /// parent, or by the swap of what led to it.
    pub(crate) fn ended(&mut self, watch: Watch) -> impl Iterator<Item = K> {
        self.keep(Interest { watch, subject: Subject::Directory });
        let ended: Vec<_> = self.of(watch).collect();
        ended.iter().for_each(|entry| _ = self.concerned.remove(entry));
        let itself = ended.into_iter().take_while(|(interest, _)| interest.subject == Subject::Directory);
        itself.map(|(_, who)| who)
    }

    /// `who` has `new` interests in place of `old` ones; watches that nobody needs any more are removed. Tells whether something
    /// was heard about a new one before: then `who` has to look again.
    pub(crate) fn claim(&mut self, inotify: &Inotify, who: K, old: &[Interest], new: &[Interest]) -> bool {
        let mut again = false;
        for interest in new {
            let is_new = self.concerned.insert((*interest, who));
            again |= is_new && self.was_heard(*interest);
        }
        let kept: HashSet<_> = new.iter().collect();
        for interest in old.iter().filter(|interest| !kept.contains(interest)) {
            if self.concerned.remove(&(*interest, who)) {
                self.abandon(inotify, interest.watch);
            }
        }
        again
    }

    /// Removes a watch if nobody needs it.
    pub(crate) fn abandon(&self, inotify: &Inotify, watch: Watch) {
        if self.of(watch).next().is_none() {
            inotify.remove(watch);
        }
    }

    /// Forgets what was heard early: no job is under way that could still claim it.
    pub(crate) fn forget_early(&mut self) {
        self.early.clear();
        self.overflowed = false;
    }

    fn of(&self, watch: Watch) -> impl Iterator<Item = (Interest, K)> {
        let from = (Interest { watch, subject: Subject::Directory }, K::default());
        self.concerned.range(from..).take_while(move |(interest, _)| interest.watch == watch).copied()
    }

    fn keep(&mut self, interest: Interest) {
        if self.early.len() < EARLY {
            self.early.insert(interest);
        } else {
            self.overflowed = true;
        }
    }

    /// Whether this was heard, or the end of its watch.
    fn was_heard(&self, interest: Interest) -> bool {
        let end = Interest { subject: Subject::Directory, ..interest };
        self.overflowed || self.early.contains(&interest) || self.early.contains(&end)
    }
}
