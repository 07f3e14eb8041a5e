//! Certificate revocation lists: admitted only if validation can use them, since one that it cannot would revoke nobody in silence.

use std::path::Path;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::X509Certificate;

use super::Verdict;
use super::findings::Findings;
use crate::bundle::Crls;
use crate::certificate::{Name, may_sign_crls, parse};
use crate::clock::{expiry, rfc3339};
use crate::crl::{Crl, NormalName};
use crate::crypto::Signature;
use crate::finding::{Check, Finding, Severity};
use crate::material::{self, CrlOnDisk, Part};
use crate::spec::CrlFile;

/// The certificates whose keys may have signed lists.
#[derive(Default)]
pub(super) struct Signers<'a>(Vec<Signer<'a>>);

struct Signer<'a> {
    subject: NormalName,
    certificate: X509Certificate<'a>,
    is_anchor: bool,
}

impl<'a> Signers<'a> {
    pub(super) fn anchors(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        Self::default().and(certificates, true)
    }

    /// The same, and the issuers in the chain that the identity presents.
    pub(super) fn and_chain(self, certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        self.and(certificates, false)
    }

    fn and(mut self, certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>, is_anchor: bool) -> Self {
        let parsed = certificates.into_iter().filter_map(|der| parse(der).ok());
        self.0.extend(parsed.map(|certificate| Signer {
            subject: NormalName::of_sequence(certificate.subject().as_raw()),
            certificate,
            is_anchor,
        }));
        self
    }

    fn named<'s>(&'s self, name: &'s NormalName) -> impl Iterator<Item = &'s Signer<'a>> {
        self.0.iter().filter(move |signer| signer.subject == *name)
    }
}

impl Signer<'_> {
    fn key(&self) -> &[u8] {
        self.certificate.public_key().raw
    }

    /// Whether a list may be by this key, going by the key identifiers (RFC 5280 §5.2.1).
    fn may_have_key(&self, crl: &Crl) -> bool {
        let mut extensions = self.certificate.extensions().iter();
        let identifier = extensions.find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
            _ => None,
        });
        identifier.is_none() || identifier == crl.authority_key()
    }
}

/// The verdict on the lists of one file.
pub(super) fn assess(
    file: &CrlFile,
    part: &Part<Crls>,
    last_good: Option<&Crls>,
    signers: &Signers<'_>,
    findings: &mut Findings,
) -> Verdict<[CertificateRevocationListDer<'static>]> {
    match part {
        Part::NotWanted => Verdict::Absent,
        Part::Missing if last_good.is_none() => Verdict::Absent,
        Part::Missing => {
            findings.add(material::gone(file.path()));
            Verdict::Rejected
        }
        Part::Broken(broken) => {
            broken.iter().for_each(|finding| findings.add(finding.clone()));
            Verdict::Rejected
        }
        Part::Whole(crls) => {
            examine(file.path(), crls, signers, findings);
            if findings.rejects() { Verdict::Rejected } else { Verdict::Admitted(crls.clone()) }
        }
    }
}

/// Says which of the lists in a file cannot be used, and what of them is not.
pub(super) fn examine(
    file: &Path,
    crls: &[CertificateRevocationListDer<'static>],
    signers: &Signers<'_>,
    findings: &mut Findings,
) {
    // A list that cannot be read was told of when its file was.
    let read: Vec<_> = crls.iter().filter_map(|der| Crl::from_der(der).ok()).collect();
    for (place, crl) in read.iter().enumerate() {
        let which = material::which_crl(place, read.len());
        signature(file, &format!("{which} ({})", issuer(crl)), crl, signers, &read, findings);
        scope(file, &which, crl, findings);
    }
}

/// A list whose issuer is an anchor has to be signed by it; one of a CA of the own chain, if it says that it is by that key. One by another
/// key, or of an issuer that only peers show, is held against what they show.
fn signature(file: &Path, which: &str, crl: &Crl, signers: &Signers<'_>, others: &[Crl], findings: &mut Findings) {
    if let Some(algorithm) = crl.unsupported_algorithm() {
        let sentence =
            format!("{which} is signed with {algorithm}, which is not accepted; have it signed with SHA-256");
        return findings.reject(Check::CrlSignature, file, sentence);
    }
    let named: Vec<_> = signers.named(crl.normal_issuer()).collect();
    let signs = |crl: &Crl, signer: &Signer<'_>| crl.signature_by(signer.key()) == Signature::Valid;
    let by: Vec<_> = named.iter().filter(|signer| signs(crl, signer)).collect();
    if by.iter().any(|signer| may_sign_crls(&signer.certificate)) {
        return;
    }
    let is_by_another_key = crl.authority_key().is_some() && named.iter().all(|signer| !signer.may_have_key(crl));
    let is_of_anchor = named.iter().any(|signer| signer.is_anchor);
    let finding = |check, severity, sentence| Finding::new(check, severity, sentence).in_file(file);
    if !by.is_empty() {
        let sentence = format!(
            "{which} revokes nobody, since its issuer may not sign CRLs (key usage cRLSign); have the CA's certificate issued with it"
        );
        findings.add(finding(Check::CrlIssuer, Severity::Warn, sentence));
    } else if named.is_empty() || (is_by_another_key && !is_of_anchor) {
        let sentence = format!(
            "{which} is by a CA that is neither in the bundle nor in the chain: its signature is verified when a peer shows that CA, and it \
             revokes nobody before; nothing is to be done if peers are under that CA"
        );
        findings.add(finding(Check::CrlIssuer, Severity::Info, sentence));
    } else if is_by_another_key && others.iter().any(|other| named.iter().any(|signer| signs(other, signer))) {
        let sentence = format!(
            "{which} is by another key of that CA than the bundle has, and revokes nobody under it; take it out, or put the CA's \
             certificate for that key into the bundle"
        );
        findings.add(finding(Check::CrlIssuer, Severity::Warn, sentence));
    } else {
        let sentence = format!(
            "{which} is not signed by the CA of this name: it is damaged, or by another key of the same name; fetch it again, or put \
             the CA that signed it into the bundle"
        );
        findings.add(finding(Check::CrlSignature, Severity::Reject, sentence));
    }
}

/// Warns of entries of a list that are not applied.
fn scope(file: &Path, which: &str, crl: &Crl, findings: &mut Findings) {
    if crl.of_others() > 0 {
        let sentence = format!(
            "{which} is indirect, and what it says of certificates of other issuers is not applied: add the lists of those issuers"
        );
        let finding = Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file);
        findings.add(finding.found(format!("entries: {}", crl.of_others())).expected("none"));
    }
    if crl.taken_back() > 0 {
        let sentence = format!(
            "{which} is a delta, and the certificates it takes back stay revoked until a complete list no longer has them: replace the \
             complete list"
        );
        let finding = Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file);
        findings.add(finding.found(format!("taken back: {}", crl.taken_back())).expected("none"));
    }
}

/// Deltas tell only what changed since a complete list.
pub(super) fn deltas<'c>(
    crls: impl Iterator<Item = (&'c Path, &'c CertificateRevocationListDer<'static>)>,
    findings: &mut Findings,
) {
    let read: Vec<_> = crls.filter_map(|(file, der)| Some((file, Crl::from_der(der).ok()?))).collect();
    let has_base = |delta: &Crl| {
        read.iter().any(|(_, other)| !other.scope().is_delta && other.normal_issuer() == delta.normal_issuer())
    };
    for (file, delta) in read.iter().filter(|(_, crl)| crl.scope().is_delta && !has_base(crl)) {
        let sentence = format!(
            "the CRL of {} is a delta without its complete list: who was revoked before is not known here; put the complete list beside it",
            issuer(delta)
        );
        findings.add(Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file));
    }
}

/// Lists whose successor is overdue: they revoke still what they revoked, and nobody since.
pub(super) fn age(on_disk: &[CrlOnDisk], findings: &mut Findings) {
    for crl in on_disk {
        let Some(next_update) = crl.next_update else { continue };
        findings.changes_at(expiry(next_update));
        if findings.now() >= expiry(next_update) {
            let sentence = format!(
                "the CRL of {} was to be replaced by now: what was revoked since is not known here; see why no newer one came, and \
                 mind that whoever rejects stale CRLs refuses all peers under it",
                crl.issuer.text
            );
            let finding = Finding::new(Check::CrlStale, Severity::Warn, sentence).in_file(&crl.file);
            findings.add(finding.found(format!("next update {}", rfc3339(next_update))).expected("still to come"));
        }
    }
}

fn issuer(crl: &Crl) -> String {
    Name::from_der(crl.issuer()).text
}

#[cfg(test)]
mod tests;
