//! The names of the pods, by those of their log directories: `NAMESPACE_NAME_UID`.
//!
//! Some pods may write there, such as those that collect logs. So the first name that is seen of a pod stays for as long as the pod is
//! there, whatever its directory is called later; a pod with two names at first has none. That is [remembered](super::memory) over a
//! restart, which would otherwise make the name first that is told then.
//!
//! The namespace that the kubelet wrote into the volume of a pod's service account token has to agree, where there is such a volume. It can
//! take a name away, and never gives one: whoever wrote the pod's spec chose what the volumes are called, may have filled one that is
//! called as the kubelet's is, and may do without any. All he can do is put his own pod in doubt. For that reason one volume of a pod
//! is enough to look at, and the absence of one means nothing.

pub(super) mod logs;
mod pod_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::warn;

use super::tree::ENTRIES_LIMIT;
use crate::callers::PodName;

pub(super) use logs::Seen;
pub(crate) use pod_name::{Doubt, Naming, PodNames};

/// Log directories of how many pods that are not known are looked at: those of pods that are gone stay for a while.
pub(super) const LOGS_LIMIT: usize = 16_384;

/// The most pods of which something is known: as many as are there, and as many as have log directories.
pub(super) const PODS_LIMIT: usize = ENTRIES_LIMIT + LOGS_LIMIT;

/// The most pods named in the log after one look; the others are counted.
const WARNINGS: usize = 8;

/// Pods that more than one name is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Contested {
    /// Those without a name, as it cannot be told which of two is theirs.
    pub(crate) in_doubt: usize,
    /// Those that keep the name that was seen first.
    pub(crate) first_stays: usize,
}

/// The evidence of one look for the names of pods.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// The pods that are there; absent where that cannot be told.
    pub(super) pods: Option<&'a BTreeSet<Arc<str>>>,
    /// The names of log directories; absent where there is nothing that tells any.
    pub(super) logs: Option<&'a Seen>,
    /// The namespaces that the pods' volumes are of, as far as that is known.
    pub(super) namespaces: &'a BTreeMap<Arc<str>, Arc<str>>,
}

/// The names that are known, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct NameKeeping {
    known: PodNames,
    /// Those of another name than the first.
    renamed: BTreeSet<Arc<str>>,
    /// Those that were there. Log directories of pods that never were leave nothing to be remembered.
    lasting: BTreeSet<Arc<str>>,
}

impl NameKeeping {
    pub(super) fn known(&self) -> &PodNames {
        &self.known
    }

    pub(super) fn contested(&self) -> Contested {
        Contested { in_doubt: self.known.in_doubt().count(), first_stays: self.renamed.len() }
    }

    /// The names to be remembered.
    pub(super) fn lasting(&self) -> PodNames {
        let lasting = self.known.iter().filter(|(uid, _)| self.lasting.contains(*uid));
        lasting.map(|(uid, told)| (Arc::clone(uid), told.clone())).collect()
    }

    /// Takes in what was remembered: it was told before whatever is known by now.
    pub(super) fn recall(&mut self, remembered: &PodNames) {
        for (uid, told) in remembered.iter() {
            self.lasting.insert(Arc::clone(uid));
            if self.known.doubt(uid).is_none() {
                self.known.0.insert(Arc::clone(uid), told.clone());
                // Counted again when it is seen again.
                self.renamed.remove(uid);
            }
        }
    }

    /// Takes in what was seen; says whether there was room for all of it.
    pub(super) fn see(&mut self, evidence: Evidence<'_>) -> bool {
        self.forget(evidence);
        let mut news = News::default();
        let mut has_room = true;
        for (uid, names) in evidence.logs.into_iter().flatten() {
            let is_there = evidence.pods.is_some_and(|pods| pods.contains(uid));
            if self.known.0.len() >= PODS_LIMIT && !is_there && !self.known.0.contains_key(uid) {
                has_room = false;
            } else {
                self.tell(uid, names, &mut news);
            }
        }
        for (uid, namespace) in evidence.namespaces {
            self.compare(uid, namespace, &mut news);
        }
        if let Some(pods) = evidence.pods {
            self.lasting.extend(pods.iter().filter(|uid| self.known.0.contains_key(*uid)).cloned());
        }
        news.end();
        has_room
    }

    /// Forgets the pods that are gone: neither among those that are there nor among the log directories. Where one of both is not there,
    /// or no pod is at all, as before a file system is mounted, nothing is proved.
    fn forget(&mut self, evidence: Evidence<'_>) {
        let (Some(pods), Some(logs)) = (evidence.pods, evidence.logs) else { return };
        if pods.is_empty() {
            return;
        }
        let stays = |uid: &Arc<str>| pods.contains(uid) || logs.contains_key(uid);
        self.known.0.retain(|uid, _| stays(uid));
        self.renamed.retain(stays);
        self.lasting.retain(stays);
    }

    /// Log directories tell these names of a pod.
    fn tell(&mut self, uid: &Arc<str>, names: &BTreeSet<PodName>, news: &mut News) {
        let mut told = names.iter();
        match (self.known.0.get(uid), told.next(), told.next()) {
            (Some(Naming::Doubt(_)), ..) => {}
            (Some(Naming::Name(first)), ..) => {
                let Some(other) = names.iter().find(|name| *name != first) else { return };
                if self.renamed.insert(Arc::clone(uid)) && news.is_to_be_told() {
                    warn!(
                        pod = %uid, name = %first, %other,
                        "a log directory tells another name of a pod than the first one, which stays; find out who may write the pods' \
                         log directory"
                    );
                }
            }
            (None, Some(name), None) => _ = self.known.0.insert(Arc::clone(uid), Naming::Name(name.clone())),
            (None, ..) => {
                self.known.0.insert(Arc::clone(uid), Naming::Doubt(Doubt::LogDirectories));
                if news.is_to_be_told() {
                    let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                    warn!(
                        pod = %uid, %names,
                        "two log directories tell the name of one pod: it has no name, and nothing is allowed by one; find out who may write \
                         the pods' log directory, and start the pod anew"
                    );
                }
            }
        }
    }

    /// The pod's volume is of this namespace.
    fn compare(&mut self, uid: &Arc<str>, namespace: &str, news: &mut News) {
        let Some(told @ Naming::Name(_)) = self.known.0.get_mut(uid) else { return };
        let Naming::Name(name) = &*told else { return };
        if *name.namespace == *namespace {
            return;
        }
        if news.is_to_be_told() {
            warn!(
                pod = %uid, %name, %namespace,
                "a pod's log directory tells another namespace than its volume with the token of its service account: it has no name, and \
                 nothing is allowed by one; find out who may write the pods' log directory, and start the pod anew"
            );
        }
        *told = Naming::Doubt(Doubt::Namespace);
        self.renamed.remove(uid);
    }
}

/// The number of pods of which there is something new to be said.
#[derive(Debug, Default)]
struct News(usize);

impl News {
    /// Counts one more.
    fn is_to_be_told(&mut self) -> bool {
        self.0 += 1;
        self.0 <= WARNINGS
    }

    fn end(self) {
        if self.0 > WARNINGS {
            warn!(pods = self.0 - WARNINGS, "the names of further pods are contested, too");
        }
    }
}

#[cfg(test)]
mod tests;
