//! What Istio has no words for.

/// What a rule asks for and Istio cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IstioGap {
    /// It denies by SPIFFE IDs.
    #[error(
        "it denies by SPIFFE IDs, which are those of JWT-SVIDs too, and those that are in doubt; Istio knows the one in a certificate alone. Name \
         those who are allowed instead"
    )]
    DeniedSpiffeIds,
    /// It denies by roles or scopes.
    #[error(
        "it denies by roles or scopes, which Istio does not where a claim is of a form it cannot compare. Name those who are allowed instead"
    )]
    DeniedRoles,
    /// It asks for DNS names.
    #[error("Istio knows no DNS names of certificates; name SPIFFE IDs")]
    DnsNames,
    /// It asks for namespaces beside SPIFFE IDs beneath a path.
    #[error("it asks for namespaces and for SPIFFE IDs beneath a path; name the IDs beneath /ns/NAMESPACE/sa/*")]
    NamespacesBeneath,
    /// It asks for namespaces of whatever trust domain.
    #[error("it asks for namespaces alone; name `trust_domains` beside them")]
    NamespacesAlone,
    /// No SPIFFE ID is all that it asks for.
    #[error("what it asks of SPIFFE IDs contradicts itself")]
    Contradiction,
    /// It asks for a word of a claim that is not `scope`.
    #[error("Istio takes the words of a claim apart where it is called scope alone")]
    Words,
    /// It denies by a claim or header.
    #[error("it denies by a claim or header, which Istio does not where that is of a form it cannot compare")]
    DeniedAttributes,
    /// It asks for a text that Istio takes for a pattern.
    #[error("it asks for a text that begins or ends with *, which is a pattern in Istio")]
    Pattern,
}
