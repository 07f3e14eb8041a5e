//! The certificates on disk, under the names and labels of enix/x509-certificate-exporter, which dashboards and alert
//! rules know.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use evercert_core::certificate::Name;
use evercert_core::finding::{Check, Severity};
use evercert_core::keeper::{CertificateOnDisk, IdentityState};

use super::exposition::{Family, seconds};
use super::identities::Row;

/// The one source there is, as the exporter labels its sources.
const SOURCE: [(&str, &str); 2] = [("source_kind", "file"), ("source_name", "evercertd")];

/// The exporter's words for why a file gave no certificate.
pub(super) const REASONS: [&str; 4] = ["not_found", "read_failed", "bad_pem", "no_certificate_found"];

/// The exporter's labels of a name.
pub(super) const ISSUER: [&str; 6] = ["issuer_C", "issuer_ST", "issuer_L", "issuer_O", "issuer_OU", "issuer_CN"];
const SUBJECT: [&str; 6] = ["subject_C", "subject_ST", "subject_L", "subject_O", "subject_OU", "subject_CN"];

const NOT_BEFORE: Family = Family::gauge("x509_cert_not_before", "When the certificate on disk becomes valid.");
const NOT_AFTER: Family = Family::gauge("x509_cert_not_after", "When the certificate on disk expires.");
const EXPIRED: Family = Family::gauge("x509_cert_expired", "Whether the certificate on disk has expired: 0 or 1.");
const ERROR: Family = Family::gauge("x509_cert_error", "Whether a file gave no certificate: 0 or 1.");
const SOURCE_UP: Family = Family::gauge("x509_source_up", "Whether every file was read at least once: 0 or 1.");
const SOURCE_BUNDLES: Family = Family::gauge("x509_source_bundles", "Files that hold certificates.");
const READ_ERRORS: Family = Family::gauge("x509_read_errors", "Files that cannot be read or parsed now.");

/// A file that gave no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileError {
    /// The file.
    pub(super) file: PathBuf,
    /// Why; one of [`REASONS`].
    pub(super) reason: &'static str,
}

/// The certificates of all rows, each series once: two identities may read one bundle, and a file may repeat a
/// certificate. Two series of one name and labels would make Prometheus refuse the whole page.
pub(super) struct Certificates {
    /// Indexes of rows and of their certificates.
    distinct: Vec<(u32, u32)>,
    errors: Vec<FileError>,
    bundles: usize,
    up: bool,
}

impl Certificates {
    /// Collects from `rows`.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut seen = HashSet::new();
        let mut files = HashSet::new();
        let mut distinct = Vec::new();
        let mut errors = HashSet::new();
        for (row, state) in (0..).zip(rows.iter().map(|row| row.state.as_deref())) {
            let Some(state) = state else { continue };
            errors.extend(self::errors(state));
            for (index, certificate) in (0..).zip(state.on_disk.iter()) {
                files.insert(&*certificate.file);
                if seen.insert(labels_hash(certificate)) {
                    distinct.push((row, index));
                }
            }
        }
        let mut errors: Vec<_> = errors.into_iter().collect();
        errors.sort_by(|a, b| a.file.cmp(&b.file));
        errors.dedup_by(|a, b| a.file == b.file);
        Self { distinct, errors, bundles: files.len(), up: rows.iter().all(|row| row.state.is_some()) }
    }

    /// How many parts [`Certificates::write`] has.
    pub(super) fn parts(&self) -> usize {
        FAMILIES.len() * self.chunks() + 1
    }

    /// Appends one part of the families.
    pub(super) fn write(&self, part: usize, rows: &[Row], now: SystemTime, text: &mut String) {
        match FAMILIES.get(part / self.chunks()) {
            Some((family, value)) => {
                let chunk = part % self.chunks();
                if chunk == 0 {
                    family.begin(text);
                }
                let certificates = self.distinct.iter().skip(chunk * CHUNK).take(CHUNK);
                for certificate in certificates.filter_map(|(row, index)| certificate(rows, *row, *index)) {
                    let file = FileLabels::of(&certificate.file);
                    family.sample(text, &labels(certificate, &file), value(certificate, now));
                }
                // The errors follow the certificates without one, which are of the same family, the last.
                if family.name == ERROR.name && chunk + 1 == self.chunks() {
                    for error in &self.errors {
                        family.sample(text, &FileLabels::of(&error.file).pairs(), 1);
                    }
                }
            }
            None => self.write_source(text),
        }
    }

    fn write_source(&self, text: &mut String) {
        for (family, value) in [(SOURCE_UP, self.up.into()), (SOURCE_BUNDLES, self.bundles)] {
            family.begin(text);
            family.sample(text, &SOURCE, value);
        }
        READ_ERRORS.begin(text);
        READ_ERRORS.sample(text, &[], self.errors.len());
    }

    fn chunks(&self) -> usize {
        self.distinct.len().div_ceil(CHUNK).max(1)
    }
}

/// How many certificates one part of the page has: about 64 KiB of text.
const CHUNK: usize = 128;

type Value = fn(&CertificateOnDisk, SystemTime) -> i64;

const FAMILIES: [(Family, Value); 4] = [
    (NOT_BEFORE, |certificate, _| seconds(certificate.facts.not_before)),
    (NOT_AFTER, |certificate, _| seconds(certificate.facts.not_after)),
    (EXPIRED, |certificate, now| (now > certificate.facts.not_after).into()),
    (ERROR, |_, _| 0),
];

/// The files of `state` that gave no certificate.
pub(super) fn errors(state: &IdentityState) -> Vec<FileError> {
    let failing = state.findings.iter().filter(|finding| finding.severity >= Severity::Warn);
    let mut errors: Vec<FileError> = Vec::new();
    for finding in failing {
        let (Some(file), Some(reason)) = (&finding.file, reason(finding.check)) else { continue };
        if !errors.iter().any(|error| error.file == *file) {
            errors.push(FileError { file: file.clone(), reason });
        }
    }
    errors
}

/// The labels of `x509_source_errors_total`.
pub(super) fn source_labels(reason: &'static str) -> [&'static str; 3] {
    [SOURCE[0].1, SOURCE[1].1, reason]
}

fn reason(check: Check) -> Option<&'static str> {
    match check {
        Check::FileMissing => Some(REASONS[0]),
        Check::FileUnreadable
        | Check::NotADirectory
        | Check::NotRegular
        | Check::OutsideVolume
        | Check::TooLarge
        | Check::TornRead
        | Check::MountUnresponsive => Some(REASONS[1]),
        Check::Unparsable => Some(REASONS[2]),
        Check::BundleEmpty => Some(REASONS[3]),
        _ => None,
    }
}

fn certificate(rows: &[Row], row: u32, index: u32) -> Option<&CertificateOnDisk> {
    rows.get(row as usize)?.state.as_ref()?.on_disk.get(index as usize)
}

/// A file as the exporter labels it.
pub(super) struct FileLabels {
    name: String,
    path: String,
}

impl FileLabels {
    pub(super) fn of(file: &Path) -> Self {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { name, path: file.to_string_lossy().into_owned() }
    }

    pub(super) fn pairs(&self) -> [(&'static str, &str); 2] {
        [("filename", &self.name), ("filepath", &self.path)]
    }
}

/// A name as the exporter labels it, by these labels.
pub(super) fn name_labels<'a>(labels: &[&'static str; 6], name: &'a Name) -> [(&'static str, &'a str); 6] {
    let Name { country, state, locality, organization, organizational_unit, common_name, .. } = name;
    let values = [country, state, locality, organization, organizational_unit, common_name];
    std::array::from_fn(|at| (labels[at], values[at].as_str()))
}

fn labels<'a>(certificate: &'a CertificateOnDisk, file: &'a FileLabels) -> Vec<(&'static str, &'a str)> {
    let facts = &certificate.facts;
    let (issuer, subject) = (name_labels(&ISSUER, &facts.issuer), name_labels(&SUBJECT, &facts.subject));
    [&file.pairs()[..], &[("serial_number", &facts.serial)], &issuer, &subject].concat()
}

fn labels_hash(certificate: &CertificateOnDisk) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels(certificate, &FileLabels::of(&certificate.file)).hash(&mut hasher);
    hasher.finish()
}
