//! The names of a pod: its UID, as the kubelet writes it, or its namespace and name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of a pod or namespace, in bytes: that of a DNS subdomain.
pub(crate) const NAME_LIMIT: usize = 253;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct PodName {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl PodName {
    /// Absent where Kubernetes allows no such name or namespace.
    pub(crate) fn new(namespace: &str, name: &str) -> Option<Self> {
        (is_name(namespace) && is_name(name)).then(|| Self { namespace: namespace.into(), name: name.into() })
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<PodName> for String {
    fn from(name: PodName) -> Self {
        name.to_string()
    }
}

/// A text is no name of a pod behind its namespace.
#[derive(Debug, thiserror::Error)]
#[error("it is no namespace and name of a pod, with a slash between")]
pub(crate) struct NotAPodName;

impl TryFrom<String> for PodName {
    type Error = NotAPodName;

    fn try_from(text: String) -> Result<Self, NotAPodName> {
        text.split_once('/').and_then(|(namespace, name)| Self::new(namespace, name)).ok_or(NotAPodName)
    }
}

/// A DNS subdomain, as Kubernetes demands it.
pub(crate) fn is_name(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    is_end(text.bytes().next()) && is_end(text.bytes().last()) && text.len() <= NAME_LIMIT && text.bytes().all(is_inner)
}
