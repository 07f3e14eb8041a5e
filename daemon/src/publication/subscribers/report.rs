//! A subscriber's request, and its report on what it uses.

use std::time::SystemTime;

use evercert_core::digest::Digest;
use serde::Serialize;

/// The content sent to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delivery {
    /// Published content, with its key.
    Full,
    /// Published content, without its key: the subscriber reads its own mount.
    Digest,
}

/// The state of a subscriber, as it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    /// The publication it speaks of; 0, as is the generation, where it read something else.
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    /// The content it speaks of; absent where it rejected that before there was a digest.
    pub(crate) digest: Option<Digest>,
    /// Absent where it says nothing that is known here.
    pub(crate) outcome: Option<Outcome>,
    /// How many of its connections are older than that.
    pub(crate) connections_on_older: u32,
    /// The end of the leaf that its new handshakes use.
    pub(crate) not_after: Option<SystemTime>,
}

/// The result for the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// New handshakes use it.
    Current,
    /// And no connection is older.
    Settled,
    /// It cannot be used; the subscriber keeps what it had.
    Refused(Refused),
}

/// Why a subscriber cannot use a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: RefusedCode,
    /// In the subscriber's words; may be empty.
    pub(crate) detail: String,
}

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedCode {
    /// The message itself is malformed.
    Malformed,
    /// The TLS library cannot load chain or key.
    Credential,
    /// The bundles cannot be loaded.
    Bundle,
    /// A server or client of the workload needs what the generation lacks.
    Incomplete,
    /// None that is known here.
    Unknown,
}

impl RefusedCode {
    /// As it is told.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Credential => "credential",
            Self::Bundle => "bundle",
            Self::Incomplete => "incomplete",
            Self::Unknown => "no code",
        }
    }
}
