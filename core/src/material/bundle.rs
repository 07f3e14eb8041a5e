//! Trust anchors in one file.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::contents::{Contents, Expected};
use super::finding::{misplaced_key, too_many, unparsable};
use super::kind::Kind;
use super::{CertificateOnDisk, CrlOnDisk, Part, contents, crls};
use crate::bundle::{Bundle, MAX_ANCHORS, MAX_CRLS};
use crate::certificate::{CertificateFacts, NotACertificate};
use crate::finding::{Check, Finding, Severity};
use crate::mount::{FileRead, ReadError};
use crate::spec::BundleFile;

pub(super) fn parse(
    wanted: &BundleFile,
    file: FileRead,
    on_disk: &mut Vec<CertificateOnDisk>,
    crls_on_disk: &mut Vec<CrlOnDisk>,
    notes: &mut Vec<Finding>,
) -> Part<Arc<Bundle>> {
    if matches!((wanted, &file.outcome), (BundleFile::OfCredential(_), Err(ReadError::Missing))) {
        return Part::Missing;
    }
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(contents) = contents(file, Expected::Certificates, &mut findings) else { return Part::Broken(findings) };
    if contents.certificates.is_empty() {
        return Part::Broken(vec![empty(wanted, &contents)]);
    }
    if !contents.keys.is_empty() {
        notes.push(misplaced_key(&path, "certificates"));
    }
    let anchors = contents.certificates;
    if anchors.len() > MAX_ANCHORS {
        return Part::Broken(vec![too_many(&path, "certificates", anchors.len(), MAX_ANCHORS)]);
    }
    if contents.crls.len() > MAX_CRLS {
        return Part::Broken(vec![too_many(&path, "certificate revocation lists", contents.crls.len(), MAX_CRLS)]);
    }
    match facts(&anchors, &contents.lines, &path, on_disk)
        .and_then(|()| crls::facts(&contents.crls, &path, crls_on_disk))
    {
        Ok(()) => Part::Whole(Arc::new(Bundle::new(anchors, contents.crls))),
        Err(finding) => Part::Broken(vec![finding]),
    }
}

fn empty(wanted: &BundleFile, contents: &Contents) -> Finding {
    let path = wanted.path();
    let sentence = match (contents.kind(), wanted) {
        (Some(kind), _) => {
            format!("{} holds {kind} instead of the certificates of a bundle; {}", path.display(), kind.advice())
        }
        // A Secret's volume has the file because its issuer left the value empty: nobody who reads it can take it away.
        (None, BundleFile::OfCredential(_)) => format!(
            "{} is empty, as an issuer without a CA of its own leaves it; in the configuration of this identity write whom it trusts \
             instead: bundle = \"none\" for nobody, or the absolute path of another bundle",
            path.display()
        ),
        (None, BundleFile::Dedicated(_)) => {
            format!(
                "{} is empty: put the certificates of the bundle into it, or remove the bundle by configuration",
                path.display()
            )
        }
    };
    Finding::new(Check::BundleEmpty, Severity::Reject, sentence).in_file(path)
}

/// Notes the certificates as being on disk; the first that cannot be parsed is a finding about all of them. Their lines are absent where
/// they are not in PEM.
pub(super) fn facts(
    certificates: &[CertificateDer<'static>],
    lines: &[usize],
    path: &Path,
    on_disk: &mut Vec<CertificateOnDisk>,
) -> Result<(), Finding> {
    let file: Arc<Path> = path.into();
    for (i, der) in certificates.iter().enumerate() {
        let facts = CertificateFacts::from_der(der).map_err(|error| {
            let which = match certificates.len() {
                1 => "its certificate".to_owned(),
                all => format!("certificate {} of {all}", i + 1),
            };
            unparsable(path, format_args!("{which} {}", why(der, &error)))
        })?;
        let line = lines.get(i).copied();
        on_disk.push(CertificateOnDisk { file: Arc::clone(&file), line, facts: Arc::new(facts) });
    }
    Ok(())
}

fn why(der: &[u8], error: &NotACertificate) -> String {
    match Kind::of_der(der) {
        Some(kind) if kind != Kind::Certificate => {
            format!("is {kind} under the label of a certificate; {}", kind.advice())
        }
        _ => format!("is {error}; have it issued again, or copy the file again as it was written"),
    }
}
