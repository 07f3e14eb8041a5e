//! Answers of path validation where more than one is sensible.

/// The answers of path validation where more than one is sensible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PathPolicy {
    /// The answer to peers whose issuer's CRL is stale.
    pub stale_crls: StaleCrls,
    /// The answer to peers whose leaf claims what only a CA may do.
    pub signing_leaves: SigningLeaves,
}

/// The answer to peers whose issuer's CRL should have been replaced by a newer one (RFC 5280 §5.1.2.5), or cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StaleCrls {
    /// The list holds on: whoever it revokes is refused, everybody else accepted. Losing the distribution of CRLs is no outage.
    #[default]
    Accept,
    /// They are refused: nobody knows what was revoked since.
    Reject,
}

/// The answer to peers whose leaf may sign certificates or CRLs by its key usage, or carries name constraints (RFC 5280 §4.2.1.3,
/// §4.2.1.10). It is no CA for all that: what it signed is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SigningLeaves {
    /// They are accepted, as by rustls, Go and OpenSSL.
    #[default]
    Accept,
    /// They are refused, as X509-SVID §5.2 demands of validators.
    Refuse,
}
