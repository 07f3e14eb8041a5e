//! The parsed files of one reading: pure, without a clock, and small enough to be kept for every identity.

mod bundle;
mod contents;
mod credential;
mod crls;
mod finding;
mod holding;
mod interner;
mod kind;
mod pkcs7;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::bundle::{Bundle, Crls};
use crate::certificate::{CertificateFacts, Name};
use crate::credential::Credential;
use crate::crl::Age;
use crate::digest::Digest;
use crate::finding::Finding;
use crate::mount::{FileRead, KeyAccess, ReadError, Reading, Route};
use crate::spec::{BundleFile, CredentialFiles, CrlFile, IdentitySpec};
use crate::trusted::Trusted;
use contents::{Contents, Expected};
pub(crate) use credential::key_alone;
pub(crate) use crls::{gone, which_crl};
use finding::{unparsable, unreadable};
pub use holding::{Certificates, Holding};
pub(crate) use interner::Interner;

/// The most certificates a chain may have.
pub const MAX_CHAIN: usize = 100;

/// The parsed files of one reading: a credential and a bundle, each whole or with the reasons why there is none.
/// [`assess`](crate::check::assess) says what they are worth.
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
    route: Route,
    notes: Vec<Finding>,
}

/// One certificate in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOnDisk {
    /// The file it is in.
    pub file: Arc<Path>,
    /// The line in which its PEM block begins, counted from 1; absent where it is not in PEM.
    pub line: Option<usize>,
    /// The certificate. Of one that many identities have on disk, they share the facts.
    pub facts: Arc<CertificateFacts>,
}

/// One certificate revocation list in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlOnDisk {
    /// The file it is in.
    pub file: PathBuf,
    /// Its issuer.
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

impl CrlOnDisk {
    /// Whether it is newer than another list of the same issuer, and takes its place.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let [own, others] =
            [self, other].map(|crl| Age::new(crl.this_update, crl.number.as_deref().map(str::as_bytes)));
        own > others
    }
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
        let holds_key = !matches!(spec.files.credential, Some(CredentialFiles::Chain(_)));
        let key_access = guarded.filter(|_| holds_key).and_then(|file| file.access.clone());
        let route = guarded.map(|file| Route::of_set(&file.route, reading.files().map(|file| &file.route)));
        let route = route.unwrap_or_else(Route::unknown);
        let (mut on_disk, mut crls_on_disk) = (Vec::new(), Vec::new());
        let mut notes: Vec<_> = reading.stale_mounts().map(finding::stale_mount).collect();
        let credential = match (&spec.files.credential, reading.chain) {
            (Some(CredentialFiles::Chain(_)), Some(chain)) => credential::parse_chain(chain, &mut on_disk, &mut notes),
            (Some(_), Some(chain)) => credential::parse(chain, reading.key, &mut on_disk, &mut notes),
            _ => Part::NotWanted,
        };
        let own = match (&spec.files.bundle, reading.bundle) {
            (Some(wanted @ BundleFile::OfCredential(_)), Some(file)) => {
                bundle::parse(wanted, beside(file), &mut on_disk, &mut crls_on_disk, &mut notes)
            }
            (Some(wanted), Some(file)) => bundle::parse(wanted, file, &mut on_disk, &mut crls_on_disk, &mut notes),
            _ => Part::NotWanted,
        };
        let crls = spec.files.crls.iter().zip(reading.crls).map(|(wanted, file)| match wanted {
            CrlFile::OfCredential(_) => crls::parse(wanted, beside(file), &mut crls_on_disk, &mut notes),
            CrlFile::Dedicated(_) => crls::parse(wanted, file, &mut crls_on_disk, &mut notes),
        });
        let crls = crls.collect();
        let federated = reading.federated.into_iter().map(|file| {
            let wanted = BundleFile::Dedicated(file.path.clone());
            bundle::parse(&wanted, file, &mut on_disk, &mut crls_on_disk, &mut notes)
        });
        let federated = federated.collect();
        let (on_disk, crls_on_disk) = (on_disk.into(), crls_on_disk.into());
        Self { credential, bundle: own, crls, federated, on_disk, crls_on_disk, key_access, route, notes }
    }

    /// Findings about files that can be used all the same.
    pub(crate) fn notes(&self) -> &[Finding] {
        &self.notes
    }

    /// The certificates in the files, whatever they are worth.
    #[must_use]
    pub fn on_disk(&self) -> &Arc<[CertificateOnDisk]> {
        &self.on_disk
    }

    /// The certificates in one of the files, each once.
    pub(crate) fn facts_in(&self, file: &Path) -> Vec<&CertificateFacts> {
        let mut known = HashSet::new();
        let facts = self.on_disk.iter().filter(|on_disk| *on_disk.file == *file).map(|on_disk| &*on_disk.facts);
        facts.filter(|facts| known.insert(facts.fingerprint)).collect()
    }

    /// The certificate revocation lists in the files, whatever they are worth.
    #[must_use]
    pub fn crls_on_disk(&self) -> &Arc<[CrlOnDisk]> {
        &self.crls_on_disk
    }

    /// The chain in the files, leaf first; empty where there is none that could be read.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        match &self.credential {
            Part::Whole(keyed) => keyed.credential.chain(),
            _ => &[],
        }
    }

    /// The permissions to read the key, or the bundle of an identity without one, when it was read; absent where it was not.
    pub(crate) fn key_access(&self) -> Option<&Arc<KeyAccess>> {
        self.key_access.as_ref()
    }

    /// The way by which the files were read.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// Whether the files hold this credential, which is good: the same chain, and the key of its leaf.
    pub(crate) fn holds(&self, credential: &Credential) -> bool {
        matches!(&self.credential, Part::Whole(keyed)
            if keyed.credential.chain() == credential.chain() && keyed.public_key == Some(keyed.leaf_public_key))
    }

    /// Wipes the private key. It stays known to be the leaf's.
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
        self.route.intern(&interner.directories);
        if let Some(access) = self.key_access.as_mut().map(Arc::make_mut) {
            access.route.intern(&interner.directories);
            access.route.shared_with(&self.route);
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

/// A file beside the credential: where that has no directory, what is wrong is said of the credential.
fn beside(mut file: FileRead) -> FileRead {
    if let Err(error @ ReadError::NotADirectory) = &mut file.outcome {
        *error = ReadError::Missing;
    }
    file
}

fn contents(file: FileRead, expected: Expected, findings: &mut Vec<Finding>) -> Option<Contents> {
    let finding = match file.outcome {
        Ok(bytes) => match Contents::parse(&bytes) {
            Ok(contents) => return Some(contents),
            Err(error) => unparsable(&file.path, format_args!("{error}{}", error.example(expected))),
        },
        Err(error) => unreadable(&file.path, &error),
    };
    findings.push(finding);
    None
}

#[cfg(test)]
mod tests;
