//! Certificate revocation lists in one file.

use std::path::Path;

use rustls_pki_types::CertificateRevocationListDer;

use super::contents::Expected;
use super::finding::{misplaced_certificate, misplaced_key, too_many, unparsable};
use super::{CrlOnDisk, Part, contents};
use crate::bundle::{Crls, MAX_CRLS};
use crate::certificate::{Name, decimal};
use crate::crl::Crl;
use crate::finding::{Check, Finding, Severity};
use crate::mount::{FileRead, ReadError};
use crate::spec::CrlFile;

pub(super) fn parse(
    wanted: &CrlFile,
    file: FileRead,
    on_disk: &mut Vec<CrlOnDisk>,
    notes: &mut Vec<Finding>,
) -> Part<Crls> {
    if matches!((wanted, &file.outcome), (CrlFile::OfCredential(_), Err(ReadError::Missing))) {
        return Part::Missing;
    }
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(contents) = contents(file, Expected::Crls, &mut findings) else { return Part::Broken(findings) };
    if !contents.crls.is_empty() && !contents.keys.is_empty() {
        notes.push(misplaced_key(&path, "certificate revocation lists"));
    }
    if !contents.crls.is_empty() && !contents.certificates.is_empty() {
        notes.push(misplaced_certificate(&path));
    }
    let finding = match contents.crls.len() {
        0 => match contents.kind() {
            Some(kind) => unparsable(
                &path,
                format_args!("it holds {kind} instead of certificate revocation lists; {}", kind.advice()),
            ),
            None => unparsable(
                &path,
                "it is empty, and holds no certificate revocation list; put one in, or take the file away",
            ),
        },
        1..=MAX_CRLS => match facts(&contents.crls, &path, on_disk) {
            Ok(()) => return Part::Whole(contents.crls.into()),
            Err(finding) => finding,
        },
        found => too_many(&path, "certificate revocation lists", found, MAX_CRLS),
    };
    Part::Broken(vec![finding])
}

/// Notes the lists as being on disk; the first that cannot be used is a finding about all of them.
pub(super) fn facts(
    crls: &[CertificateRevocationListDer<'static>],
    path: &Path,
    on_disk: &mut Vec<CrlOnDisk>,
) -> Result<(), Finding> {
    for (place, der) in crls.iter().enumerate() {
        let crl = Crl::from_der(der)
            .map_err(|error| unparsable(path, format_args!("{} is not used: {error}", which_crl(place, crls.len()))))?;
        on_disk.push(CrlOnDisk {
            file: path.to_owned(),
            issuer: Name::from_der(crl.issuer()),
            number: crl.number().map(decimal),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            revoked: crl.revoked(),
        });
    }
    Ok(())
}

/// The words for a list of a file, by its place counted from nought.
pub(crate) fn which_crl(place: usize, count: usize) -> String {
    if count == 1 { "the CRL".to_owned() } else { format!("CRL {} of {count}", place + 1) }
}

/// A list that should have been there and is gone.
pub(crate) fn gone(path: &Path) -> Finding {
    let sentence = "the file of certificate revocation lists is gone; the last good ones stay in use: put it back, or remove it by \
                    configuration";
    Finding::new(Check::FileMissing, Severity::Reject, sentence).in_file(path)
}
