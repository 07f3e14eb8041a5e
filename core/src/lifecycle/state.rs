//! What is known of an identity, as others see it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::finding::Finding;
use crate::material::{CertificateOnDisk, CrlOnDisk};
use crate::mount::{KeyAccess, Route};
use crate::overlap::RetainedAnchor;
use crate::snapshot::Snapshot;
use crate::spec::IdentitySpec;

/// The state of one identity: immutable, replaced whole at every change.
#[derive(Debug, Clone)]
pub struct IdentityState {
    /// Its specification.
    pub spec: Arc<IdentitySpec>,
    /// The published generation; absent until the first set is admitted.
    pub snapshot: Option<Arc<Snapshot>>,
    /// When [`IdentityState::snapshot`] was published.
    pub published_at: Option<SystemTime>,
    /// The findings of the checks on the files as last read, and on what is served.
    pub findings: Arc<[Finding]>,
    /// The certificates on disk as last read, admitted or not.
    pub on_disk: Arc<[CertificateOnDisk]>,
    /// The certificate revocation lists on disk as last read, admitted or not.
    pub crls: Arc<[CrlOnDisk]>,
    /// The anchors that left the credential's `ca.crt` and stay trusted for a while.
    pub overlap: Arc<[RetainedAnchor]>,
    /// The permissions to read the key file (the bundle, of an identity without a key) when it was last read with what is served in it. A
    /// later reading that was not admitted changes nothing in it: the file of that may be anybody's to read.
    pub key_access: Option<Arc<KeyAccess>>,
    /// The way by which everything was read that this tells of: the last reading, and those before it of which something is served still.
    /// A caller that may not search every directory of it is told nothing of what is behind that.
    pub route: Route,
}

impl IdentityState {
    /// The state of an identity whose files were not read yet.
    pub(super) fn unknown(spec: Arc<IdentitySpec>) -> Self {
        Self {
            spec,
            snapshot: None,
            published_at: None,
            findings: [].into(),
            on_disk: [].into(),
            crls: [].into(),
            overlap: [].into(),
            key_access: None,
            route: Route::default(),
        }
    }
}
