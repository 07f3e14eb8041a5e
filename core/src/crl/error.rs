//! Why a list cannot be used.

/// Why a list cannot be used. The words are the end of a sentence about the list, with what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrlError {
    /// Not the structure of RFC 5280 §5.1.
    #[error("it is damaged: it breaks off, or is no certificate revocation list, at its {0}; fetch it again")]
    Malformed(&'static str),
    /// A list, and then something else.
    #[error("something that is no list follows it; take that out")]
    SomethingFollows,
    /// RFC 5280 §4.2, §5.2.
    #[error("it has the extension {0} twice; have it issued again")]
    DoubledExtension(String),
    /// RFC 5280 §5.1.2.1.
    #[error("it is of a version that RFC 5280 does not know; have it issued as version 2")]
    Version,
    /// RFC 5280 §5.1.1.2.
    #[error("it names two different signature algorithms; have it issued again")]
    TwoAlgorithms,
    /// RFC 5280 §5.2: then the list must not be used.
    #[error("its extension {0} is critical and not understood; have it issued without")]
    CriticalExtension(String),
    /// RFC 5280 §5.3: then the list must not be used.
    #[error(
        "the entry of serial number {serial} has the critical extension {oid}, which is not understood; have it issued without"
    )]
    CriticalEntryExtension {
        /// The serial number, in hexadecimal.
        serial: String,
        /// The extension.
        oid: String,
    },
    /// RFC 5280 §5.3.1.
    #[error(
        "the entry of serial number {serial} has the reason {reason}, which RFC 5280 does not know; have it issued again"
    )]
    Reason {
        /// The serial number, in hexadecimal.
        serial: String,
        /// The reason code.
        reason: u8,
    },
    /// RFC 5280 §5.2.5.
    #[error("it lists attribute certificates alone, which TLS does not know; take it out")]
    AttributeCertificates,
}
