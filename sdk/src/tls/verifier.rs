//! rustls' verifiers over the one path validator.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::crypto;
use evercert_core::path::{PathError, Role};
use evercert_core::spiffe::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ExtendedKeyPurpose, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::allowed::AllowedPeers;
use crate::tls::apart::ExpensiveChains;
use crate::tls::settings::{ClientCertificates, ServerVerification};
use crate::tls::trust::Trust;

/// Verifies clients for a server: a path to an anchor it trusts, for the client role. Belongs to one generation.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<Trust>,
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
    expensive_chains: ExpensiveChains,
    allowed: Option<AllowedPeers>,
}

impl ClientVerifier {
    /// A verifier; `None` where clients are not asked.
    #[must_use]
    pub fn new(trust: Arc<Trust>, certificates: ClientCertificates) -> Option<Self> {
        let mandatory = match certificates {
            ClientCertificates::Required => true,
            ClientCertificates::Optional => false,
            ClientCertificates::None => return None,
        };
        Some(Self {
            trust,
            mandatory,
            algorithms: algorithms(),
            expensive_chains: ExpensiveChains::InPlace,
            allowed: None,
        })
    }

    /// The same, for handshakes that verify chains so.
    pub(crate) fn with_expensive_chains(self, expensive_chains: ExpensiveChains) -> Self {
        Self { expensive_chains, ..self }
    }

    /// The same, where only these are let in.
    pub(crate) fn with_allowed(self, allowed: Option<AllowedPeers>) -> Self {
        Self { allowed, ..self }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None. A client that heeds the hints withholds a certificate whose CA is new to us or cross-signed, which is what a CA
    /// rotation looks like from the other side; and a large bundle does not fit the message.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let now = system_time(now);
        let path = match self.trust.validate_cheap(leaf, intermediates, Role::Client, now) {
            Some(path) => path,
            None => self
                .expensive_chains
                .verify(|| self.trust.validate(leaf, intermediates, Role::Client, now))
                .map_err(|crowded| CertificateError::Other(OtherError(Arc::new(crowded))))?,
        };
        path.map_err(rejection)?;
        // Behind the path, so that no name is logged which nobody vouches for.
        let allowed = self.allowed.as_ref().map_or(Ok(()), |allowed| allowed.admit(leaf));
        allowed.map_err(|_| CertificateError::ApplicationVerificationFailure)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies servers for a client: a path to an anchor it trusts, for the server role, and the server's name or SPIFFE ID.
/// Belongs to one generation.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Arc<Trust>,
    verification: ServerVerification,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// A verifier.
    #[must_use]
    pub fn new(trust: Arc<Trust>, verification: ServerVerification) -> Self {
        Self { trust, verification, algorithms: algorithms() }
    }

    fn verify_identity(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), rustls::Error> {
        let by_name = !matches!(self.verification, ServerVerification::SpiffeIds(_));
        if by_name && let Some(domain) = self.trust.federated_domain(leaf) {
            let error = FederatedName { trust_domain: domain.clone() };
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        }
        match &self.verification {
            ServerVerification::Name => verify_server_name(&ParsedCertificate::try_from(leaf)?, name),
            ServerVerification::Names(names) => {
                let leaf = ParsedCertificate::try_from(leaf)?;
                let mut outcome = Err(CertificateError::NotValidForName.into());
                for name in names {
                    outcome = verify_server_name(&leaf, name);
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome
            }
            ServerVerification::SpiffeIds(ids) => verify_spiffe_id(leaf, ids),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.trust.validate(leaf, intermediates, Role::Server, system_time(now)).map_err(rejection)?;
        self.verify_identity(leaf, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server of a federated trust domain that is to be verified by its name.
#[derive(thiserror::Error)]
#[error(
    "the server is of the federated trust domain {trust_domain}, whose CA vouches for SPIFFE IDs alone: name the SPIFFE ID that it \
     must have"
)]
pub(super) struct FederatedName {
    pub(super) trust_domain: TrustDomain,
}

/// In words too: rustls shows its causes so.
impl fmt::Debug for FederatedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a path does not hold, where rustls has no word for it.
#[derive(thiserror::Error)]
#[error(transparent)]
pub(super) struct PathRefused(pub(super) PathError);

/// In words too: rustls shows its causes so.
impl fmt::Debug for PathRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn verify_spiffe_id(leaf: &CertificateDer<'_>, ids: &[SpiffeId]) -> Result<(), rustls::Error> {
    let id = SpiffeId::of_leaf(leaf).filter(|id| ids.contains(id));
    id.map(drop).ok_or_else(|| CertificateError::NotValidForName.into())
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    crypto::provider().signature_verification_algorithms
}

fn system_time(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

pub(super) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The error whose alert tells the peer what is wrong with its path (RFC 8446 §6.2). One without its own alert goes out as
/// `certificate_unknown`, and keeps its words here.
pub(super) fn rejection(error: PathError) -> rustls::Error {
    let error = match error {
        PathError::Malformed(_) => CertificateError::BadEncoding,
        PathError::Expired { now, not_after } => {
            CertificateError::ExpiredContext { time: unix_time(now), not_after: unix_time(not_after) }
        }
        PathError::NotYetValid { now, not_before } => {
            CertificateError::NotValidYetContext { time: unix_time(now), not_before: unix_time(not_before) }
        }
        PathError::AnchorNotValid { now, not_after, .. } if not_after < now => {
            CertificateError::ExpiredContext { time: unix_time(now), not_after: unix_time(not_after) }
        }
        PathError::AnchorNotValid { now, not_before, .. } => {
            CertificateError::NotValidYetContext { time: unix_time(now), not_before: unix_time(not_before) }
        }
        PathError::NoAnchor | PathError::NoUsableAnchor { .. } | PathError::UnknownIssuer => {
            CertificateError::UnknownIssuer
        }
        PathError::BadSignature => CertificateError::BadSignature,
        PathError::ExtendedKeyUsage { role, found } => {
            let required = match role {
                Role::Server => ExtendedKeyPurpose::ServerAuth,
                Role::Client => ExtendedKeyPurpose::ClientAuth,
            };
            CertificateError::InvalidPurposeContext {
                required,
                presented: found.iter().map(|oid| purpose(oid)).collect(),
            }
        }
        PathError::CriticalExtension => CertificateError::UnhandledCriticalExtension,
        PathError::Revoked => CertificateError::Revoked,
        PathError::Crl(_) => CertificateError::UnknownRevocationStatus,
        other => CertificateError::Other(OtherError(Arc::new(PathRefused(other)))),
    };
    error.into()
}

fn purpose(oid: &str) -> ExtendedKeyPurpose {
    match oid {
        "1.3.6.1.5.5.7.3.1" => ExtendedKeyPurpose::ServerAuth,
        "1.3.6.1.5.5.7.3.2" => ExtendedKeyPurpose::ClientAuth,
        other => ExtendedKeyPurpose::Other(other.split('.').filter_map(|part| part.parse().ok()).collect()),
    }
}
