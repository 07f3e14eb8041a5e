//! Certificate revocation lists: admitted only if validation can use them, since one that it cannot would revoke nobody in silence.

use std::path::Path;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::X509Certificate;

use super::report::Report;
use super::{Check, Finding, Severity, Verdict};
use crate::certificate::{Name, may_sign_crls, parse};
use crate::clock::{expiry, rfc3339};
use crate::crl::{Crl, NormalName, Signature};
use crate::material::{self, CrlOnDisk, Crls, Part};
use crate::spec::CrlFile;

/// The certificates whose keys may have signed lists: anchors, and the chain that the identity itself presents.
pub(super) struct Signers<'a>(Vec<(NormalName, X509Certificate<'a>)>);

impl<'a> Signers<'a> {
    pub(super) fn of(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        let parsed = certificates.into_iter().filter_map(|der| parse(der).ok());
        Self(parsed.map(|signer| (NormalName::of_sequence(signer.subject().as_raw()), signer)).collect())
    }

    fn named<'s>(&'s self, name: &'s NormalName) -> impl Iterator<Item = &'s X509Certificate<'a>> {
        self.0.iter().filter(move |(subject, _)| subject == name).map(|(_, signer)| signer)
    }
}

/// The verdict on the lists of one file.
pub(super) fn assess(
    file: &CrlFile,
    part: &Part<Crls>,
    last_good: Option<&Crls>,
    signers: &Signers<'_>,
    report: &mut Report,
) -> Verdict<[CertificateRevocationListDer<'static>]> {
    match part {
        Part::NotWanted => Verdict::Absent,
        Part::Missing if last_good.is_none() => Verdict::Absent,
        Part::Missing => {
            report.add(material::gone(file.path()));
            Verdict::Rejected
        }
        Part::Broken(findings) => {
            findings.iter().for_each(|finding| report.add(finding.clone()));
            Verdict::Rejected
        }
        Part::Whole(crls) => {
            examine(file.path(), crls, signers, report);
            if report.rejects() { Verdict::Rejected } else { Verdict::Admitted(crls.clone()) }
        }
    }
}

/// Says which of the lists in a file cannot be used, and what of them is not.
pub(super) fn examine(
    file: &Path,
    crls: &[CertificateRevocationListDer<'static>],
    signers: &Signers<'_>,
    report: &mut Report,
) {
    for (place, der) in crls.iter().enumerate() {
        // A list that cannot be read was told of when its file was.
        let Ok(crl) = Crl::from_der(der) else { continue };
        let which = material::which_crl(place, crls.len());
        signature(file, &format!("{which} ({})", issuer(&crl)), &crl, signers, report);
        scope(file, &which, &crl, report);
    }
}

/// A list whose issuer is known has to be signed by it. One of an issuer that only peers show is held against what they show.
fn signature(file: &Path, which: &str, crl: &Crl, signers: &Signers<'_>, report: &mut Report) {
    let mut unsupported = None;
    let (mut known, mut silent) = (0, false);
    for signer in signers.named(crl.normal_issuer()) {
        known += 1;
        match crl.signature_by(signer.public_key().raw) {
            Signature::Valid if may_sign_crls(signer) => return,
            Signature::Valid => silent = true,
            Signature::Invalid => {}
            Signature::Unsupported { algorithm } => unsupported = Some(algorithm),
        }
    }
    if silent {
        let sentence = format!(
            "{which} revokes nobody, since its issuer may not sign CRLs (key usage cRLSign); have the CA's certificate issued with it"
        );
        report.add(Finding::new(Check::CrlIssuer, Severity::Warn, sentence).in_file(file));
    } else if let Some(algorithm) = unsupported {
        let sentence =
            format!("{which} is signed with {algorithm}, which is not accepted; have it signed with SHA-256");
        report.reject(Check::CrlSignature, file, sentence);
    } else if known > 0 {
        let sentence = format!(
            "{which} is not signed by the CA of this name: it is damaged, or by another key of the same name; fetch it again, or put \
             the CA that signed it into the bundle"
        );
        report.reject(Check::CrlSignature, file, sentence);
    }
}

/// Warns of entries of a list that are not applied.
fn scope(file: &Path, which: &str, crl: &Crl, report: &mut Report) {
    if crl.of_others() > 0 {
        let sentence = format!(
            "{which} is indirect, and what it says of certificates of other issuers is not applied: add the lists of those issuers"
        );
        let finding = Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file);
        report.add(finding.found(format!("{} such entries", crl.of_others())).expected("none"));
    }
    if crl.taken_back() > 0 {
        let sentence = format!(
            "{which} is a delta, and the certificates it takes back stay revoked until a complete list no longer has them: replace the \
             complete list"
        );
        let finding = Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file);
        report.add(finding.found(format!("{} taken back", crl.taken_back())).expected("none"));
    }
}

/// Deltas tell only what changed since a complete list.
pub(super) fn deltas<'c>(
    crls: impl Iterator<Item = (&'c Path, &'c CertificateRevocationListDer<'static>)>,
    report: &mut Report,
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
        report.add(Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(file));
    }
}

/// Lists whose successor is overdue: they revoke still what they revoked, and nobody since.
pub(super) fn age(on_disk: &[CrlOnDisk], report: &mut Report) {
    for crl in on_disk {
        let Some(next_update) = crl.next_update else { continue };
        report.changes_at(expiry(next_update));
        if report.now() >= expiry(next_update) {
            let sentence = format!(
                "the CRL of {} was to be replaced by now: what was revoked since is not known here; see why no newer one came, and \
                 mind that whoever rejects stale CRLs refuses all peers under it",
                crl.issuer.text
            );
            let finding = Finding::new(Check::CrlStale, Severity::Warn, sentence).in_file(&crl.file);
            report.add(finding.found(format!("next update {}", rfc3339(next_update))).expected("still to come"));
        }
    }
}

fn issuer(crl: &Crl) -> String {
    Name::from_der(crl.issuer()).text
}

#[cfg(test)]
mod tests;
