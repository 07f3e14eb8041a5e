//! The one path validator: admission, both sides of the SDK and re-verification of live connections use it.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::bundle::Bundle;

/// The role a peer plays in a handshake: it decides which extended key usage its leaf needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer that accepts the connection.
    Server,
    /// The peer that opens it.
    Client,
}

/// Validates certificate paths (RFC 5280 §6.1) against the anchors of one bundle, by rustls-webpki and what that leaves to
/// its callers. Built once for a generation; validation takes no lock.
#[derive(Debug)]
pub struct PathValidator;

impl PathValidator {
    /// A validator for the anchors and CRLs of `bundle`.
    ///
    /// # Errors
    ///
    /// No anchor can be used.
    pub fn new(_bundle: &Bundle) -> Result<Self, PathError> {
        todo!()
    }

    /// Validates the path from `leaf` over `intermediates` to an anchor, for a peer in `role` at `now`. Names are not
    /// looked at.
    ///
    /// # Errors
    ///
    /// Why the path does not hold.
    pub fn validate(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _role: Role,
        _now: SystemTime,
    ) -> Result<(), PathError> {
        todo!()
    }
}

/// Why a path does not hold.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The bundle has no anchor that can be used.
    #[error("the bundle holds no usable trust anchor")]
    NoAnchor,
}
