use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::path::{CrlProblem, Role, UnusableAnchor};
use rustls::{
    CertRevocationListError, ContentType, EncryptedClientHelloError, ExtendedKeyPurpose, HandshakeType,
    InconsistentKeys,
};
use rustls_pki_types::{ServerName, UnixTime};

use super::Outcome as O;
use super::*;
use crate::tls::apart::Crowded;
use crate::tls::verifier::rejection;

fn of_certificate(error: CertificateError) -> O {
    of_tls(&Error::InvalidCertificate(error))
}

fn of_alert(alert: AlertDescription) -> O {
    of_tls(&Error::AlertReceived(alert))
}

fn of_misbehaved(how: PeerMisbehaved) -> O {
    of_tls(&Error::PeerMisbehaved(how))
}

#[test]
fn every_error_of_tls_is_one_result() {
    let (expect_types, got_type) = (vec![ContentType::Handshake], ContentType::Alert);
    let inappropriate = Error::InappropriateMessage { expect_types, got_type };
    let (expect_types, got_type) = (vec![HandshakeType::ClientHello], HandshakeType::Finished);
    let out_of_turn = Error::InappropriateHandshakeMessage { expect_types, got_type };
    for (error, expected) in [
        (inappropriate, O::UnexpectedMessage),
        (out_of_turn, O::UnexpectedMessage),
        (Error::InvalidEncryptedClientHello(EncryptedClientHelloError::SniRequired), O::UnknownFailure),
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), O::UnexpectedMessage),
        (Error::NoCertificatesPresented, O::CertificateVerificationFailed),
        (Error::UnsupportedNameType, O::CertificateHostnameMismatch),
        (Error::DecryptError, O::DecryptionFailed),
        (Error::EncryptError, O::UnknownFailure),
        (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), O::CipherSuiteMismatch),
        (Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments), O::UnexpectedMessage),
        (Error::AlertReceived(AlertDescription::UnknownCA), O::CertificateAuthorityInvalid),
        (Error::InvalidCertificate(CertificateError::Revoked), O::CertificateRevoked),
        (Error::InvalidCertRevocationList(CertRevocationListError::BadSignature), O::CertificateVerificationFailed),
        (Error::General("of no kind".to_owned()), O::UnknownFailure),
        (Error::FailedToGetCurrentTime, O::UnknownFailure),
        (Error::FailedToGetRandomBytes, O::UnknownFailure),
        (Error::HandshakeNotComplete, O::UnknownFailure),
        (Error::PeerSentOversizedRecord, O::UnexpectedMessage),
        (Error::NoApplicationProtocol, O::NoApplicationProtocol),
        (Error::BadMaxFragmentSize, O::UnknownFailure),
        (Error::InconsistentKeys(InconsistentKeys::KeyMismatch), O::UnknownFailure),
        (Error::Other(OtherError(Arc::new(Crowded))), O::UnknownFailure),
    ] {
        assert_eq!(of_tls(&error), expected, "{error:?}");
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, error.clone());
        assert_eq!(of_io(&wrapped), expected, "{error:?}, as the stream gives it");
    }
}

#[test]
fn a_connection_that_is_gone_is_one_that_the_peer_closed_and_what_is_no_tls_an_unexpected_message() {
    for kind in [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::TimedOut,
        io::ErrorKind::Other,
    ] {
        assert_eq!(of_io(&kind.into()), O::PeerConnectionClosed, "{kind}");
        assert_eq!(of_io(&io::Error::new(kind, "in words")), O::PeerConnectionClosed, "{kind}");
    }
    assert_eq!(of_io(&io::Error::new(io::ErrorKind::InvalidData, "in words")), O::UnexpectedMessage);
}

#[test]
#[expect(deprecated, reason = "rustls still has the variant that carries no context")]
fn every_error_of_a_certificate_is_one_result() {
    use CertificateError as E;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
    let expected = || ServerName::try_from("server.example.org").unwrap();
    let key_usage = || ExtendedKeyPurpose::ServerAuth;
    for (error, result) in [
        (E::BadEncoding, O::CertificateMalformed),
        (E::Expired, O::CertificateExpired),
        (E::ExpiredContext { time, not_after: time }, O::CertificateExpired),
        (E::NotValidYet, O::CertificateNotYetValid),
        (E::NotValidYetContext { time, not_before: time }, O::CertificateNotYetValid),
        (E::Revoked, O::CertificateRevoked),
        (E::UnhandledCriticalExtension, O::CertificateVerificationFailed),
        (E::UnknownIssuer, O::CertificateAuthorityInvalid),
        (E::UnknownRevocationStatus, O::CertificateVerificationFailed),
        (E::ExpiredRevocationList, O::CertificateVerificationFailed),
        (E::ExpiredRevocationListContext { time, next_update: time }, O::CertificateVerificationFailed),
        (E::BadSignature, O::SignatureVerificationFailed),
        (E::UnsupportedSignatureAlgorithm, O::SignatureVerificationFailed),
        (
            E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: vec![], supported_algorithms: vec![] },
            O::SignatureVerificationFailed,
        ),
        (
            E::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![],
                public_key_algorithm_id: vec![],
            },
            O::SignatureVerificationFailed,
        ),
        (E::NotValidForName, O::CertificateHostnameMismatch),
        (E::NotValidForNameContext { expected: expected(), presented: vec![] }, O::CertificateHostnameMismatch),
        (E::InvalidPurpose, O::CertificateVerificationFailed),
        (E::InvalidPurposeContext { required: key_usage(), presented: vec![] }, O::CertificateVerificationFailed),
        (E::InvalidOcspResponse, O::CertificateVerificationFailed),
        (E::ApplicationVerificationFailure, O::CertificateVerificationFailed),
        (E::Other(OtherError(Arc::new(Crowded))), O::CertificateVerificationFailed),
        (
            E::Other(OtherError(Arc::new(FederatedName { trust_domain: "example.org".parse().unwrap() }))),
            O::CertificateHostnameMismatch,
        ),
    ] {
        assert_eq!(of_certificate(error.clone()), result, "{error:?}");
    }
}

#[test]
fn a_path_is_counted_alike_as_it_is_and_as_rustls_is_told_of_it() {
    let (before, now) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    let after = now + Duration::from_secs(1);
    let malformed = || UnusableAnchor::Malformed("of no shape".to_owned());
    for (error, expected) in [
        (PathError::NoAnchor, O::CertificateAuthorityInvalid),
        (PathError::NoUsableAnchor { first: malformed() }, O::CertificateAuthorityInvalid),
        (PathError::IssuerUnusable { reason: malformed() }, O::CertificateAuthorityInvalid),
        (PathError::UnknownIssuer, O::CertificateAuthorityInvalid),
        (PathError::Expired { now, not_after: before }, O::CertificateExpired),
        (PathError::NotYetValid { now, not_before: after }, O::CertificateNotYetValid),
        (PathError::AnchorNotValid { now, not_before: before, not_after: before }, O::CertificateExpired),
        (PathError::AnchorNotValid { now, not_before: after, not_after: after }, O::CertificateNotYetValid),
        (PathError::BadSignature, O::SignatureVerificationFailed),
        (PathError::UnsupportedSignature { algorithm: "MD5".to_owned() }, O::SignatureVerificationFailed),
        (PathError::Revoked, O::CertificateRevoked),
        (PathError::Crl(CrlProblem::Unusable), O::CertificateVerificationFailed),
        (
            PathError::UnsupportedKey { issuer: "CN=x".to_owned(), key: "RSA".to_owned() },
            O::CertificateVerificationFailed,
        ),
        (PathError::ExtendedKeyUsage { role: Role::Client, found: vec![] }, O::CertificateVerificationFailed),
        (PathError::LeafIsCa, O::CertificateVerificationFailed),
        (PathError::LeafMaySign, O::CertificateVerificationFailed),
        (PathError::LeafConstrainsNames, O::CertificateVerificationFailed),
        (PathError::IssuerIsNoCa, O::CertificateVerificationFailed),
        (PathError::IssuerMayNotSign { issuer: "CN=x".to_owned() }, O::CertificateVerificationFailed),
        (PathError::TooLong, O::CertificateVerificationFailed),
        (PathError::NameConstraint, O::CertificateVerificationFailed),
        (PathError::UnsupportedNameConstraint { kind: "e-mail addresses" }, O::CertificateVerificationFailed),
        (PathError::CriticalExtension, O::CertificateVerificationFailed),
        (PathError::TooComplex, O::CertificateVerificationFailed),
    ] {
        assert_eq!(of_path(&error), expected, "{error:?}");
        assert_eq!(of_tls(&rejection(error.clone())), expected, "{error:?}, by rustls");
    }
}

#[test]
fn every_alert_is_one_result_and_an_unknown_one_an_unknown_failure() {
    use AlertDescription as A;
    let told = [
        (O::PeerConnectionClosed, vec![A::CloseNotify, A::UserCanceled]),
        (
            O::UnexpectedMessage,
            vec![
                A::UnexpectedMessage,
                A::RecordOverflow,
                A::DecodeError,
                A::IllegalParameter,
                A::MissingExtension,
                A::UnsupportedExtension,
            ],
        ),
        (O::DecryptionFailed, vec![A::BadRecordMac, A::DecryptionFailed]),
        (O::CipherSuiteMismatch, vec![A::HandshakeFailure, A::InsufficientSecurity]),
        (
            O::CertificateVerificationFailed,
            vec![
                A::NoCertificate,
                A::BadCertificate,
                A::UnsupportedCertificate,
                A::CertificateUnknown,
                A::CertificateRequired,
                A::AccessDenied,
                A::CertificateUnobtainable,
                A::BadCertificateStatusResponse,
                A::BadCertificateHashValue,
            ],
        ),
        (O::CertificateRevoked, vec![A::CertificateRevoked]),
        (O::CertificateExpired, vec![A::CertificateExpired]),
        (O::CertificateAuthorityInvalid, vec![A::UnknownCA]),
        (O::SignatureVerificationFailed, vec![A::DecryptError]),
        (O::ProtocolVersionUnsupported, vec![A::ProtocolVersion]),
        (O::InappropriateFallback, vec![A::InappropriateFallback]),
        (O::CertificateHostnameMismatch, vec![A::UnrecognisedName]),
        (O::NoApplicationProtocol, vec![A::NoApplicationProtocol]),
        (
            O::UnknownFailure,
            vec![
                A::DecompressionFailure,
                A::ExportRestriction,
                A::InternalError,
                A::NoRenegotiation,
                A::UnknownPSKIdentity,
                A::EncryptedClientHelloRequired,
            ],
        ),
    ];
    let mut known = Vec::new();
    for (expected, alerts) in told {
        for alert in alerts {
            assert_eq!(of_alert(alert), expected, "{alert:?}");
            known.push(u8::from(alert));
        }
    }
    for number in 0..=u8::MAX {
        let alert = AlertDescription::from(number);
        if !known.contains(&number) {
            assert!(matches!(alert, A::Unknown(_)), "{alert:?} is told of by no row");
            assert_eq!(of_alert(alert), O::UnknownFailure);
        }
    }
}

#[test]
fn what_two_sides_do_not_share_has_results_of_its_own() {
    use PeerIncompatible as P;
    for (why, expected) in [
        (P::NoCipherSuitesInCommon, O::CipherSuiteMismatch),
        (P::NoSignatureSchemesInCommon, O::CipherSuiteMismatch),
        (P::NoCertificateRequestSignatureSchemesInCommon, O::CipherSuiteMismatch),
        (P::SignatureAlgorithmsExtensionRequired, O::CipherSuiteMismatch),
        (P::NoKxGroupsInCommon, O::KeyExchangeFailure),
        (P::NamedGroupsExtensionRequired, O::KeyExchangeFailure),
        (P::KeyShareExtensionRequired, O::KeyExchangeFailure),
        (P::EcPointsExtensionRequired, O::KeyExchangeFailure),
        (P::NoEcPointFormatsInCommon, O::KeyExchangeFailure),
        (P::UncompressedEcPointsRequired, O::KeyExchangeFailure),
        (P::ExtendedMasterSecretExtensionRequired, O::KeyExchangeFailure),
        (P::ServerDoesNotSupportTls12Or13, O::ProtocolVersionUnsupported),
        (P::ServerTlsVersionIsDisabledByOurConfig, O::ProtocolVersionUnsupported),
        (P::SupportedVersionsExtensionRequired, O::ProtocolVersionUnsupported),
        (P::Tls12NotOffered, O::ProtocolVersionUnsupported),
        (P::Tls12NotOfferedOrEnabled, O::ProtocolVersionUnsupported),
        (P::Tls13RequiredForQuic, O::ProtocolVersionUnsupported),
        (P::ServerSentHelloRetryRequestWithUnknownExtension, O::UnexpectedMessage),
        (P::NullCompressionRequired, O::UnknownFailure),
        (P::IncorrectCertificateTypeExtension, O::UnknownFailure),
        (P::UnsolicitedCertificateTypeExtension, O::UnknownFailure),
        (P::ServerRejectedEncryptedClientHello(None), O::UnknownFailure),
    ] {
        assert_eq!(of_tls(&Error::PeerIncompatible(why.clone())), expected, "{why:?}");
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_sends_unexpected_messages_unless_it_is_known_better() {
    use PeerMisbehaved as P;
    for (how, expected) in [
        (P::AttemptedDowngradeToTls12WhenTls13IsSupported, O::InappropriateFallback),
        (P::SelectedUnofferedCipherSuite, O::CipherSuiteMismatch),
        (P::SelectedTls12UsingTls13VersionExtension, O::ProtocolVersionUnsupported),
        (P::SelectedUnofferedApplicationProtocol, O::NoApplicationProtocol),
        (P::InvalidKeyShare, O::KeyExchangeFailure),
        (P::SelectedUnofferedKxGroup, O::KeyExchangeFailure),
        (P::SignedKxWithWrongAlgorithm, O::SignatureVerificationFailed),
        (P::IncorrectBinder, O::SignatureVerificationFailed),
        (P::BadCertChainExtensions, O::CertificateMalformed),
        (P::ServerNameDifferedOnRetry, O::CertificateHostnameMismatch),
        (P::IllegalMiddleboxChangeCipherSpec, O::UnexpectedMessage),
        (P::MessageInterleavedWithHandshakeMessage, O::UnexpectedMessage),
    ] {
        assert_eq!(of_misbehaved(how.clone()), expected, "{how:?}");
    }
    use InvalidMessage as M;
    for (how, expected) in [
        (M::UnknownProtocolVersion, O::ProtocolVersionUnsupported),
        (M::CertificatePayloadTooLarge, O::CertificateMalformed),
        (M::UnknownCertificateExtension, O::CertificateMalformed),
        (M::MissingKeyExchange, O::KeyExchangeFailure),
        (M::NoSignatureSchemes, O::CipherSuiteMismatch),
        (M::InvalidServerName, O::CertificateHostnameMismatch),
        (M::InvalidContentType, O::UnexpectedMessage),
        (M::MessageTooShort, O::UnexpectedMessage),
        (M::TrailingData("ClientHello"), O::UnexpectedMessage),
    ] {
        assert_eq!(of_tls(&Error::InvalidMessage(how)), expected, "{how:?}");
    }
}
