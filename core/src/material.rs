//! What the files of one reading parse to: pure, without a clock, and small enough to be kept for every identity.

mod contents;
mod crls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::bundle::Bundle;
use crate::certificate::{self, CertificateFacts, Name, NotACertificate};
use crate::check::{Check, Finding, Severity, Trusted};
use crate::credential::{Credential, CredentialError, PrivateKey, PrivateKeyError};
use crate::crypto;
use crate::digest::Digest;
use crate::intern::Interner;
use crate::mount::{FileRead, KeyAccess, ReadError, Reading};
use crate::spec::{BundleFile, IdentitySpec};
use contents::{ContentError, Contents};
pub use crls::MAX_CRLS;
pub(crate) use crls::{Crls, gone};

/// The most certificates a chain may have.
pub const MAX_CHAIN: usize = 100;

/// The most anchors a bundle may have.
pub const MAX_ANCHORS: usize = 10_000;

/// What the files of one reading parse to: a credential and a bundle, each whole or with the reasons why there is none.
/// What they are worth is for [`assess`](crate::check::assess) to say.
#[derive(Debug, Clone)]
pub struct Material {
    pub(crate) credential: Part<KeyedCredential>,
    pub(crate) bundle: Part<Arc<Bundle>>,
    /// In the order of [`FileSet::crls`](crate::spec::FileSet::crls).
    pub(crate) crls: Vec<Part<Crls>>,
    /// In the order of [`FileSet::federated`](crate::spec::FileSet::federated).
    pub(crate) federated: Vec<Part<Arc<Bundle>>>,
    on_disk: Arc<[CertificateOnDisk]>,
    crls_on_disk: Arc<[CrlOnDisk]>,
    key_access: Option<Arc<KeyAccess>>,
    /// The files of which a mount shows what is no more.
    pub(crate) stale_mounts: Box<[PathBuf]>,
}

/// One certificate in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOnDisk {
    /// The file it is in.
    pub file: Arc<Path>,
    /// The certificate. Of one that many identities have on disk, they share the facts.
    pub facts: Arc<CertificateFacts>,
}

/// One certificate revocation list in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlOnDisk {
    /// The file it is in.
    pub file: PathBuf,
    /// Who issued it.
    pub issuer: Name,
    /// Its number, in decimal (RFC 5280 §5.2.3); absent if it has none.
    pub number: Option<String>,
    /// When it was issued.
    pub this_update: SystemTime,
    /// By when the next one was promised; absent if that was left open.
    pub next_update: Option<SystemTime>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// One of the two things an identity's files amount to.
#[derive(Debug, Clone)]
pub(crate) enum Part<T> {
    /// Nobody asked for it.
    NotWanted,
    /// It was read.
    Whole(T),
    /// Its file is not there, which is lawful.
    Missing,
    /// It could not be read or parsed; the findings say why.
    Broken(Vec<Finding>),
}

/// A credential with the public key that its private key has, which stays when the private key goes.
#[derive(Clone)]
pub(crate) struct KeyedCredential {
    pub(crate) credential: Arc<Credential>,
    /// SHA-256 of the `SubjectPublicKeyInfo`; absent where the crypto provider cannot use the key.
    pub(crate) public_key: Option<Digest>,
    /// SHA-256 of the leaf's `SubjectPublicKeyInfo`.
    pub(crate) leaf_public_key: Digest,
}

impl Material {
    /// Parses what was read. The bytes of the files, keys among them, are wiped.
    #[must_use]
    pub fn parse(spec: &IdentitySpec, reading: Reading) -> Self {
        let guarded = match &spec.files.credential {
            Some(_) => reading.key.as_ref().or(reading.chain.as_ref()),
            None => reading.bundle.as_ref(),
        };
        let key_access = guarded.and_then(|file| file.access.clone());
        let stale_mounts = reading.stale_mounts().map(Path::to_owned).collect();
        let mut on_disk = Vec::new();
        let credential = match (&spec.files.credential, reading.chain) {
            (Some(_), Some(chain)) => credential(chain, reading.key, &mut on_disk),
            _ => Part::NotWanted,
        };
        let mut crls_on_disk = Vec::new();
        let own = match (&spec.files.bundle, reading.bundle) {
            (Some(wanted), Some(file)) => bundle(wanted, file, &mut on_disk, &mut crls_on_disk),
            _ => Part::NotWanted,
        };
        let crls = spec.files.crls.iter().zip(reading.crls);
        let crls = crls.map(|(wanted, file)| crls::parse(wanted, file, &mut crls_on_disk)).collect();
        let federated = reading.federated.into_iter().map(|file| {
            let wanted = BundleFile::Dedicated(file.path.clone());
            bundle(&wanted, file, &mut on_disk, &mut crls_on_disk)
        });
        let federated = federated.collect();
        let (on_disk, crls_on_disk) = (on_disk.into(), crls_on_disk.into());
        Self { credential, bundle: own, crls, federated, on_disk, crls_on_disk, key_access, stale_mounts }
    }

    /// The certificates in the files, whatever they are worth.
    #[must_use]
    pub fn on_disk(&self) -> &Arc<[CertificateOnDisk]> {
        &self.on_disk
    }

    /// The certificate revocation lists in the files, whatever they are worth.
    #[must_use]
    pub fn crls_on_disk(&self) -> &Arc<[CrlOnDisk]> {
        &self.crls_on_disk
    }

    /// Who could read the key, or the bundle of an identity without one, when it was read; absent where it was not.
    pub(crate) fn key_access(&self) -> Option<&Arc<KeyAccess>> {
        self.key_access.as_ref()
    }

    /// Whether the files hold this credential, which is good: the same chain, and the key of its leaf.
    pub(crate) fn holds(&self, credential: &Credential) -> bool {
        matches!(&self.credential, Part::Whole(keyed)
            if keyed.credential.chain() == credential.chain() && keyed.public_key == Some(keyed.leaf_public_key))
    }

    /// Wipes the private key. That it is the leaf's stays known.
    pub(crate) fn forget_key(&mut self) {
        if let Part::Whole(keyed) = &mut self.credential
            && keyed.credential.key().is_some()
        {
            keyed.credential = Arc::new(keyed.credential.without_key());
        }
    }

    /// The credential in the files if it is this one, with its key.
    pub(crate) fn with_key(&self, credential: &Credential) -> Option<&Arc<Credential>> {
        match &self.credential {
            Part::Whole(keyed) if keyed.credential.key().is_some() && self.holds(credential) => Some(&keyed.credential),
            _ => None,
        }
    }

    /// Lets go of what other identities hold already, of the same file or another that is equal.
    pub(crate) fn intern(&mut self, interner: &Interner) {
        for part in std::iter::once(&mut self.bundle).chain(&mut self.federated) {
            if let Part::Whole(bundle) = part {
                *bundle = interner.bundle(bundle);
            }
        }
        // It was just parsed: nobody else has it.
        for certificate in Arc::get_mut(&mut self.on_disk).into_iter().flatten() {
            certificate.facts = interner.facts(&certificate.facts);
        }
    }

    /// Lets go of what others hold already: of ten thousand identities everything is in memory once.
    pub(crate) fn share(
        &mut self,
        credential: Option<&Arc<Credential>>,
        trusted: &Trusted,
        on_disk: &Arc<[CertificateOnDisk]>,
        crls_on_disk: &Arc<[CrlOnDisk]>,
    ) {
        let held = credential.filter(|credential| self.holds(credential));
        if let (Part::Whole(own), Some(shared)) = (&mut self.credential, held) {
            own.credential = Arc::clone(shared);
        }
        self.bundle.share(trusted.bundle.as_ref());
        for part in &mut self.crls {
            trusted.crls.values().for_each(|held| part.share(Some(held)));
        }
        for part in &mut self.federated {
            trusted.federated.values().for_each(|held| part.share(Some(held)));
        }
        if self.on_disk == *on_disk {
            self.on_disk = Arc::clone(on_disk);
        }
        if self.crls_on_disk == *crls_on_disk {
            self.crls_on_disk = Arc::clone(crls_on_disk);
        }
    }
}

impl<T: PartialEq + ?Sized> Part<Arc<T>> {
    fn share(&mut self, held: Option<&Arc<T>>) {
        if let (Self::Whole(own), Some(held)) = (self, held)
            && own == held
        {
            *own = Arc::clone(held);
        }
    }
}

fn credential(chain: FileRead, key: Option<FileRead>, on_disk: &mut Vec<CertificateOnDisk>) -> Part<KeyedCredential> {
    let mut findings = Vec::new();
    let key_path = key.as_ref().unwrap_or(&chain).path.clone();
    let separate = key.map(|file| contents(file, &mut findings));
    let chain_path = chain.path.clone();
    let chain = contents(chain, &mut findings);
    let (certificates, keys) = match (chain, separate) {
        (Some(chain), None) => (Some(chain.certificates), Some(chain.keys)),
        (chain, Some(key)) => (chain.map(|chain| chain.certificates), key.map(|key| key.keys)),
        (None, None) => (None, None),
    };
    let certificates =
        certificates.and_then(|certificates| check_chain(certificates, &chain_path, on_disk, &mut findings));
    let key = keys.and_then(|keys| first_key(keys, &key_path, &mut findings));
    match (certificates, key) {
        (Some(certificates), Some(key)) => match KeyedCredential::new(certificates, key) {
            Ok(credential) => Part::Whole(credential),
            Err(error) => {
                findings.push(unparsable(&chain_path, error));
                Part::Broken(findings)
            }
        },
        _ => Part::Broken(findings),
    }
}

fn check_chain(
    certificates: Vec<CertificateDer<'static>>,
    path: &Path,
    on_disk: &mut Vec<CertificateOnDisk>,
    findings: &mut Vec<Finding>,
) -> Option<Vec<CertificateDer<'static>>> {
    if certificates.is_empty() {
        findings.push(unparsable(path, "it holds no certificate; the leaf is expected first, then the intermediates"));
        return None;
    }
    if certificates.len() > MAX_CHAIN {
        findings.push(too_many(path, "the chain", certificates.len(), MAX_CHAIN));
        return None;
    }
    match facts(&certificates, path, on_disk) {
        Ok(()) => Some(certificates),
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

fn first_key(
    keys: Vec<Result<PrivateKey, PrivateKeyError>>,
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Option<PrivateKey> {
    use PrivateKeyError as E;
    match keys.into_iter().next() {
        Some(Ok(key)) => return Some(key),
        Some(Err(error @ E::Malformed(_))) => findings.push(unparsable(path, error)),
        Some(Err(error @ (E::NoCurve | E::Encrypted | E::Unsupported))) => {
            let sentence = format!("the private key cannot be used: {error}");
            findings.push(Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(path));
        }
        None => findings.push(unparsable(path, "it holds no private key")),
    }
    None
}

fn bundle(
    wanted: &BundleFile,
    file: FileRead,
    on_disk: &mut Vec<CertificateOnDisk>,
    crls_on_disk: &mut Vec<CrlOnDisk>,
) -> Part<Arc<Bundle>> {
    if matches!((wanted, &file.outcome), (BundleFile::OfCredential(_), Err(ReadError::Missing))) {
        return Part::Missing;
    }
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(contents) = contents(file, &mut findings) else { return Part::Broken(findings) };
    let anchors = contents.certificates;
    if anchors.is_empty() {
        let sentence =
            "the bundle holds no certificate; an identity that should trust nobody has no bundle file at all";
        return Part::Broken(vec![Finding::new(Check::BundleEmpty, Severity::Reject, sentence).in_file(&path)]);
    }
    if anchors.len() > MAX_ANCHORS {
        return Part::Broken(vec![too_many(&path, "the bundle", anchors.len(), MAX_ANCHORS)]);
    }
    match facts(&anchors, &path, on_disk).and_then(|()| crls::facts(&contents.crls, &path, crls_on_disk)) {
        Ok(()) => Part::Whole(Arc::new(Bundle::new(anchors, contents.crls))),
        Err(finding) => Part::Broken(vec![finding]),
    }
}

/// Notes the certificates as being on disk; the first that cannot be parsed is a finding about all of them.
fn facts(
    certificates: &[CertificateDer<'static>],
    path: &Path,
    on_disk: &mut Vec<CertificateOnDisk>,
) -> Result<(), Finding> {
    let file: Arc<Path> = path.into();
    for (i, der) in certificates.iter().enumerate() {
        let facts = CertificateFacts::from_der(der).map_err(|error: NotACertificate| {
            unparsable(path, format_args!("certificate {} of {}: {error}", i + 1, certificates.len()))
        })?;
        on_disk.push(CertificateOnDisk { file: Arc::clone(&file), facts: Arc::new(facts) });
    }
    Ok(())
}

fn contents(file: FileRead, findings: &mut Vec<Finding>) -> Option<Contents> {
    let finding = match file.outcome {
        Ok(bytes) => match Contents::parse(&bytes) {
            Ok(contents) => return Some(contents),
            Err(error @ (ContentError::Pem(_) | ContentError::Unknown)) => unparsable(&file.path, error),
        },
        Err(error) => unreadable(&file.path, &error),
    };
    findings.push(finding);
    None
}

fn unreadable(path: &Path, error: &ReadError) -> Finding {
    let (check, advice) = match error {
        ReadError::Missing => (Check::FileMissing, "it is read as soon as it appears"),
        ReadError::StaleMount => (Check::StaleFileMount, "mount the directory that it is in (not a subPath of it)"),
        ReadError::NotRegular => (Check::NotRegular, "put a file in its place"),
        ReadError::OutsideVolume => {
            (Check::OutsideVolume, "put the file itself into the volume: no link or mount is followed out of it")
        }
        ReadError::NotConfinable => (Check::FileUnreadable, "run a newer kernel: it is not read unconfined"),
        ReadError::TooLarge { .. } => (Check::TooLarge, "certificates and keys are far smaller: is it the right file?"),
        ReadError::Torn => (Check::TornRead, "replace files by a rename, all of a directory at once"),
        _ => (Check::FileUnreadable, "check that this process may read it"),
    };
    Finding::new(check, Severity::Reject, format!("{}: {error}; {advice}", path.display())).in_file(path)
}

fn unparsable(path: &Path, why: impl fmt::Display) -> Finding {
    Finding::new(Check::Unparsable, Severity::Reject, format!("{} cannot be used: {why}", path.display())).in_file(path)
}

fn too_many(path: &Path, what: &str, found: usize, limit: usize) -> Finding {
    Finding::new(
        Check::TooLarge,
        Severity::Reject,
        format!("{what} holds more certificates than the {limit} that are read"),
    )
    .in_file(path)
    .found(found)
    .expected(format_args!("at most {limit}"))
}

impl KeyedCredential {
    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKey) -> Result<Self, CredentialError> {
        let public_key = crypto::signing_key(&key)
            .ok()
            .and_then(|key| key.public_key().map(|public_key| Digest::fingerprint(&public_key)));
        let credential = Credential::new(chain, key)?;
        let leaf = certificate::parse(&credential.chain()[0])?;
        let leaf_public_key = Digest::fingerprint(leaf.public_key().raw);
        Ok(Self { credential: Arc::new(credential), public_key, leaf_public_key })
    }
}

impl fmt::Debug for KeyedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.credential, f)
    }
}

#[cfg(test)]
mod tests;
