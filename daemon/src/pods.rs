//! The pods of the node, as the kubelet's directories tell of them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodName {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// The names of the node's pods, by UID, as far as they are known.
pub(crate) type PodNames = BTreeMap<Arc<str>, PodName>;
