//! How a TLS handshake ends, in the words of gRPC's proposal A118.

use super::labels::labels;

labels! {
    /// How a TLS handshake ended: what A118 calls `grpc.tls.handshake.result`. Of a failure it tells which side's demands were not met as
    /// little as A118 does: the peer's alert counts as the same failure found here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum HandshakeResult {
        /// It failed in a way that A118 has no word for.
        UnknownFailure = "UNKNOWN_FAILURE",
        /// It succeeded.
        Success = "SUCCESS",
        /// A certificate was not accepted for another reason than the following ones: its role, its names' constraints, a list of allowed
        /// peers, or that there was none.
        CertificateVerificationFailed = "CERTIFICATE_VERIFICATION_FAILED",
        /// A revocation list names a certificate of the path.
        CertificateRevoked = "CERTIFICATE_REVOKED",
        /// A certificate of the path, or its anchor, has expired.
        CertificateExpired = "CERTIFICATE_EXPIRED",
        /// A certificate of the path, or its anchor, is not valid yet.
        CertificateNotYetValid = "CERTIFICATE_NOT_YET_VALID",
        /// No trusted anchor leads to the certificate.
        CertificateAuthorityInvalid = "CERTIFICATE_AUTHORITY_INVALID",
        /// The certificate is not for the name or SPIFFE ID that was asked for, or the server has none for it.
        CertificateHostnameMismatch = "CERTIFICATE_HOSTNAME_MISMATCH",
        /// A certificate cannot be parsed.
        CertificateMalformed = "CERTIFICATE_MALFORMED",
        /// The two sides share no cipher suite or no signature scheme.
        CipherSuiteMismatch = "CIPHER_SUITE_MISMATCH",
        /// The two sides share no version of TLS.
        ProtocolVersionUnsupported = "PROTOCOL_VERSION_UNSUPPORTED",
        /// A side came with an older version of TLS than both have (RFC 7507, RFC 8446 §4.1.3).
        InappropriateFallback = "INAPPROPRIATE_FALLBACK",
        /// The two sides share no protocol of ALPN (RFC 7301): no version of HTTP.
        NoApplicationProtocol = "NO_APPLICATION_PROTOCOL",
        /// A signature, of a certificate or of the handshake, is not by the key that it should be by.
        SignatureVerificationFailed = "SIGNATURE_VERIFICATION_FAILED",
        /// A record cannot be decrypted.
        DecryptionFailed = "DECRYPTION_FAILED",
        /// The two sides share no group for the key exchange, or a side's share is no good.
        KeyExchangeFailure = "KEY_EXCHANGE_FAILURE",
        /// A message came that is not one of TLS, or not one that may come then.
        UnexpectedMessage = "UNEXPECTED_MESSAGE",
        /// It did not end in time.
        HandshakeTimeout = "HANDSHAKE_TIMEOUT",
        /// The peer closed the connection, or it was lost.
        PeerConnectionClosed = "PEER_CONNECTION_CLOSED",
    }
}

labels! {
    /// Whether a handshake resumed a session: what A118 calls `grpc.tls.handshake.resumed`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum HandshakeKind {
        /// It is a new session.
        Full = "FULL_HANDSHAKE",
        /// It goes on with an earlier one.
        Resumed = "RESUMED_HANDSHAKE",
    }
}
