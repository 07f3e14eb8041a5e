//! The demands on an identity's files before a handshake depends on them.
//!
//! ```text
//! Material ─┬ bundle ─────→ [bundle checks] ──────────→ admitted │ rejected
//!           │                   │ it, or the last good one
//!           └ credential ─→ [one function per family] → admitted │ held until valid │ rejected
//! ```
//!
//! Pure: the same material at the same instant gives the same assessment, which says when time alone will change it.

mod authority;
mod bundle;
mod chain;
mod crls;
mod exposure;
mod findings;
mod key;
mod lineage;
mod loading;
mod names;
mod order;
mod post_quantum;
mod public_issuer;
mod renewal;
mod rollback;
mod serial;
mod svid;
mod temporary;
mod trust;
mod usage;
mod validators;
mod validity;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::X509Certificate;

pub use public_issuer::is_of_public_ca;
pub(crate) use renewal::renewal_due;
pub(crate) use rollback::rollback;
pub(crate) use validators::Validators;

use crate::bundle::Bundle;
use crate::certificate;
use crate::credential::Credential;
use crate::crypto;
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::material::{self, KeyedCredential, Material, Part};
use crate::mount::{FileRead, KeyAccess};
use crate::overlap::Overlap;
use crate::path::PathValidator;
use crate::spec::{BundleFile, CredentialFiles, IdentitySpec};
use crate::trusted::Trusted;
use findings::Findings;
use trust::AssessedTrust;

/// The families of checks that a credential has to pass, in the order in which their findings are told. To add one, write a
/// function that reports what it finds and list it here.
const FAMILIES: [fn(&Case<'_>, &mut Findings); 16] = [
    key::check,
    exposure::check,
    loading::check,
    serial::check,
    post_quantum::check,
    temporary::check,
    validity::check,
    authority::check,
    usage::extended_key_usage,
    usage::key_usage,
    public_issuer::check,
    names::check,
    svid::check,
    order::check,
    chain::check,
    renewal::check,
];

/// The outcome of the checks on an identity's files at one instant.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The credential.
    pub credential: Verdict<Credential>,
    /// The bundle, judged apart from it.
    pub bundle: Verdict<Bundle>,
    /// The trust from now on: what was admitted, and the last good of the rest.
    pub trusted: Trusted,
    /// Whether some of what the files say to trust was rejected.
    pub(crate) rejects_trust: bool,
    /// And something that is wanted has no last good.
    pub(crate) lacks_trust: bool,
    /// The findings of the checks.
    pub findings: Vec<Finding>,
    /// The next instant at which time alone may change any of this; always later than the one that was assessed for.
    pub next_change: Option<SystemTime>,
}

/// The decision on a credential or a bundle.
#[derive(Debug)]
pub enum Verdict<T: ?Sized> {
    /// It may be published.
    Admitted(Arc<T>),
    /// It may be published, but not before it is valid.
    Held {
        /// The held value.
        value: Arc<T>,
        /// When it may be published.
        until: SystemTime,
    },
    /// It may not be published: the last good one stays.
    Rejected,
    /// The identity has none.
    Absent,
}

/// A credential under examination, with all that the families look at.
pub(crate) struct Case<'a> {
    spec: &'a IdentitySpec,
    files: &'a CredentialFiles,
    keyed: &'a KeyedCredential,
    /// The permissions to read the key when it was read.
    readers: Option<&'a KeyAccess>,
    /// The chain, parsed.
    certificates: &'a [X509Certificate<'a>],
    leaf: &'a X509Certificate<'a>,
    /// The certificates after the leaf.
    issuers: &'a [X509Certificate<'a>],
    trust: Trust<'a>,
    /// The file of the bundle, if that holds the leaf and the chain a CA in its place.
    swapped_with: Option<&'a Path>,
    now: SystemTime,
}

impl Case<'_> {
    fn chain(&self) -> &[CertificateDer<'static>] {
        self.keyed.credential.chain()
    }
}

/// The trust that a credential would be served with.
enum Trust<'a> {
    /// No bundle.
    None,
    /// Anchors to chain to.
    Anchors {
        /// Validates against them.
        validator: &'a PathValidator,
        /// The bundle that they are of.
        bundle: &'a Bundle,
    },
    /// A bundle that was rejected, and no last good one: the findings about it say enough.
    Unknown,
}

/// Assesses `material` for what `spec` wants, at `now`. A credential is held against what the material says to trust and, where a part of
/// that is rejected, against the last good of it in `trusted`.
///
/// A bundle that was left beside a credential and has disappeared while there is a last good one is rejected, not absent: an
/// absent file is no word on whom to trust.
#[must_use]
pub fn assess(spec: &IdentitySpec, material: &Material, trusted: &Trusted, now: SystemTime) -> Assessment {
    assess_beside(spec, material, trusted, Overlap::default(), &Validators::default(), now)
}

/// As [`assess`]; `overlap` is what is retained beside the material's own bundle, if that is admitted.
pub(crate) fn assess_beside(
    spec: &IdentitySpec,
    material: &Material,
    trusted: &Trusted,
    overlap: Overlap,
    validators: &Validators,
    now: SystemTime,
) -> Assessment {
    let mut trust = trust::assess(spec, material, trusted, &overlap, validators, now);
    let admitted = matches!(trust.bundle, Verdict::Admitted(_));
    trust.trusted.overlap = if admitted { overlap } else { trusted.overlap.clone() };
    let own = trust.trusted.own();
    let validator = match trust.validator.take() {
        // Of the file alone; CRLs of files of their own and what left the file belong to the bundle.
        Some(validator) if admitted && trust.trusted.crls.is_empty() && trust.trusted.overlap.is_empty() => {
            Some(validator)
        }
        _ => own.as_ref().and_then(|bundle| validators.of(bundle).ok()),
    };
    let AssessedTrust { bundle, trusted, rejects_trust, lacks_trust, mut findings, mut next_change, .. } = trust;
    let trust = match (&bundle, &validator, &own) {
        (Verdict::Absent, ..) => Trust::None,
        (_, Some(validator), Some(bundle)) => Trust::Anchors { validator, bundle },
        _ => Trust::Unknown,
    };

    if let (Some(file), Some(validator), Part::Whole(keyed)) = (&spec.files.bundle, &validator, &material.credential) {
        let expired =
            |finding: &Finding| finding.check == Check::AnchorExpired && finding.file.as_deref() == Some(file.path());
        // An anchor that has expired and that the own leaf does not need is no alarm.
        if findings.iter().any(expired) && chain::holds_to_the_end(&keyed.credential, validator) {
            findings.retain(|finding| !expired(finding));
        }
    }

    let credential = match (&spec.files.credential, &material.credential) {
        (None, _) | (_, Part::NotWanted | Part::Missing) => Verdict::Absent,
        (_, Part::Broken(broken)) => {
            findings.extend_from_slice(broken);
            Verdict::Rejected
        }
        (Some(files), Part::Whole(keyed)) => {
            let mut of_credential = Findings::new(now, spec.expectations.admission, &spec.expectations.severities);
            let swapped_with = match (&spec.files.bundle, &material.bundle) {
                (Some(file), Part::Whole(bundle)) if key::is_swapped(keyed, bundle) => Some(file.path()),
                _ => None,
            };
            // Findings about the bundle are about the leaf, which is in its place.
            findings.retain(|finding| swapped_with.is_none() || finding.file.as_deref() != swapped_with);
            examine(
                spec,
                files,
                keyed,
                material.key_access().map(Arc::as_ref),
                trust,
                swapped_with,
                &mut of_credential,
            );
            let verdict = of_credential.verdict(&keyed.credential);
            let (more, change) = of_credential.into_parts();
            findings.extend(more);
            next_change = [next_change, change].into_iter().flatten().min();
            verdict
        }
    };
    findings.extend(material.notes().iter().cloned().map(|note| spec.expectations.severities.applied(note)));
    Assessment { credential, bundle, trusted, rejects_trust, lacks_trust, findings, next_change }
}

/// The findings about a private key in a file of its own, whose leaf is not known.
#[must_use]
pub fn key_alone(file: FileRead) -> Vec<Finding> {
    let (path, access) = (file.path.clone(), file.access.clone());
    let mut findings = match material::key_alone(file) {
        Ok(Some(key)) if crypto::signing_key(&key).is_err() => {
            let sentence = key::unsupported("the private key");
            vec![Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(&path)]
        }
        Ok(_) => Vec::new(),
        Err(findings) => findings,
    };
    findings.extend(access.and_then(|readers| exposure::exposed(&path, &readers)));
    findings
}

/// Whether what was read may be a set that is only half written: worth another look before anybody is alarmed.
pub(crate) fn may_be_half_written(assessment: &Assessment) -> bool {
    assessment.findings.iter().any(|finding| {
        finding.severity == Severity::Reject
            && matches!(
                finding.check,
                Check::FileMissing
                    | Check::FileUnreadable
                    | Check::TornRead
                    | Check::Unparsable
                    | Check::KeyMismatch
                    | Check::BundleEmpty
                    // A CA that was renewed may write its bundle and its lists one after the other.
                    | Check::CrlSignature
            )
    })
}

/// The findings on a credential that is still served although the files hold another one, or none that is good; and when they change.
pub(crate) fn served(
    spec: &IdentitySpec,
    credential: &Credential,
    now: SystemTime,
) -> (Vec<Finding>, Option<SystemTime>) {
    let mut findings = Findings::enforced(now, spec);
    validity::served(credential, &mut findings);
    renewal::of(spec, credential, None, &mut findings);
    findings.into_parts()
}

/// Whether the bundle disowns the credential that is served with it; and when that changes.
pub(crate) fn own_leaf(
    spec: &IdentitySpec,
    credential: &Credential,
    bundle: &Arc<Bundle>,
    validators: &Validators,
    now: SystemTime,
) -> (Vec<Finding>, Option<SystemTime>) {
    let mut findings = Findings::enforced(now, spec);
    chain::served(spec, credential, bundle, validators, &mut findings);
    findings.into_parts()
}

fn examine(
    spec: &IdentitySpec,
    files: &CredentialFiles,
    keyed: &KeyedCredential,
    readers: Option<&KeyAccess>,
    trust: Trust<'_>,
    swapped_with: Option<&Path>,
    findings: &mut Findings,
) {
    let chain: Result<Vec<_>, _> = keyed.credential.chain().iter().map(|der| certificate::parse(der)).collect();
    match chain.as_deref() {
        Ok(certificates @ [leaf, issuers @ ..]) => {
            let now = findings.now();
            let case = Case { spec, files, keyed, readers, certificates, leaf, issuers, trust, swapped_with, now };
            FAMILIES.iter().for_each(|family| family(&case, findings));
        }
        // Material is parsed when it is made; this says so again rather than admit what was not examined.
        Ok([]) | Err(_) => findings.reject(Check::Unparsable, files.chain(), "the chain cannot be parsed"),
    }
}

/// SHA-256 of a certificate's `SubjectPublicKeyInfo`.
fn public_key(certificate: &X509Certificate<'_>) -> Digest {
    Digest::fingerprint(certificate.public_key().raw)
}

fn is_dedicated(spec: &IdentitySpec) -> bool {
    matches!(spec.files.bundle, Some(BundleFile::Dedicated(_)))
}

impl<T: ?Sized> Clone for Verdict<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Admitted(value) => Self::Admitted(Arc::clone(value)),
            Self::Held { value, until } => Self::Held { value: Arc::clone(value), until: *until },
            Self::Rejected => Self::Rejected,
            Self::Absent => Self::Absent,
        }
    }
}

#[cfg(test)]
mod tests;
