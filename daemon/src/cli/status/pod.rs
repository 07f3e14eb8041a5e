//! The pod an identity or a subscriber belongs to.

use evercert_api::v1;
use serde::Serialize;

use evercert_core::text::plain;

/// A pod on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Pod {
    /// Absent, as is the name, where only its UID is known.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) uid: String,
    /// Why it has no name though one is told.
    pub(crate) name_doubt: Option<NameDoubt>,
}

/// Why the name of a pod is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NameDoubt {
    LogDirectories,
    Namespace,
}

impl NameDoubt {
    /// In a few words.
    fn reason(self) -> &'static str {
        match self {
            Self::LogDirectories => "two log directories",
            Self::Namespace => {
                "the volume with its service account's token is of another namespace than its log directory"
            }
        }
    }
}

impl Pod {
    /// `namespace/name`, or `pod/UID` where that is all that is known.
    pub(crate) fn title(&self) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => plain(&format!("{namespace}/{name}")).into_owned(),
            _ => plain(&format!("pod/{}", self.uid)).into_owned(),
        }
    }

    /// That its name is in doubt, and why, where it is.
    pub(crate) fn doubt(&self) -> Option<String> {
        self.name_doubt.map(|doubt| format!("name in doubt ({})", doubt.reason()))
    }
}

/// What people call an identity: its name, behind its pod where it has one.
pub(crate) fn title(pod: Option<&Pod>, name: &str) -> String {
    pod.map_or_else(|| plain(name).into_owned(), |pod| format!("{}/{}", pod.title(), plain(name)))
}

impl From<v1::Pod> for Pod {
    fn from(pod: v1::Pod) -> Self {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let name_doubt = match pod.name_doubt() {
            v1::NameDoubt::Unspecified => None,
            v1::NameDoubt::LogDirectories => Some(NameDoubt::LogDirectories),
            v1::NameDoubt::Namespace => Some(NameDoubt::Namespace),
        };
        Self { namespace: some(pod.namespace), name: some(pod.name), uid: pod.uid, name_doubt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_called_by_its_name_and_by_its_uid_where_that_is_not_known() {
        let (namespace, name) = ("shop".into(), "cart-0".into());
        let mut pod = Pod::from(v1::Pod { uid: "12".into(), namespace, name, ..v1::Pod::default() });
        assert_eq!(title(Some(&pod), "tls/server"), "shop/cart-0/tls/server");
        pod.namespace = None;
        assert_eq!(title(Some(&pod), "tls"), "pod/12/tls");
        assert_eq!(title(None, "tls"), "tls");
    }
}
