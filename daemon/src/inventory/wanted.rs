//! What is to be kept: which identities, who may have each, and what the pods are called. Known before any file was read.

use std::collections::HashMap;
use std::sync::Arc;

use evercert_core::identity::IdentityId;

use crate::inventory::pods::PodNames;
use crate::inventory::sources::Watched;
use crate::policy::Policy;

/// What is to be kept; replaced whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// The identities, in their order.
    pub(crate) ids: Vec<IdentityId>,
    /// Who may have an identity of the node. An identity of a pod is for that pod.
    pub(crate) policies: HashMap<IdentityId, Policy>,
    /// What the pods are called.
    pub(crate) pods: PodNames,
    /// What the patterns of directories come to.
    pub(crate) watched: Arc<[Watched]>,
}

impl Wanted {
    /// Who may have this identity of the node.
    pub(crate) fn policy(&self, id: &IdentityId) -> Policy {
        self.policies.get(id).cloned().unwrap_or_default()
    }
}
