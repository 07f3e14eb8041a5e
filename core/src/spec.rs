//! The specification of an identity: its files, and the expectations of their content.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::finding::Severities;
use crate::identity::{IdentityId, Scope};
use crate::spiffe::TrustDomain;

/// One identity to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySpec {
    /// Its name and scope.
    pub id: IdentityId,
    /// Its files.
    pub files: FileSet,
    /// The expectations of their content.
    pub expectations: Expectations,
    /// For how long, at the most, anchors that left a [`BundleFile::OfCredential`] stay trusted beside those that replaced them; zero:
    /// not at all. cert-manager rewrites `ca.crt` Secret by Secret, so peers may have the other CA's leaf for a while.
    pub overlap: Duration,
}

impl IdentitySpec {
    /// The UID of the pod, of one of whose volumes it is.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        match &self.id.scope {
            Scope::Pod(uid) => Some(uid),
            Scope::Node => None,
        }
    }

    /// The default of [`IdentitySpec::overlap`], and the longest there is.
    pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);
}

/// The files of one identity. Files in one directory are read as one coherent set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSet {
    /// Chain and key; absent for an identity that only trusts.
    pub credential: Option<CredentialFiles>,
    /// Trust anchors; absent for an identity that only presents a credential.
    pub bundle: Option<BundleFile>,
    /// Certificate revocation lists for the peers that those anchors vouch for.
    pub crls: Vec<CrlFile>,
    /// The trust anchors of federated trust domains, as absolute paths.
    pub federated: BTreeMap<TrustDomain, PathBuf>,
    /// Directories that hold what somebody else may have written, such as a volume of a pod, as absolute paths. A file beneath one is read
    /// without ever leaving it: no symbolic link, no `..` and no mount leads out of it. The files of one are read as one set.
    pub volumes: Vec<PathBuf>,
}

/// Where chain and key are, as absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFiles {
    /// Two files.
    Pair {
        /// The chain, leaf first.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// One file that holds key and chain, in either order (`tls-combined.pem`, a Kubernetes pod credential bundle).
    Combined(PathBuf),
    /// The chain alone, leaf first, for whoever judges certificates without their keys: it is taken as if the leaf's key were there, and no
    /// handshake can be made with it.
    Chain(PathBuf),
}

impl CredentialFiles {
    /// The files of chain and key. One file for both is a file that holds both.
    #[must_use]
    pub fn new(chain: PathBuf, key: PathBuf) -> Self {
        if chain == key { Self::Combined(chain) } else { Self::Pair { chain, key } }
    }

    /// The file that holds the chain.
    #[must_use]
    pub fn chain(&self) -> &Path {
        match self {
            Self::Pair { chain, .. } | Self::Combined(chain) | Self::Chain(chain) => chain,
        }
    }

    /// The file that holds the key; of a chain alone, that of the chain.
    #[must_use]
    pub fn key(&self) -> &Path {
        match self {
            Self::Pair { key, .. } | Self::Combined(key) | Self::Chain(key) => key,
        }
    }
}

/// Where the trust anchors are, as an absolute path, and what the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleFile {
    /// The `ca.crt` beside the credential: what its issuer left there. It may be missing (ACME issuers leave none).
    OfCredential(PathBuf),
    /// A bundle of its own (trust-manager), which decides alone whom to trust.
    Dedicated(PathBuf),
}

impl BundleFile {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::OfCredential(path) | Self::Dedicated(path) => path,
        }
    }
}

/// Where certificate revocation lists are, as an absolute path, and whether they have to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrlFile {
    /// Beside the credential: it may be missing.
    OfCredential(PathBuf),
    /// A file of its own, which was asked for: nothing is published before it was there.
    Dedicated(PathBuf),
}

impl CrlFile {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::OfCredential(path) | Self::Dedicated(path) => path,
        }
    }
}

impl FileSet {
    /// The file whose readers may have the identity: that of the key, or the bundle where there is no key.
    #[must_use]
    pub fn deciding(&self) -> Option<&Path> {
        self.credential.as_ref().map(CredentialFiles::key).or(self.bundle.as_ref().map(BundleFile::path))
    }

    /// Every file, without repetition.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let [chain, key, bundle] = self.single();
        let several = self.crls.iter().map(CrlFile::path).chain(self.federated.values().map(PathBuf::as_path));
        [chain, key, bundle].into_iter().flatten().chain(several)
    }

    /// The files of the chain, the key and the bundle. A file that holds key and chain is the chain's.
    pub(crate) fn single(&self) -> [Option<&Path>; 3] {
        let (chain, key) = match &self.credential {
            None => (None, None),
            Some(CredentialFiles::Pair { chain, key }) => (Some(chain.as_path()), Some(key.as_path())),
            Some(CredentialFiles::Combined(file) | CredentialFiles::Chain(file)) => (Some(file.as_path()), None),
        };
        [chain, key, self.bundle.as_ref().map(BundleFile::path)]
    }
}

/// The expectations of an identity's files. Begin with the default, which demands nothing but what every handshake does, and set what is demanded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expectations {
    /// The roles the leaf must allow; empty: no demand.
    pub usages: Vec<Usage>,
    /// DNS names that must be among the leaf's subject alternative names.
    pub dns_names: Vec<String>,
    /// IP addresses that must be among them.
    pub ip_addresses: Vec<IpAddr>,
    /// URIs that must be among them.
    pub uris: Vec<String>,
    /// How strictly a credential is admitted.
    pub admission: Admission,
    /// Whether a credential must chain to the bundle it is served with.
    pub require_chain: RequireChain,
    /// The severities of findings that are to differ from [`Check::severities`](crate::finding::Check::severities).
    pub severities: Severities,
    /// When renewal is due.
    pub renewal: Renewal,
    /// The longest lifetime that passes without a word.
    pub max_lifetime: Duration,
    /// How far this clock may be behind or ahead of the issuer's: a leaf that becomes valid within this span is admitted.
    pub clock_skew: Duration,
}

impl Expectations {
    /// The default of [`Expectations::clock_skew`].
    pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

    /// The default of [`Expectations::max_lifetime`]: 398 days, the most that browsers took of a server's certificate until 2026.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(398 * 24 * 3600);
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            usages: Vec::new(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            uris: Vec::new(),
            admission: Admission::default(),
            require_chain: RequireChain::default(),
            severities: Severities::default(),
            renewal: Renewal::default(),
            max_lifetime: Self::MAX_LIFETIME,
            clock_skew: Self::CLOCK_SKEW,
        }
    }
}

/// When the issuer is expected to issue the next credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Renewal {
    /// When a third of the leaf's lifetime is left.
    #[default]
    LastThird,
    /// This long before the leaf's end or, where its lifetime is no longer than this, as [`Renewal::LastThird`].
    Before(Duration),
    /// Never: it is renewed by hand, or not at all.
    Never,
}

/// How strictly a credential is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Admission {
    /// Every finding of severity reject rejects.
    #[default]
    Enforce,
    /// Only what no handshake can use is rejected; the rest is reported.
    Observe,
}

/// Whether a credential must chain to the bundle it would be served with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RequireChain {
    /// It must where the bundle came beside the credential; a warning where the bundle is a dedicated one.
    #[default]
    Auto,
    /// It must.
    Always,
    /// It need not; a warning.
    Never,
}

/// A use of a certificate, in the words of cert-manager's `Certificate` resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Usage {
    /// `server auth`: extended key usage id-kp-serverAuth.
    ServerAuth,
    /// `client auth`: extended key usage id-kp-clientAuth.
    ClientAuth,
    /// `digital signature` (cert-manager also says `signing`): key usage bit 0.
    DigitalSignature,
    /// `key encipherment`: key usage bit 2.
    KeyEncipherment,
    /// `key agreement`: key usage bit 4.
    KeyAgreement,
    /// `content commitment`: key usage bit 1.
    ContentCommitment,
    /// `data encipherment`: key usage bit 3.
    DataEncipherment,
    /// `any`: extended key usage anyExtendedKeyUsage.
    Any,
    /// `code signing`: extended key usage id-kp-codeSigning.
    CodeSigning,
    /// `email protection` (cert-manager also says `s/mime`): extended key usage id-kp-emailProtection.
    EmailProtection,
    /// `timestamping`: extended key usage id-kp-timeStamping.
    Timestamping,
    /// `ocsp signing`: extended key usage id-kp-OCSPSigning.
    OcspSigning,
}

impl Usage {
    /// Every usage with its words; the first word is the one to print.
    const WORDS: [(Self, &'static [&'static str]); 12] = [
        (Self::ServerAuth, &["server auth"]),
        (Self::ClientAuth, &["client auth"]),
        (Self::DigitalSignature, &["digital signature", "signing"]),
        (Self::KeyEncipherment, &["key encipherment"]),
        (Self::KeyAgreement, &["key agreement"]),
        (Self::ContentCommitment, &["content commitment"]),
        (Self::DataEncipherment, &["data encipherment"]),
        (Self::Any, &["any"]),
        (Self::CodeSigning, &["code signing"]),
        (Self::EmailProtection, &["email protection", "s/mime"]),
        (Self::Timestamping, &["timestamping"]),
        (Self::OcspSigning, &["ocsp signing"]),
    ];

    /// cert-manager's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(usage, _)| *usage == self).map_or("", |(_, words)| words[0])
    }
}

impl std::str::FromStr for Usage {
    type Err = UnknownUsage;

    fn from_str(word: &str) -> Result<Self, UnknownUsage> {
        Self::WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(usage, _)| *usage).ok_or(UnknownUsage)
    }
}

/// A word that is no usage of cert-manager's that can be checked here. Carries nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown usage; usages are cert-manager's words: {known}",
    known = Usage::WORDS.map(|(_, words)| format!("{:?}", words[0])).join(", ")
)]
pub struct UnknownUsage;
