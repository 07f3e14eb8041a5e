//! Why tokens are refused.

use super::labels::labels;

labels! {
    /// Why a token is refused. It is for operators: what a caller is told does not say which.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
    #[non_exhaustive]
    pub enum TokenFailure {
        /// There is none.
        #[error("the call has no token")]
        Missing = "missing",
        /// It is longer than any that is read.
        #[error("the token is longer than any that is read")]
        TooLarge = "too_large",
        /// It is no JWS in compact serialization (RFC 7515 §7.1) of one JSON object, its header asks for what is not done here, or a member is
        /// there twice.
        #[error("the token is malformed, or its header asks for what is not supported")]
        Malformed = "malformed",
        /// Its `typ` is none of those that are taken (RFC 8725 §3.11).
        #[error("the token is of another type")]
        WrongType = "wrong_type",
        /// Its `alg` is none, is symmetric, is not supported, or is not the one that its key is for.
        #[error("the token's algorithm is not the one that its key is for")]
        WrongAlgorithm = "wrong_algorithm",
        /// No key has its `kid`, or it has none and no single key is meant.
        #[error("the token's key is not known")]
        UnknownKey = "unknown_key",
        /// Its signature is not by its key.
        #[error("the token's signature is not by its key")]
        BadSignature = "bad_signature",
        /// A claim that has to be there is missing, or one is of another form than it has to be.
        #[error("a claim of the token is missing or of a wrong form")]
        InvalidClaims = "invalid_claims",
        /// It is another issuer's, or of another trust domain.
        #[error("the token is another issuer's")]
        WrongIssuer = "wrong_issuer",
        /// It is for somebody else.
        #[error("the token is for another audience")]
        WrongAudience = "wrong_audience",
        /// Its time is over.
        #[error("the token has expired")]
        Expired = "expired",
        /// Its time has not begun, or it was issued in the future.
        #[error("the token is not valid yet")]
        NotYetValid = "not_yet_valid",
        /// It is bound to another certificate than the caller's (RFC 8705), in a way that is not known, or not at all where it has to be.
        #[error("the token is not bound to the caller's certificate")]
        Unbound = "unbound",
        /// There are no keys to verify it with: none could be fetched from the issuer, or not for too long.
        #[error("there are no keys to verify the token with")]
        KeysUnavailable = "keys_unavailable",
    }
}
