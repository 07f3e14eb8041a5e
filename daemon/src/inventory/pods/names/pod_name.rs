//! The name of a pod, or the doubt about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use evercert_core::identity::{IdentityId, Scope};
use serde::{Deserialize, Serialize};

use crate::callers::PodName;

/// Why a pod has no name though one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Doubt {
    /// Two log directories told different ones at first.
    LogDirectories,
    /// The volume with the token of its service account is of another namespace than its log directory tells.
    Namespace,
}

/// The name of a pod, or the doubt about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Naming {
    /// The first name that was told.
    Name(PodName),
    /// It cannot be told which name is the pod's, so it has none.
    Doubt(Doubt),
}

/// The names of the node's pods, by UID, as far as they are known, and which of them are in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PodNames(pub(super) BTreeMap<Arc<str>, Naming>);

impl PodNames {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The pod's name, where it is known and beyond doubt.
    pub(crate) fn get(&self, uid: &str) -> Option<&PodName> {
        match self.0.get(uid)? {
            Naming::Name(name) => Some(name),
            Naming::Doubt(_) => None,
        }
    }

    /// The name of an identity for people: `namespace/pod/volume` of a pod, `pod/UID/volume` where the pod has no name.
    pub(crate) fn title(&self, id: &IdentityId) -> String {
        match &id.scope {
            Scope::Node => id.to_string(),
            Scope::Pod(uid) => self.get(uid).map_or_else(|| id.to_string(), |pod| format!("{pod}/{}", id.name)),
        }
    }

    /// Why the pod's name is in doubt, where it is.
    pub(crate) fn doubt(&self, uid: &str) -> Option<Doubt> {
        match self.0.get(uid)? {
            Naming::Name(_) => None,
            Naming::Doubt(doubt) => Some(*doubt),
        }
    }

    /// The pods whose names are in doubt, and why they are.
    pub(crate) fn in_doubt(&self) -> impl Iterator<Item = (&Arc<str>, Doubt)> {
        self.0.iter().filter_map(|(uid, told)| match told {
            Naming::Name(_) => None,
            Naming::Doubt(doubt) => Some((uid, *doubt)),
        })
    }

    /// The name or doubt of each pod.
    pub(in crate::inventory::pods) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Naming)> {
        self.0.iter()
    }

    /// Whether a name or a doubt of this pod is known.
    pub(in crate::inventory::pods) fn contains(&self, uid: &str) -> bool {
        self.0.contains_key(uid)
    }

    /// Whether nothing is known of any pod.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Arc<str>, Naming)> for PodNames {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Naming)>>(told: T) -> Self {
        Self(told.into_iter().collect())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(Arc<str>, PodName); N]> for PodNames {
    fn from(names: [(Arc<str>, PodName); N]) -> Self {
        names.into_iter().map(|(uid, name)| (uid, Naming::Name(name))).collect()
    }
}
