//! Who is concerned by which watch.

use std::collections::{HashMap, HashSet};

use super::{Inotify, Watch};

/// Who is concerned by which watch of one instance. A directory that several share is watched once, until the last one lets
/// go of it. `K` names who.
///
/// Watches are placed by jobs and claimed here afterwards, so an event may come before its watch is known: it is kept until
/// the claim.
#[derive(Debug)]
pub(crate) struct Table<K> {
    concerned: HashMap<Watch, Vec<K>>,
    /// Watches that spoke, or ended, before they were claimed.
    early: HashSet<Watch>,
}

impl<K: Copy + Eq> Table<K> {
    pub(crate) fn new() -> Self {
        Self { concerned: HashMap::new(), early: HashSet::new() }
    }

    /// Who is concerned by an event of this watch. If that is nobody yet, the event is kept.
    pub(crate) fn heard(&mut self, watch: Watch) -> &[K] {
        match self.concerned.get(&watch) {
            Some(concerned) => concerned,
            None => {
                self.early.insert(watch);
                &[]
            }
        }
    }

    /// Takes a watch that ended out, and tells whom it concerned.
    pub(crate) fn ended(&mut self, watch: Watch) -> Vec<K> {
        self.early.insert(watch);
        self.concerned.remove(&watch).unwrap_or_default()
    }

    /// `who` has `new` watches in place of `old` ones; those that nobody has any more are removed. Tells whether one of the new
    /// ones spoke before: then `who` has to look again.
    pub(crate) fn claim(&mut self, inotify: &Inotify, who: K, old: &[Watch], new: &[Watch]) -> bool {
        for watch in new {
            let concerned = self.concerned.entry(*watch).or_default();
            if !concerned.contains(&who) {
                concerned.push(who);
            }
        }
        for watch in old.iter().filter(|watch| !new.contains(watch)) {
            self.release(inotify, who, *watch);
        }
        new.iter().any(|watch| self.early.contains(watch))
    }

    /// Removes a watch that nobody came to claim.
    pub(crate) fn abandon(&self, inotify: &Inotify, watch: Watch) {
        if !self.concerned.contains_key(&watch) {
            inotify.remove(watch);
        }
    }

    /// Forgets what was heard early: no job is under way that could still claim it.
    pub(crate) fn settle(&mut self) {
        self.early.clear();
    }

    fn release(&mut self, inotify: &Inotify, who: K, watch: Watch) {
        if let Some(concerned) = self.concerned.get_mut(&watch) {
            concerned.retain(|other| *other != who);
            if concerned.is_empty() {
                self.concerned.remove(&watch);
                inotify.remove(watch);
            }
        }
    }
}
