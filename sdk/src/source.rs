//! The sources of an identity's snapshots: the daemon's socket, or a mounted directory.
//!
//! An identity over a directory is also an *observer*: where a daemon of the node keeps the same certificate, it is told what this
//! process serves or refuses, so that the daemon's status shows this process beside those that get their keys from it. No key
//! crosses the socket for that, and nothing the daemon says, or fails to say, changes what is served: [`IdentityStatus::observer`]
//! alone says how that stands. [`DirectorySettings::observed`] turns it off.
//!
//! [`IdentityStatus::observer`]: crate::identity::IdentityStatus::observer

use std::sync::Arc;
use std::time::SystemTime;

use evercert_api::v1;
#[doc(inline)]
pub use evercert_core::bundle::{Bundle, Bundles};
#[doc(inline)]
pub use evercert_core::credential::{Credential, CredentialError, PrivateKey, PrivateKeyError};
use evercert_core::digest::Digest;
#[doc(inline)]
pub use evercert_core::snapshot::Snapshot;
use tokio::sync::watch;

use crate::refusal::Refusal;

pub mod agent;
mod aside;
#[cfg(feature = "directory")]
pub mod directory;
#[cfg(feature = "directory")]
pub mod observed;
mod socket;
mod stream;

pub use agent::{AgentSettings, AgentSource};
#[cfg(feature = "directory")]
pub use directory::{DirectorySettings, DirectorySource};
#[cfg(feature = "directory")]
pub use observed::ObservedSource;

/// A source of snapshots, to which the reports on them go. A source never takes a snapshot back: what it delivered last
/// stays usable when the source is lost.
pub trait Source: Send + Sync + 'static {
    /// The latest state; changes are seen through the receiver, the latest wins.
    fn state(&self) -> watch::Receiver<SourceState>;

    /// The outcome of the snapshot delivered last. It is a state: the source repeats it where its peer has forgotten it.
    fn report(&self, report: Report);

    /// Whether the daemon is told of what comes from elsewhere. `None` where that is not this source's to do.
    fn attachment(&self) -> Option<Attachment> {
        None
    }
}

/// Whether the daemon is told what this process serves from its mount. It says nothing about what is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attachment {
    /// The daemon's identity that is reported on; absent before it was found.
    pub identity: Option<Arc<str>>,
    /// Whether reports reach the daemon now.
    pub connected: bool,
    /// Why they do not, or why there is nothing the daemon could compare them with: a sentence that names the socket.
    pub trouble: Option<Arc<str>>,
}

/// The state of a source.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SourceState {
    /// The snapshot delivered last.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Whether the source can deliver the next one now.
    pub connected: bool,
    /// Why there is no snapshot yet, why the source is not connected, or why what it has seen last is not delivered: a sentence that
    /// names the source, the identity and what the other side said.
    pub trouble: Option<Arc<str>>,
}

impl SourceState {
    /// A source that has delivered this, and can deliver the next one.
    #[must_use]
    pub fn delivered(snapshot: impl Into<Arc<Snapshot>>) -> Self {
        Self { snapshot: Some(snapshot.into()), connected: true, trouble: None }
    }
}

/// The outcome of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The snapshot's generation.
    pub generation: u64,
    /// The snapshot's digest.
    pub digest: Digest,
    /// Whether it is used.
    pub outcome: Outcome,
    /// The number of connections of the identity's servers and channels made with an older generation than the current one.
    pub connections_on_older: u64,
    /// The end of the leaf that new handshakes use now.
    pub not_after: Option<SystemTime>,
}

impl Report {
    /// The outcome of a snapshot, with no older connection.
    #[must_use]
    pub fn new(generation: u64, digest: Digest, outcome: Outcome) -> Self {
        Self { generation, digest, outcome, connections_on_older: 0, not_after: None }
    }
}

/// Whether a snapshot is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// New handshakes use it.
    Current,
    /// And no connection of any server or channel of the identity is older. Never said by an identity whose credential or configs are
    /// in use in a rustls config of the user's own, whose connections are not known here.
    Settled,
    /// It cannot be used; the previous one is kept.
    Refused(Refusal),
}

impl Outcome {
    fn on_the_wire(&self) -> v1::report::Outcome {
        match self {
            Self::Current => v1::report::Outcome::Stage(v1::Stage::Current.into()),
            Self::Settled => v1::report::Outcome::Stage(v1::Stage::Settled.into()),
            Self::Refused(refusal) => {
                let code = match refusal {
                    Refusal::Credential(_) | Refusal::Expired(_) => v1::RefusedCode::Credential,
                    Refusal::Bundle(_) => v1::RefusedCode::Bundle,
                    Refusal::Incomplete(_) | Refusal::Settings(_) => v1::RefusedCode::Incomplete,
                };
                v1::report::Outcome::Refused(v1::Refused { code: code.into(), detail: refusal.to_string() })
            }
        }
    }
}
