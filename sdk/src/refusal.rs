//! Why a generation is not used.

use std::time::SystemTime;

use evercert_core::clock::rfc3339;

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Chain or key cannot be loaded by rustls.
    #[error("the credential cannot be loaded: {0}")]
    Credential(String),
    /// The bundles cannot be loaded.
    #[error("the bundle cannot be loaded: {0}")]
    Bundle(String),
    /// The leaf has expired, and the policy is to fail closed.
    #[error(
        "the leaf has expired at {}, and the policy for that is to fail closed; have it renewed, and see why it was not",
        rfc3339(*.0)
    )]
    Expired(SystemTime),
    /// A server or channel of this process needs what the snapshot lacks.
    #[error("the snapshot lacks what this process needs: {0}")]
    Incomplete(String),
    /// A server or channel of this process has settings that contradict each other, whatever the snapshot.
    #[error("the settings of a server or channel contradict each other: {0}")]
    Settings(&'static str),
}
