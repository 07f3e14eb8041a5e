//! The pod an identity or a subscriber belongs to.

use evercert_core::identity::{IdentityId, Scope};
use evercert_core::text::plain;
use serde::Serialize;

use crate::inventory::pods::{Doubt, PodNames};

/// The most pods that are told of as such, as their names are in doubt.
const IN_DOUBT: usize = 64;

/// A pod on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Pod {
    /// Absent, as is the name, where only its UID is known.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) uid: String,
    /// Why it has no name though one is told.
    pub(crate) name_doubt: Option<Doubt>,
}

impl Pod {
    /// `namespace/name`, or `pod/UID` where that is all that is known.
    pub(crate) fn title(&self) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => plain(&format!("{namespace}/{name}")).into_owned(),
            _ => plain(&format!("pod/{}", self.uid)).into_owned(),
        }
    }

    /// The doubt about its name, and why, if any.
    pub(crate) fn doubt(&self) -> Option<String> {
        let reason = match self.name_doubt? {
            Doubt::LogDirectories => "two log directories",
            Doubt::Namespace => {
                "the volume with its service account's token is of another namespace than its log directory"
            }
        };
        Some(format!("name in doubt ({reason})"))
    }

    /// The pod with this UID.
    pub(super) fn of(uid: &str, pods: &PodNames) -> Self {
        let name = pods.get(uid);
        Self {
            namespace: name.map(|name| name.namespace.to_string()),
            name: name.map(|name| name.name.to_string()),
            uid: uid.to_owned(),
            name_doubt: pods.doubt(uid),
        }
    }

    /// The pod whose volume an identity is.
    pub(crate) fn of_identity(id: &IdentityId, pods: &PodNames) -> Option<Self> {
        match &id.scope {
            Scope::Node => None,
            Scope::Pod(uid) => Some(Self::of(uid, pods)),
        }
    }

    /// The pods whose names are in doubt, the first of them where they are many.
    pub(crate) fn all_in_doubt(pods: &PodNames) -> impl Iterator<Item = Self> {
        pods.in_doubt().take(IN_DOUBT).map(|(uid, _)| Self::of(uid, pods))
    }
}

/// The title of an identity: its name, behind its pod where it has one.
pub(crate) fn title(pod: Option<&Pod>, name: &str) -> String {
    pod.map_or_else(|| plain(name).into_owned(), |pod| format!("{}/{}", pod.title(), plain(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_called_by_its_name_and_by_its_uid_where_that_is_not_known() {
        let (namespace, name) = (Some("shop".into()), Some("cart-0".into()));
        let mut pod = Pod { uid: "12".into(), namespace, name, name_doubt: None };
        assert_eq!(title(Some(&pod), "tls/server"), "shop/cart-0/tls/server");
        pod.namespace = None;
        assert_eq!(title(Some(&pod), "tls"), "pod/12/tls");
        assert_eq!(title(None, "tls"), "tls");
    }
}
