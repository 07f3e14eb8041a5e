//! Certificate revocation lists in one file.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{CrlOnDisk, Part, contents, too_many, unparsable};
use crate::certificate::{Name, system_time};
use crate::check::{Check, Finding, Severity};
use crate::mount::{FileRead, ReadError};
use crate::spec::CrlFile;

/// The most certificate revocation lists of one file.
pub const MAX_CRLS: usize = 100;

/// The lists of one file.
pub(crate) type Crls = Arc<[CertificateRevocationListDer<'static>]>;

pub(super) fn parse(wanted: &CrlFile, file: FileRead, on_disk: &mut Vec<CrlOnDisk>) -> Part<Crls> {
    if matches!((wanted, &file.outcome), (CrlFile::OfCredential(_), Err(ReadError::Missing))) {
        return Part::Missing;
    }
    let path = file.path.clone();
    let mut findings = Vec::new();
    let Some(contents) = contents(file, &mut findings) else { return Part::Broken(findings) };
    let finding = match contents.crls.len() {
        0 => unparsable(&path, "it holds no certificate revocation list"),
        found @ 1..=MAX_CRLS => match facts(&contents.crls, &path, on_disk) {
            Ok(()) => return Part::Whole(contents.crls.into()),
            Err(finding) => finding.found(format!("{found} lists")),
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
    for (i, der) in crls.iter().enumerate() {
        let which = |why: String| unparsable(path, format_args!("CRL {} of {}: {why}", i + 1, crls.len()));
        let (_, crl) = CertificateRevocationList::from_der(der).map_err(|error| which(error.to_string()))?;
        // What the validator cannot use would fail every peer that it covers.
        webpki::BorrowedCertRevocationList::from_der(der).map_err(|error| which(error.to_string()))?;
        on_disk.push(CrlOnDisk {
            file: path.to_owned(),
            issuer: Name::of(crl.issuer()),
            number: crl.crl_number().map(ToString::to_string),
            this_update: system_time(crl.last_update()),
            next_update: crl.next_update().map(system_time),
            revoked: crl.iter_revoked_certificates().count(),
        });
    }
    Ok(())
}

/// A list that should have been there and is gone.
pub(crate) fn gone(path: &Path) -> Finding {
    let sentence = "the file of certificate revocation lists is gone; the last good ones stay in use: put it back, or remove it by \
                    configuration";
    Finding::new(Check::FileMissing, Severity::Reject, sentence).in_file(path)
}
