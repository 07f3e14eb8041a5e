//! The outcome of a check, for people and machines.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text;

/// The consequence of a finding for publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Published all the same; something should be mended.
    Warn,
    /// Not published; the last good stays.
    Reject,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warn, Self::Reject];

    /// The metric label and the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing a check has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check speaks.
    pub check: Check,
    /// Its consequence for publication.
    pub severity: Severity,
    /// A sentence that names what is wrong and what to do. Never key material. Words that others chose in it, in `found` and in `expected`
    /// are told as [`text::sentence`] does.
    pub sentence: String,
    /// The file it is about.
    pub file: Option<PathBuf>,
    /// The value that was found, where there is one.
    pub found: Option<String>,
    /// The value that was expected, where there is one.
    pub expected: Option<String>,
}

impl Finding {
    /// A finding of that sentence alone, which is told as [`text::sentence`] does.
    #[must_use]
    pub fn new(check: Check, severity: Severity, sentence: impl Into<String>) -> Self {
        let sentence = text::sentence(&sentence.into());
        Self { check, severity, sentence, file: None, found: None, expected: None }
    }

    /// The same, about this file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// The same, with the value that was found.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = Some(text::sentence(&found.to_string()));
        self
    }

    /// The same, with the value that was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = Some(text::sentence(&expected.to_string()));
        self
    }
}

macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $id:literal,)*) => {
        /// The stable names of the checks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])* $variant,)*
        }

        impl Check {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name: in logs, on the wire and as a metric label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }
        }
    };
}

checks! {
    /// A configured file is not there.
    FileMissing = "file-missing",
    /// A file cannot be read.
    FileUnreadable = "file-unreadable",
    /// In place of a file is something else: a FIFO, a device, a directory.
    NotRegular = "not-a-regular-file",
    /// A file is in the place where the directory of another should be.
    NotADirectory = "not-a-directory",
    /// A file of a volume is a symbolic link, or its path leads out of the volume.
    OutsideVolume = "outside-volume",
    /// A file, or its directory, is mounted by itself, and was deleted where it is mounted from.
    StaleFileMount = "stale-file-mount",
    /// A file, chain or bundle is over its limit.
    TooLarge = "too-large",
    /// The files kept changing while they were read.
    TornRead = "torn-read",
    /// A directory did not answer within the deadline of a read.
    MountUnresponsive = "mount-unresponsive",
    /// A file's content cannot be parsed.
    Unparsable = "unparsable",
    /// No peer can load the chain that is to be presented.
    Unloadable = "unloadable",
    /// The private key is not the leaf's.
    KeyMismatch = "key-mismatch",
    /// The key of the served certificate is not in memory, and no longer on disk.
    KeyNotInMemory = "key-not-in-memory",
    /// The key is of a kind or size that no handshake here can use.
    KeyUnsupported = "key-unsupported",
    /// Every user of the host may read the file of the private key.
    KeyWorldReadable = "key-world-readable",
    /// A file of certificates holds a private key.
    KeyMisplaced = "key-misplaced",
    /// The leaf is not the first certificate of the chain.
    LeafNotFirst = "leaf-not-first",
    /// The certificates after the leaf are not in issuing order.
    ChainOrder = "chain-order",
    /// A self-signed root travels in the chain.
    RootInChain = "root-in-chain",
    /// The credential does not chain to the bundle it would be served with.
    ChainUntrusted = "chain-untrusted",
    /// There is no bundle to chain to.
    NoBundle = "no-bundle",
    /// The bundle no longer trusts the credential that is served.
    OwnLeafUntrusted = "own-leaf-untrusted",
    /// A CRL revokes the leaf, or an intermediate of its chain.
    LeafRevoked = "leaf-revoked",
    /// The next CRL is overdue.
    CrlStale = "crl-stale",
    /// A CRL revokes nobody, since its issuer may not sign any.
    CrlIssuer = "crl-issuer",
    /// A CRL is not signed by the CA of its issuer's name.
    CrlSignature = "crl-signature",
    /// Something that a CRL says is not applied.
    CrlScope = "crl-scope",
    /// Anchors that left the credential's `ca.crt` are still trusted.
    TrustOverlap = "trust-overlap",
    /// The overlap of a replaced `ca.crt` is not written down as it is, or the one written down cannot be read.
    StateNotWritten = "state-not-written",
    /// The leaf, or every anchor, has expired.
    Expired = "expired",
    /// The leaf is not valid yet.
    NotYetValid = "not-yet-valid",
    /// notBefore is not before notAfter.
    ValidityReversed = "validity-reversed",
    /// An issuer in the chain ends before the leaf does.
    IssuerExpiresFirst = "issuer-expires-first",
    /// One anchor of the bundle has expired.
    AnchorExpired = "anchor-expired",
    /// An anchor forbids the path by what rustls does not look at, and other TLS stacks do.
    AnchorConstraint = "anchor-constraint",
    /// A certificate of the bundle can be nobody's anchor.
    AnchorUnusable = "anchor-unusable",
    /// The bundle holds no certificate.
    BundleEmpty = "bundle-empty",
    /// The extended key usage lacks a configured usage.
    ExtendedKeyUsage = "extended-key-usage",
    /// The key usage lacks what a handshake or a configured usage needs.
    KeyUsage = "key-usage",
    /// The leaf is a CA.
    LeafIsCa = "leaf-is-ca",
    /// The leaf is no CA, but may sign certificates or CRLs, or constrains names, as only a CA does.
    LeafAuthority = "leaf-authority",
    /// The leaf has no subject alternative name.
    NoSan = "no-san",
    /// No name of the leaf is one that a peer can be asked for, or some peers refuse it for one of them.
    NameUnusable = "name-unusable",
    /// A configured name is not among the leaf's subject alternative names.
    NameMissing = "name-missing",
    /// cert-manager's temporary certificate, which it replaces as soon as the issuer answers.
    TemporaryCertificate = "temporary-certificate",
    /// Renewal is overdue.
    RenewalOverdue = "renewal-overdue",
    /// The kubelet has stopped to refresh a volume with a pod certificate.
    VolumeNotRefreshed = "volume-not-refreshed",
    /// Another identity has the same name.
    NameCollision = "name-collision",
    /// The directory in which identities were found is out of sight.
    DirectoryAway = "directory-away",
    /// No directory matches a pattern.
    DirectoryUnmatched = "directory-unmatched",
    /// A directory has a name that no identity can have.
    DirectoryName = "directory-name",
    /// Metrics, liveness and readiness are not served.
    HttpUnavailable = "http-unavailable",
    /// A configured address is not used, since another was handed over.
    ListenIgnored = "listen-ignored",
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
