//! Which certificate of which file a finding is about.

use std::path::PathBuf;
use std::sync::Arc;

use evercert_core::finding::Finding;
use evercert_core::keeper::{CertificateOnDisk, IdentityState};

use super::report::LocatedCertificate;

/// The certificates of an identity's files.
pub(super) struct Places {
    on_disk: Arc<[CertificateOnDisk]>,
    /// The file of the chain.
    chain: Option<PathBuf>,
    /// The line of certificates that have none of their own.
    line: Option<usize>,
}

impl Places {
    pub(super) fn of(state: &IdentityState, line: Option<usize>) -> Self {
        let chain = state.spec.files.credential.as_ref().map(|files| files.chain().to_owned());
        Self { on_disk: Arc::clone(&state.on_disk), chain, line }
    }

    /// Every certificate.
    pub(super) fn certificates(&self) -> Vec<LocatedCertificate> {
        self.on_disk.iter().map(|on_disk| LocatedCertificate::of(on_disk, self.line_of(on_disk))).collect()
    }

    /// The line of a certificate, where it is known.
    pub(super) fn line_of(&self, on_disk: &CertificateOnDisk) -> Option<usize> {
        on_disk.line.or(self.line)
    }

    /// The certificate that a finding is about: the one that it names, else the leaf where it is about the chain, else the only one of its
    /// file.
    pub(super) fn of_finding(&self, finding: &Finding) -> Option<&CertificateOnDisk> {
        let file = finding.file.as_deref().or(self.chain.as_deref());
        let mut within = self.on_disk.iter().filter(|certificate| Some(&*certificate.file) == file);
        match finding.certificate.as_deref() {
            Some(fingerprint) => within.find(|certificate| certificate.facts.fingerprint == *fingerprint),
            None if file == self.chain.as_deref() => within.next(),
            None => within.next().filter(|_| within.next().is_none()),
        }
    }
}
