//! The certificates on disk, under the names and labels of enix/x509-certificate-exporter, which dashboards and alert
//! rules know.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use evercert_core::certificate::Name;
use evercert_core::finding::{Check, Severity};
use evercert_core::keeper::{CertificateOnDisk, IdentityState};

use super::exposition::{Family, rendered, seconds};
use super::identities::Row;
use super::limit::soonest;

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
    shown: Vec<Shown>,
    errors: Vec<FileError>,
    bundles: usize,
    up: bool,
    /// What is known and not told.
    pub(super) left_out: LeftOut,
    pub(super) twins: Twins,
}

/// One certificate with series.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// The places of the row and of its certificate.
    row: u32,
    index: u32,
    /// Whether another one has the same labels but for the discriminator.
    is_twin: bool,
}

/// How much is over the limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LeftOut {
    pub(super) certificates: usize,
    pub(super) errors: usize,
}

/// Certificates of which one has the labels of another, such as two of a CA that gives every one the serial number 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Twins {
    /// Those that the discriminator tells apart.
    pub(super) told_apart: u64,
    /// Those that not even it does: of them the one with the sooner end is told.
    pub(super) dropped: u64,
}

impl Certificates {
    /// Collects from `rows`: at most `limit` certificates, those that end first, and as many files that gave none.
    pub(super) fn of(rows: &[Row], limit: usize) -> Self {
        let mut telling = Telling::default();
        let mut files = HashSet::new();
        let mut errors = BTreeMap::new();
        for (row, state) in (0..).zip(rows.iter().map(|row| row.state.as_deref())) {
            let Some(state) = state else { continue };
            // By what is shown of the path: bytes that are no text are all shown alike.
            errors.extend(self::errors(state).into_iter().map(|error| (FileLabels::of(&error.file).rendered(), error)));
            for (index, certificate) in (0..).zip(state.on_disk.iter()) {
                files.insert(&*certificate.file);
                telling.add(rows, Shown { row, index, is_twin: false }, certificate);
            }
        }
        let Telling { shown, twins, .. } = telling;
        let end = |shown: &Shown| certificate(rows, *shown).map(|certificate| certificate.facts.not_after);
        let (mut shown, certificates_left_out) = soonest(shown, limit, end);
        shown.sort_unstable_by_key(|shown| (shown.row, shown.index));
        let left_out = LeftOut { certificates: certificates_left_out, errors: errors.len().saturating_sub(limit) };
        let errors = errors.into_values().take(limit).collect();
        let up = rows.iter().all(|row| row.state.is_some());
        Self { shown, errors, bundles: files.len(), up, left_out, twins }
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
                for shown in self.shown.iter().skip(chunk * CHUNK).take(CHUNK) {
                    let Some(certificate) = certificate(rows, *shown) else { continue };
                    let (file, discriminator) = (FileLabels::of(&certificate.file), discriminator(certificate));
                    let mut labels = labels(certificate, &file);
                    labels.extend(shown.is_twin.then_some(("discriminator", &*discriminator)));
                    family.sample(text, &labels, value(certificate, now));
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
        self.shown.len().div_ceil(CHUNK).max(1)
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

fn certificate(rows: &[Row], Shown { row, index, .. }: Shown) -> Option<&CertificateOnDisk> {
    rows.get(row as usize)?.state.as_ref()?.on_disk.get(index as usize)
}

/// The exporter's eight digits of a fingerprint.
fn discriminator(certificate: &CertificateOnDisk) -> String {
    certificate.facts.fingerprint.as_bytes()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The certificates that are to be told, while they are collected.
#[derive(Default)]
struct Telling {
    shown: Vec<Shown>,
    /// The place in `shown` of the first with these labels, by their hash. Others with that hash count as its twins.
    first: HashMap<u64, usize>,
    /// The places of twins, by the hash of their labels and their discriminator.
    twin: HashMap<(u64, String), usize>,
    twins: Twins,
}

impl Telling {
    fn add(&mut self, rows: &[Row], new: Shown, certificate: &CertificateOnDisk) {
        let hash = labels_hash(certificate);
        let first = match self.first.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(self.shown.len());
                return self.shown.push(new);
            }
            Entry::Occupied(entry) => *entry.get(),
        };
        let facts = |shown: Shown| self::certificate(rows, shown).map(|certificate| &certificate.facts);
        let Some(known) = facts(self.shown[first]) else { return };
        if known.fingerprint == certificate.facts.fingerprint {
            return;
        }
        if !std::mem::replace(&mut self.shown[first].is_twin, true) {
            let known = self::certificate(rows, self.shown[first]).map(discriminator).unwrap_or_default();
            self.twin.insert((hash, known), first);
        }
        match self.twin.entry((hash, discriminator(certificate))) {
            Entry::Vacant(entry) => {
                entry.insert(self.shown.len());
                self.shown.push(Shown { is_twin: true, ..new });
                self.twins.told_apart += 1;
            }
            Entry::Occupied(entry) => {
                let other = &mut self.shown[*entry.get()];
                let Some(known) = facts(*other) else { return };
                if known.fingerprint == certificate.facts.fingerprint {
                    return;
                }
                self.twins.dropped += 1;
                if certificate.facts.not_after < known.not_after {
                    (other.row, other.index) = (new.row, new.index);
                }
            }
        }
    }
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

    /// As Prometheus reads it: two files that are shown alike are one.
    pub(super) fn rendered(&self) -> String {
        rendered(&self.pairs())
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

/// Of the labels as they are written: what is cut or written out may make two names the same.
fn labels_hash(certificate: &CertificateOnDisk) -> u64 {
    let mut hasher = DefaultHasher::new();
    rendered(&labels(certificate, &FileLabels::of(&certificate.file))).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
