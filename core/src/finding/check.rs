//! The checks: one table, from which their names, clauses, severities and words are.

use std::fmt;

use super::Severity;

/// The thing that a check judges, and with that the consequence it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The files, before it matters what is in them.
    Files,
    /// The chain and its key, which may be rejected.
    Credential,
    /// The bundle, its CRLs, and what they say of the credential that is served. What makes them unusable rejects, and nothing else: the trust
    /// that was asked for is in force.
    Trust,
    /// The node beside the files of one identity: names, directories, state and listeners.
    Node,
}

impl Subject {
    /// The word for machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Credential => "credential",
            Self::Trust => "trust",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a rejection by a check leaves anything to be decided.
#[derive(PartialEq, Eq)]
enum Latitude {
    /// Some peer may take what it rejects.
    Open,
    /// No handshake with any peer can succeed with what it rejects. cert-manager's temporary certificate is counted among them: it is a
    /// placeholder that nobody trusts.
    Fixed,
}

/// What the table says of a check.
struct Entry {
    id: &'static str,
    subject: Subject,
    severities: &'static [Severity],
    latitude: Latitude,
    clause: &'static str,
    /// With the space that begins a doc comment.
    meaning: &'static str,
    explanation: &'static str,
}

macro_rules! checks {
    ($(#[doc = $meaning:literal] $variant:ident = $id:literal, $subject:ident, [$($severity:ident),+], $latitude:ident, $clause:literal;)*) => {
        /// The stable names of the checks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $(#[doc = $meaning] $variant,)*
        }

        impl Check {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$variant => &Entry {
                        id: $id,
                        subject: Subject::$subject,
                        severities: &[$(Severity::$severity),+],
                        latitude: Latitude::$latitude,
                        clause: $clause,
                        meaning: $meaning,
                        explanation: include_str!(concat!("explanations/", $id, ".txt")),
                    },)*
                }
            }
        }
    };
}

// A check is: its meaning, its name, its subject, its severities, whether what it rejects is of no use to anybody, and its clause. Its
// explanation is the file of its name.
checks! {
    /// A configured file is not there.
    FileMissing = "file-missing", Files, [Reject], Fixed, "policy";
    /// A file cannot be read.
    FileUnreadable = "file-unreadable", Files, [Reject], Fixed, "policy";
    /// In place of a file is something else: a FIFO, a device, a directory.
    NotRegular = "not-a-regular-file", Files, [Reject], Fixed, "policy";
    /// A file is in the place where the directory of another should be.
    NotADirectory = "not-a-directory", Files, [Reject], Fixed, "policy";
    /// A file of a volume is a symbolic link, or its path leads out of the volume.
    OutsideVolume = "outside-volume", Files, [Reject], Fixed, "policy";
    /// A file, or its directory, is mounted by itself, and was deleted where it is mounted from.
    StaleFileMount = "stale-file-mount", Files, [Warn, Reject], Fixed, "policy";
    /// A file, chain or bundle is over its limit.
    TooLarge = "too-large", Files, [Reject], Fixed, "policy";
    /// The files kept changing while they were read.
    TornRead = "torn-read", Files, [Reject], Fixed, "RFC 8446 §4.4.3";
    /// A directory did not answer within the deadline of a read.
    MountUnresponsive = "mount-unresponsive", Node, [Warn], Open, "policy";
    /// A file's content cannot be parsed.
    Unparsable = "unparsable", Files, [Reject], Fixed, "RFC 5280 §4.1";
    /// No peer can load the chain that is to be presented.
    Unloadable = "unloadable", Credential, [Warn, Reject], Fixed, "RFC 5280 §4.1, §4.2";
    /// A serial number is zero, negative or longer than 20 octets.
    SerialNumber = "serial-number", Credential, [Warn], Open, "RFC 5280 §4.1.2.2";
    /// A key or signature is of ML-DSA, which some peers lack.
    PostQuantum = "post-quantum", Credential, [Info], Open, "RFC 9881";
    /// The private key is not the leaf's.
    KeyMismatch = "key-mismatch", Credential, [Reject], Fixed, "RFC 8446 §4.4.3";
    /// The key of the served certificate is not in memory, and no longer on disk.
    KeyNotInMemory = "key-not-in-memory", Node, [Warn], Open, "policy";
    /// The key is of a kind or size that no handshake here can use.
    KeyUnsupported = "key-unsupported", Credential, [Reject], Fixed, "RFC 8446 §4.2.3";
    /// Every user of the host may read the file of the private key.
    KeyWorldReadable = "key-world-readable", Credential, [Warn], Open, "policy";
    /// Another identity on the node serves the same key for other names.
    KeyShared = "key-shared", Node, [Warn], Open, "policy";
    /// A file of certificates holds a private key.
    KeyMisplaced = "key-misplaced", Files, [Warn], Open, "policy";
    /// The leaf is not the first certificate of the chain.
    LeafNotFirst = "leaf-not-first", Credential, [Reject], Fixed, "RFC 8446 §4.4.2";
    /// The certificates after the leaf are not in issuing order.
    ChainOrder = "chain-order", Credential, [Warn], Open, "RFC 8446 §4.4.2";
    /// A self-signed root travels in the chain.
    RootInChain = "root-in-chain", Credential, [Info], Open, "RFC 8446 §4.4.2";
    /// The credential does not chain to the bundle it would be served with.
    ChainUntrusted = "chain-untrusted", Credential, [Warn, Reject], Open, "RFC 5280 §6.1";
    /// A certificate of the path is signed over SHA-1, MD5 or an older digest.
    WeakSignature = "weak-signature", Credential, [Reject], Open, "RFC 8446 §4.2.3";
    /// A certificate's authority key identifier is not that of its issuer.
    KeyIdentifier = "key-identifier", Credential, [Warn], Open, "RFC 5280 §4.2.1.1, §4.2.1.2";
    /// The name constraints of a CA are not critical.
    NameConstraints = "name-constraints", Credential, [Warn], Open, "RFC 5280 §4.2.1.10";
    /// There is no bundle to chain to.
    NoBundle = "no-bundle", Credential, [Info, Reject], Open, "RFC 5280 §6.1";
    /// The bundle no longer trusts the credential that is served.
    OwnLeafUntrusted = "own-leaf-untrusted", Trust, [Warn], Open, "RFC 5280 §6.1";
    /// A bundle on the node lost an anchor that a leaf which is served there is under.
    AnchorLost = "anchor-lost", Trust, [Warn], Open, "RFC 4210 §4.4";
    /// The leaf has no bundle beside it, and no bundle on the node trusts its issuer.
    IssuerUntrusted = "issuer-untrusted", Trust, [Warn], Open, "RFC 5280 §6.1";
    /// A CRL revokes the leaf, or an intermediate of its chain.
    LeafRevoked = "leaf-revoked", Credential, [Reject], Open, "RFC 5280 §6.3";
    /// The next CRL is overdue.
    CrlStale = "crl-stale", Trust, [Warn], Open, "RFC 5280 §5.1.2.5";
    /// A CRL revokes nobody, since its issuer may not sign any.
    CrlIssuer = "crl-issuer", Trust, [Info, Warn], Open, "RFC 5280 §6.3.3";
    /// A CRL is not signed by the CA of its issuer's name.
    CrlSignature = "crl-signature", Trust, [Reject], Open, "RFC 5280 §6.3.3";
    /// Something that a CRL says is not applied.
    CrlScope = "crl-scope", Trust, [Warn], Open, "RFC 5280 §5.2.4, §5.2.5";
    /// Anchors that left the credential's `ca.crt` are still trusted.
    TrustOverlap = "trust-overlap", Node, [Warn], Open, "RFC 4210 §4.4";
    /// The overlap of a replaced `ca.crt` is not written down as it is, or the one written down cannot be read.
    StateNotWritten = "state-not-written", Node, [Warn], Open, "policy";
    /// The leaf, or every anchor, has expired.
    Expired = "expired", Credential, [Reject], Fixed, "RFC 5280 §4.1.2.5";
    /// The leaf is not valid yet.
    NotYetValid = "not-yet-valid", Credential, [Warn], Open, "RFC 5280 §4.1.2.5";
    /// notBefore is not before notAfter.
    ValidityReversed = "validity-reversed", Credential, [Reject], Fixed, "RFC 5280 §4.1.2.5";
    /// The leaf was issued before one that was served already.
    RolledBack = "rolled-back", Credential, [Warn], Open, "policy";
    /// The leaf lives longer than is configured.
    LongLived = "long-lived", Credential, [Info], Open, "policy";
    /// An issuer in the chain ends before the leaf does.
    IssuerExpiresFirst = "issuer-expires-first", Credential, [Warn], Open, "RFC 5280 §6.1.3";
    /// One anchor of the bundle has expired.
    AnchorExpired = "anchor-expired", Trust, [Warn], Open, "RFC 5280 §4.1.2.5";
    /// An anchor forbids the path by what rustls does not look at, and other TLS stacks do.
    AnchorConstraint = "anchor-constraint", Credential, [Warn], Open, "RFC 5280 §4.2.1.9, §4.2.1.12";
    /// A certificate of the bundle can be nobody's anchor.
    AnchorUnusable = "anchor-unusable", Trust, [Warn, Reject], Open, "RFC 5280 §4.2.1.9";
    /// The bundle holds no certificate.
    BundleEmpty = "bundle-empty", Trust, [Reject], Open, "policy";
    /// The extended key usage lacks a configured usage.
    ExtendedKeyUsage = "extended-key-usage", Credential, [Warn, Reject], Open, "RFC 5280 §4.2.1.12";
    /// The key usage lacks what a handshake or a configured usage needs.
    KeyUsage = "key-usage", Credential, [Warn, Reject], Open, "RFC 5280 §4.2.1.3";
    /// The leaf is of a public CA and for clients, for which public CAs stop to issue.
    ClientAuthEnding = "client-auth-ending", Credential, [Warn], Open, "policy";
    /// The leaf is a CA, or an anchor could be a leaf by its names.
    LeafIsCa = "leaf-is-ca", Credential, [Info, Reject], Open, "RFC 5280 §4.2.1.9";
    /// The leaf is no CA, but may sign certificates or CRLs, or constrains names, as only a CA does.
    LeafAuthority = "leaf-authority", Credential, [Warn, Reject], Open, "RFC 5280 §4.2.1.3, §4.2.1.10";
    /// The leaf has no subject alternative name.
    NoSan = "no-san", Credential, [Warn, Reject], Open, "RFC 9525 §2";
    /// No name of the leaf is one that a peer can be asked for, or some peers refuse it for one of them.
    NameUnusable = "name-unusable", Credential, [Info, Warn], Open, "RFC 5280 §4.2.1.6";
    /// The leaf claims a SPIFFE ID and is no X.509-SVID.
    SpiffeId = "spiffe-id", Credential, [Warn, Reject], Open, "X509-SVID §2, §5.2; SPIFFE-ID §2";
    /// A configured name is not among the leaf's subject alternative names.
    NameMissing = "name-missing", Credential, [Reject], Open, "RFC 9525 §6.3";
    /// cert-manager's temporary certificate, which it replaces as soon as the issuer answers.
    TemporaryCertificate = "temporary-certificate", Credential, [Reject], Fixed, "cert-manager";
    /// Renewal is overdue.
    RenewalOverdue = "renewal-overdue", Credential, [Warn], Open, "cert-manager";
    /// The kubelet has stopped to refresh a volume with a pod certificate.
    VolumeNotRefreshed = "volume-not-refreshed", Credential, [Warn], Open, "KEP-4317";
    /// Another identity has the same name.
    NameCollision = "name-collision", Node, [Warn], Open, "policy";
    /// The directory in which identities were found is out of sight.
    DirectoryAway = "directory-away", Node, [Warn], Open, "policy";
    /// No directory matches a pattern.
    DirectoryUnmatched = "directory-unmatched", Node, [Info, Warn], Open, "policy";
    /// A directory has a name that no identity can have.
    DirectoryName = "directory-name", Node, [Warn], Open, "policy";
    /// Metrics, liveness and readiness are not served.
    HttpUnavailable = "http-unavailable", Node, [Warn], Open, "policy";
    /// A configured address is not used, since another was handed over.
    ListenIgnored = "listen-ignored", Node, [Warn], Open, "policy";
}

impl Check {
    /// The stable name: in logs, on the wire, as a metric label and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().id
    }

    /// The check of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.as_str() == name)
    }

    /// The thing that it judges.
    #[must_use]
    pub fn subject(self) -> Subject {
        self.entry().subject
    }

    /// The severities that its findings have where nothing else is configured, the mildest first: which of them depends on what is found.
    #[must_use]
    pub fn severities(self) -> &'static [Severity] {
        self.entry().severities
    }

    /// Whether a rejection by it means that no handshake with any peer can succeed: then nothing softens it.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        self.entry().latitude == Latitude::Fixed
    }

    /// The clause that it comes from, such as `RFC 5280 §4.1.2.5`; `policy` where it is nobody's but this project's.
    #[must_use]
    pub fn clause(self) -> &'static str {
        self.entry().clause
    }

    /// What it means, as one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.entry().meaning.trim_start()
    }

    /// The page about it: what was found, why that matters to a peer, and what to do. Paragraphs of lines of at most 100 characters.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        self.entry().explanation
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_a_clause_severities_a_meaning_and_a_page() {
        let mut names = BTreeSet::new();
        for check in Check::ALL {
            let name = check.as_str();
            assert!(names.insert(name), "{name} twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            assert_eq!(Check::named(name), Some(*check));
            assert!(!check.clause().is_empty(), "{name}");
            assert!(!check.severities().is_empty() && check.severities().is_sorted(), "{name}");
            let meaning = check.meaning();
            assert!(meaning.ends_with('.') && !meaning.contains('\n') && meaning.len() < 160, "{name}: {meaning}");
            let page = check.explanation();
            assert!(page.ends_with(".\n") && page.split("\n\n").count() >= 2, "{name}: a finding and what to do");
            assert!(page.lines().all(|line| line.chars().count() <= 100 && line == line.trim_end()), "{name}");
            assert!(!page.contains("\n\n\n"), "{name}");
        }
        assert_eq!(Check::named("nothing"), None);
    }

    #[test]
    fn a_check_that_no_handshake_survives_rejects_and_is_about_what_is_presented() {
        for check in Check::ALL.iter().filter(|check| check.is_fatal()) {
            assert!(check.severities().contains(&Severity::Reject), "{check}");
            assert!(matches!(check.subject(), Subject::Files | Subject::Credential), "{check}");
        }
    }

    #[test]
    fn nothing_on_the_node_rejects_an_identity() {
        let mut of_node = Check::ALL.iter().filter(|check| check.subject() == Subject::Node);
        assert!(of_node.all(|check| !check.severities().contains(&Severity::Reject)));
    }

    #[test]
    fn every_page_is_of_a_check() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/finding/explanations");
        for page in std::fs::read_dir(directory).unwrap() {
            let name = page.unwrap().file_name().into_string().unwrap();
            assert!(Check::named(name.trim_end_matches(".txt")).is_some(), "{name}");
        }
    }
}
