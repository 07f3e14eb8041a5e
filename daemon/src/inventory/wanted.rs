//! The identities to keep, who may have each, and the pods' names. Known before any file was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use evercert_core::identity::IdentityId;

use crate::config::Endpoint;
use crate::inventory::pods::PodNames;
use crate::inventory::sources::Watched;
use crate::policy::Policy;

/// Everything to keep; replaced whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// The identities.
    pub(crate) ids: BTreeSet<IdentityId>,
    /// Policies of the node's identities. An identity of a pod is for that pod.
    pub(crate) policies: HashMap<IdentityId, Policy>,
    /// Where the node's identities are served.
    pub(crate) serves: BTreeMap<IdentityId, Vec<Endpoint>>,
    /// The names of the pods.
    pub(crate) pods: PodNames,
    /// The state of the patterns of directories.
    pub(crate) watched: Arc<[Watched]>,
}

impl Wanted {
    /// The policy of this identity of the node.
    pub(crate) fn policy(&self, id: &IdentityId) -> Policy {
        self.policies.get(id).cloned().unwrap_or_default()
    }
}
