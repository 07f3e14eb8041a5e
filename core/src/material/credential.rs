//! Chain and key, from two files or one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::Tag;

use super::bundle::facts;
use super::contents::{Contents, Expected, Key};
use super::finding::{misplaced_crl, misplaced_key, too_many, unparsable, unreadable};
use super::kind::Kind;
use super::{CertificateOnDisk, KeyedCredential, MAX_CHAIN, Part, contents};
use crate::certificate::{self, NotACertificate};
use crate::credential::{Credential, EC_PUBLIC_KEY, PrivateKey, PrivateKeyError};
use crate::crypto;
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::mount::{FileRead, ReadError};

pub(super) fn parse(
    chain: FileRead,
    key: Option<FileRead>,
    on_disk: &mut Vec<CertificateOnDisk>,
    notes: &mut Vec<Finding>,
) -> Part<KeyedCredential> {
    let mut findings = Vec::new();
    if let (Err(error @ ReadError::NotADirectory), true) = (&chain.outcome, share_a_directory(&chain, key.as_ref())) {
        return Part::Broken(vec![unreadable(&chain.path, error)]);
    }
    let (chain_path, key_path) = (chain.path.clone(), key.as_ref().unwrap_or(&chain).path.clone());
    let mut separate = key.map(|file| contents(file, Expected::Key, &mut findings));
    let mut chain = contents(chain, Expected::Certificates, &mut findings);
    if let (Some(chain), Some(Some(key))) = (&chain, &separate)
        && are_swapped(chain, key)
    {
        return Part::Broken(vec![swapped(&chain_path, &key_path)]);
    }
    if let (Some(chain), true) = (&chain, separate.is_some())
        && !chain.certificates.is_empty()
        && !chain.keys.is_empty()
    {
        notes.push(misplaced_key(&chain_path, "certificates"));
    }
    if let Some(chain) = &chain
        && !chain.certificates.is_empty()
        && !chain.crls.is_empty()
    {
        notes.push(misplaced_crl(&chain_path));
    }
    let (keys, is_combined) = match &mut separate {
        Some(key) => (key.as_mut(), false),
        None => (chain.as_mut(), true),
    };
    let key = keys.map(|contents| (std::mem::take(&mut contents.keys), no_key(contents, is_combined)));
    let chain = chain.and_then(|chain| check_chain(chain, &chain_path, on_disk, &mut findings));
    let curve = chain.as_ref().map(|chain| Curve::of(&chain.chain()[0]));
    if let Some(Curve::Explicit) = curve {
        findings.push(explicit_leaf(&chain_path));
        return Part::Broken(findings);
    }
    let key = key.and_then(|(keys, no_key)| {
        usable(keys.into_iter().next(), curve).map_err(|fault| findings.extend(fault.finding(&key_path, &no_key))).ok()
    });
    match (chain, key) {
        (Some(chain), Some(key)) => match KeyedCredential::new(chain, key) {
            Ok(credential) => Part::Whole(credential),
            Err(error) => {
                findings.push(unparsable(&chain_path, error));
                Part::Broken(findings)
            }
        },
        _ => Part::Broken(findings),
    }
}

/// A chain whose key is not looked at.
pub(super) fn parse_chain(
    file: FileRead,
    on_disk: &mut Vec<CertificateOnDisk>,
    notes: &mut Vec<Finding>,
) -> Part<KeyedCredential> {
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(chain) = contents(file, Expected::Certificates, &mut findings) else { return Part::Broken(findings) };
    if !chain.certificates.is_empty() && !chain.crls.is_empty() {
        notes.push(misplaced_crl(&path));
    }
    let Some(chain) = check_chain(chain, &path, on_disk, &mut findings) else { return Part::Broken(findings) };
    if let Curve::Explicit = Curve::of(&chain.chain()[0]) {
        return Part::Broken(vec![explicit_leaf(&path)]);
    }
    match KeyedCredential::of(chain) {
        Ok(credential) => Part::Whole(credential),
        Err(error) => Part::Broken(vec![unparsable(&path, error)]),
    }
}

/// The private key in a file of its own; none where only its leaf tells the curve it is of.
///
/// # Errors
///
/// There is none that can be read.
pub(crate) fn key_alone(file: FileRead) -> Result<Option<PrivateKey>, Vec<Finding>> {
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(mut contents) = contents(file, Expected::Key, &mut findings) else { return Err(findings) };
    let keys = std::mem::take(&mut contents.keys);
    match usable(keys.into_iter().next(), None) {
        Ok(key) => Ok(Some(key)),
        Err(Fault::Unknown) => Ok(None),
        Err(fault) => Err(fault.finding(&path, &no_key(&contents, false)).into_iter().collect()),
    }
}

/// Whether neither file is there for the same reason, which is to be told once.
fn share_a_directory(chain: &FileRead, key: Option<&FileRead>) -> bool {
    key.is_none_or(|key| {
        matches!(key.outcome, Err(ReadError::NotADirectory)) && key.path.parent() == chain.path.parent()
    })
}

fn are_swapped(chain: &Contents, key: &Contents) -> bool {
    chain.certificates.is_empty() && !chain.keys.is_empty() && key.keys.is_empty() && !key.certificates.is_empty()
}

fn swapped(chain: &Path, key: &Path) -> Finding {
    let sentence = format!(
        "{} holds a private key instead of a certificate, and {} a certificate instead of a key: the two are swapped; exchange them",
        chain.display(),
        key.display()
    );
    Finding::new(Check::Unparsable, Severity::Reject, sentence).in_file(chain)
}

/// The chain; its leaf shares its facts with what is on disk.
fn check_chain(
    chain: Contents,
    path: &Path,
    on_disk: &mut Vec<CertificateOnDisk>,
    findings: &mut Vec<Finding>,
) -> Option<Credential> {
    if chain.certificates.is_empty() {
        let expected = "the leaf is expected first, then the intermediates";
        findings.push(match chain.kind() {
            Some(kind) => unparsable(path, format_args!("it holds {kind} instead of a certificate; {}", kind.advice())),
            None => unparsable(path, format_args!("it is empty, and holds no certificate; {expected}")),
        });
        return None;
    }
    if chain.certificates.len() > MAX_CHAIN {
        findings.push(too_many(path, "certificates", chain.certificates.len(), MAX_CHAIN));
        return None;
    }
    let place = on_disk.len();
    match facts(&chain.certificates, &chain.lines, path, on_disk) {
        Ok(()) => Some(Credential::of_leaf(Arc::clone(&on_disk[place].facts), chain.certificates)),
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

/// The words about a file that holds no key.
fn no_key(contents: &Contents, is_combined: bool) -> String {
    match contents.kind() {
        Some(Kind::Certificate) if is_combined => {
            "it holds certificates and no private key, where one file with both is expected; add the key that belongs to the leaf"
                .to_owned()
        }
        Some(kind) => format!("it holds {kind} instead of a private key; {}", kind.advice()),
        None => "it is empty, and holds no private key; write the key that belongs to the leaf into it".to_owned(),
    }
}

/// Why there is no key to use.
enum Fault {
    /// There is none.
    Absent,
    /// It cannot be used.
    Key(PrivateKeyError),
    /// Nobody can tell without a leaf, and there is none.
    Unknown,
}

impl Fault {
    fn finding(self, path: &Path, no_key: &str) -> Option<Finding> {
        match self {
            Self::Absent => Some(unparsable(path, no_key)),
            Self::Key(error @ PrivateKeyError::Malformed(_)) => {
                Some(unparsable(path, format_args!("it is {error}; copy the file again as it was written")))
            }
            Self::Key(error) => {
                let sentence = format!("the private key in {} cannot be used: {error}", path.display());
                Some(Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(path))
            }
            // The finding about the chain says enough.
            Self::Unknown => None,
        }
    }
}

fn usable(key: Option<Key>, leaf: Option<Curve>) -> Result<PrivateKey, Fault> {
    match (key, leaf) {
        (None, _) => Err(Fault::Absent),
        (Some(Key::Whole(key)), _) => Ok(key),
        (Some(Key::Unusable(error)), _) => Err(Fault::Key(error)),
        (Some(Key::NoCurve(der)), Some(Curve::Named(curve))) => {
            PrivateKey::from_sec1_on(&der, curve).map_err(Fault::Key)
        }
        (Some(Key::NoCurve(_)), Some(Curve::Explicit | Curve::None)) => Err(Fault::Key(PrivateKeyError::NoCurve)),
        (Some(Key::NoCurve(_)), None) => Err(Fault::Unknown),
    }
}

/// The curve of a certificate's public key (RFC 5480 §2.1.1).
#[derive(Clone, Copy)]
enum Curve {
    /// It is no EC key.
    None,
    Named(ObjectIdentifier),
    /// Its parameters are there instead of its name, which RFC 5480 forbids.
    Explicit,
}

impl Curve {
    fn of(der: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = certificate::parse(der) else { return Self::None };
        let algorithm = &certificate.public_key().algorithm;
        match &algorithm.parameters {
            Some(parameters) if algorithm.algorithm.as_bytes() == EC_PUBLIC_KEY.as_bytes() => match parameters.tag() {
                Tag::Sequence => Self::Explicit,
                _ => ObjectIdentifier::from_bytes(parameters.data).map_or(Self::None, Self::Named),
            },
            _ => Self::None,
        }
    }
}

fn explicit_leaf(path: &Path) -> Finding {
    let sentence = format!(
        "the leaf, the first certificate of {}, has a public key with explicit curve parameters instead of a named curve; have a \
         certificate issued for a key that names its curve: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        path.display()
    );
    Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(path)
}

impl KeyedCredential {
    fn new(chain: Credential, key: PrivateKey) -> Result<Self, NotACertificate> {
        let public_key = crypto::signing_key(&key)
            .ok()
            .and_then(|key| key.public_key().map(|public_key| Digest::fingerprint(&public_key)));
        Ok(Self { public_key, ..Self::of(chain.with_key(key))? })
    }

    /// A chain that is taken as if the leaf's key were there.
    fn of(credential: Credential) -> Result<Self, NotACertificate> {
        let leaf = certificate::parse(&credential.chain()[0])?;
        let leaf_public_key = Digest::fingerprint(leaf.public_key().raw);
        Ok(Self { credential: Arc::new(credential), public_key: Some(leaf_public_key), leaf_public_key })
    }
}

impl fmt::Debug for KeyedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.credential, f)
    }
}
