//! How a handshake ended, in the words that are counted: from rustls' errors, and from ours within them.

use std::io;

use evercert_core::path::PathError;
use rustls::{
    AlertDescription, CertificateError, CommonState, Error, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved,
};

use super::verifier::{FederatedName, PathRefused};
use crate::telemetry::{HandshakeKind, HandshakeResult as Outcome};

/// Whether the handshake of a connection is a full one; `None` where it has not come to that.
pub(crate) fn kind(connection: &CommonState) -> Option<HandshakeKind> {
    connection.handshake_kind().map(|kind| match kind {
        rustls::HandshakeKind::Full | rustls::HandshakeKind::FullWithHelloRetryRequest => HandshakeKind::Full,
        rustls::HandshakeKind::Resumed => HandshakeKind::Resumed,
    })
}

/// Of an error of the stream: TLS' own, or that of the connection below, which is gone then.
pub(crate) fn of_io(error: &io::Error) -> Outcome {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => of_tls(error),
        None if error.kind() == io::ErrorKind::InvalidData => Outcome::UnexpectedMessage,
        None => Outcome::PeerConnectionClosed,
    }
}

/// Of an error of TLS, one that the peer told by an alert included.
pub(crate) fn of_tls(error: &Error) -> Outcome {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(why) => of_incompatible(why),
        Error::PeerMisbehaved(how) => of_misbehaved(how),
        Error::InvalidMessage(how) => of_message(*how),
        Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => Outcome::CertificateVerificationFailed,
        Error::UnsupportedNameType => Outcome::CertificateHostnameMismatch,
        Error::NoApplicationProtocol => Outcome::NoApplicationProtocol,
        Error::DecryptError => Outcome::DecryptionFailed,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => Outcome::UnexpectedMessage,
        _ => Outcome::UnknownFailure,
    }
}

/// Of a path that does not hold.
pub(crate) fn of_path(error: &PathError) -> Outcome {
    match error {
        PathError::Expired { .. } => Outcome::CertificateExpired,
        PathError::NotYetValid { .. } => Outcome::CertificateNotYetValid,
        PathError::AnchorNotValid { now, not_after, .. } if not_after < now => Outcome::CertificateExpired,
        PathError::AnchorNotValid { .. } => Outcome::CertificateNotYetValid,
        PathError::Revoked => Outcome::CertificateRevoked,
        PathError::Malformed(_) => Outcome::CertificateMalformed,
        PathError::NoAnchor
        | PathError::NoUsableAnchor { .. }
        | PathError::IssuerUnusable { .. }
        | PathError::UnknownIssuer => Outcome::CertificateAuthorityInvalid,
        PathError::BadSignature | PathError::UnsupportedSignature { .. } => Outcome::SignatureVerificationFailed,
        _ => Outcome::CertificateVerificationFailed,
    }
}

#[expect(deprecated, reason = "rustls still has the variant that carries no context")]
fn of_certificate(error: &CertificateError) -> Outcome {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => Outcome::CertificateExpired,
        E::NotValidYet | E::NotValidYetContext { .. } => Outcome::CertificateNotYetValid,
        E::Revoked => Outcome::CertificateRevoked,
        E::BadEncoding => Outcome::CertificateMalformed,
        E::UnknownIssuer => Outcome::CertificateAuthorityInvalid,
        E::NotValidForName | E::NotValidForNameContext { .. } => Outcome::CertificateHostnameMismatch,
        E::BadSignature
        | E::UnsupportedSignatureAlgorithm
        | E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Outcome::SignatureVerificationFailed,
        E::Other(OtherError(error)) => match error.downcast_ref() {
            Some(PathRefused(error)) => of_path(error),
            None if error.is::<FederatedName>() => Outcome::CertificateHostnameMismatch,
            None => Outcome::CertificateVerificationFailed,
        },
        _ => Outcome::CertificateVerificationFailed,
    }
}

/// Of an alert of the peer (RFC 8446 §6.2).
fn of_alert(alert: AlertDescription) -> Outcome {
    use AlertDescription as A;
    match alert {
        A::CloseNotify | A::UserCanceled => Outcome::PeerConnectionClosed,
        A::UnexpectedMessage
        | A::RecordOverflow
        | A::DecodeError
        | A::IllegalParameter
        | A::MissingExtension
        | A::UnsupportedExtension => Outcome::UnexpectedMessage,
        A::BadRecordMac | A::DecryptionFailed => Outcome::DecryptionFailed,
        A::HandshakeFailure | A::InsufficientSecurity => Outcome::CipherSuiteMismatch,
        // Several libraries send it whatever is wrong with a certificate.
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateUnknown
        | A::CertificateRequired
        | A::NoCertificate
        | A::AccessDenied
        | A::CertificateUnobtainable
        | A::BadCertificateStatusResponse
        | A::BadCertificateHashValue => Outcome::CertificateVerificationFailed,
        A::CertificateRevoked => Outcome::CertificateRevoked,
        A::CertificateExpired => Outcome::CertificateExpired,
        A::UnknownCA => Outcome::CertificateAuthorityInvalid,
        A::DecryptError => Outcome::SignatureVerificationFailed,
        A::ProtocolVersion => Outcome::ProtocolVersionUnsupported,
        A::InappropriateFallback => Outcome::InappropriateFallback,
        A::UnrecognisedName => Outcome::CertificateHostnameMismatch,
        A::NoApplicationProtocol => Outcome::NoApplicationProtocol,
        _ => Outcome::UnknownFailure,
    }
}

fn of_incompatible(why: &PeerIncompatible) -> Outcome {
    use PeerIncompatible as P;
    match why {
        P::NoCipherSuitesInCommon
        | P::NoSignatureSchemesInCommon
        | P::NoCertificateRequestSignatureSchemesInCommon
        | P::SignatureAlgorithmsExtensionRequired => Outcome::CipherSuiteMismatch,
        P::NoKxGroupsInCommon
        | P::NamedGroupsExtensionRequired
        | P::KeyShareExtensionRequired
        | P::EcPointsExtensionRequired
        | P::NoEcPointFormatsInCommon
        | P::UncompressedEcPointsRequired
        | P::ExtendedMasterSecretExtensionRequired => Outcome::KeyExchangeFailure,
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::Tls13RequiredForQuic => Outcome::ProtocolVersionUnsupported,
        P::ServerSentHelloRetryRequestWithUnknownExtension => Outcome::UnexpectedMessage,
        _ => Outcome::UnknownFailure,
    }
}

fn of_misbehaved(how: &PeerMisbehaved) -> Outcome {
    use PeerMisbehaved as P;
    match how {
        P::AttemptedDowngradeToTls12WhenTls13IsSupported => Outcome::InappropriateFallback,
        P::CipherSuiteDifferedOnRetry
        | P::IllegalHelloRetryRequestWithUnofferedCipherSuite
        | P::SelectedDifferentCipherSuiteAfterRetry
        | P::SelectedUnofferedCipherSuite
        | P::SelectedUnusableCipherSuiteForVersion => Outcome::CipherSuiteMismatch,
        P::SelectedTls12UsingTls13VersionExtension | P::IllegalHelloRetryRequestWithUnsupportedVersion => {
            Outcome::ProtocolVersionUnsupported
        }
        P::SelectedUnofferedApplicationProtocol | P::OfferedEmptyApplicationProtocol => Outcome::NoApplicationProtocol,
        P::IllegalHelloRetryRequestWithOfferedGroup
        | P::IllegalHelloRetryRequestWithUnofferedNamedGroup
        | P::InvalidKeyShare
        | P::MissingKeyShare
        | P::OfferedDuplicateKeyShares
        | P::SelectedUnofferedKxGroup
        | P::ServerHelloMustOfferUncompressedEcPoints
        | P::WrongGroupForKeyShare => Outcome::KeyExchangeFailure,
        P::SignedKxWithWrongAlgorithm | P::SignedHandshakeWithUnadvertisedSigScheme | P::IncorrectBinder => {
            Outcome::SignatureVerificationFailed
        }
        P::BadCertChainExtensions | P::InvalidCertCompression | P::UnsolicitedCertExtension => {
            Outcome::CertificateMalformed
        }
        P::ServerNameDifferedOnRetry => Outcome::CertificateHostnameMismatch,
        _ => Outcome::UnexpectedMessage,
    }
}

fn of_message(how: InvalidMessage) -> Outcome {
    use InvalidMessage as M;
    match how {
        M::UnknownProtocolVersion => Outcome::ProtocolVersionUnsupported,
        M::CertificatePayloadTooLarge | M::UnknownCertificateExtension => Outcome::CertificateMalformed,
        M::InvalidDhParams
        | M::MissingKeyExchange
        | M::UnsupportedCurveType
        | M::UnsupportedKeyExchangeAlgorithm(_) => Outcome::KeyExchangeFailure,
        M::NoSignatureSchemes => Outcome::CipherSuiteMismatch,
        M::InvalidServerName => Outcome::CertificateHostnameMismatch,
        _ => Outcome::UnexpectedMessage,
    }
}

#[cfg(test)]
mod tests;
