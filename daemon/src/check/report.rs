//! The report, and how it is serialised. The names are stable: fields are added, never renamed or removed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use evercert_core::finding::{self, Check, Severity};
use evercert_core::keeper::CertificateOnDisk;
use evercert_core::text;
use serde::Serialize;

use super::Question;
use crate::status::{Certificate, Finding, Moment};

/// The version of the report's form. It is another one where a field is renamed, removed or means something else.
const SCHEMA: u32 = 1;

/// All that was judged.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// The instant for which it was judged.
    pub(crate) at: Moment,
    /// The instant until which the outlooks reach; null without any.
    pub(crate) until: Moment,
    pub(crate) summary: Summary,
    /// In the order in which they were written.
    pub(crate) inputs: Vec<Judged>,
}

/// How many inputs have which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) checked: usize,
    pub(crate) clean: usize,
    pub(crate) warned: usize,
    pub(crate) rejected: usize,
    pub(crate) unreadable: usize,
    /// How many of the clean and the warned ones fail until the end of the outlook.
    pub(crate) failing_later: usize,
}

/// One input, or one part of it.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    /// As it was written; of a kubeconfig with the context.
    pub(crate) input: String,
    pub(crate) kind: Kind,
    pub(crate) verdict: Verdict,
    /// Whether a daemon that starts on it publishes a generation; null where it is no part of an identity that could be.
    pub(crate) published: Option<bool>,
    /// Every certificate that was read.
    pub(crate) certificates: Vec<LocatedCertificate>,
    /// The worst first.
    pub(crate) findings: Vec<LocatedFinding>,
    /// What becomes worse until the end of the outlook, the first first.
    pub(crate) outlook: Vec<Change>,
}

/// What an input was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The directory of an identity, or one file with its key and chain.
    Identity,
    /// A chain without its key.
    Chain,
    /// Trust anchors.
    Bundle,
    /// Certificate revocation lists.
    Crls,
    /// A private key without its leaf.
    Key,
    /// Nothing that could be told.
    Unknown,
}

/// The worst that is to be said of an input; its order is that of the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// It is published, or held until it is valid, and something should be mended.
    Warned,
    /// It is not published.
    Rejected,
    /// It cannot be read, or not by this user: what it is worth is not known.
    Unreadable,
}

/// A certificate and its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LocatedCertificate {
    pub(crate) file: String,
    /// The line in which its PEM block or, in a kubeconfig, its value begins, counted from 1; null where it is not in PEM.
    pub(crate) line: Option<usize>,
    #[serde(flatten)]
    pub(crate) certificate: Certificate,
}

/// A finding and its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LocatedFinding {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    /// The line in which the PEM block of the certificate begins.
    pub(crate) line: Option<usize>,
    /// The certificate that it is about.
    pub(crate) certificate: Option<CertificateName>,
}

/// A certificate as it is named.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CertificateName {
    /// RFC 4514.
    pub(crate) subject: String,
    /// Hexadecimal.
    pub(crate) serial: String,
    /// Of the DER.
    pub(crate) sha256: String,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Those of SPIFFE and of pods have their names elsewhere.
        let subject = if self.subject.is_empty() { "(no subject)" } else { &self.subject };
        write!(f, "{subject}, serial {}", self.serial)
    }
}

/// What time brings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    /// The verdict from then on.
    pub(crate) verdict: Verdict,
    /// The findings that there were not before.
    pub(crate) findings: Vec<LocatedFinding>,
}

impl Report {
    pub(super) fn of(inputs: Vec<Judged>, question: &Question) -> Self {
        let count = |verdict| inputs.iter().filter(|judged| judged.verdict == verdict).count();
        let fails = |judged: &&Judged| judged.verdict < Verdict::Rejected && judged.worst() >= Verdict::Rejected;
        let summary = Summary {
            checked: inputs.len(),
            clean: count(Verdict::Clean),
            warned: count(Verdict::Warned),
            rejected: count(Verdict::Rejected),
            unreadable: count(Verdict::Unreadable),
            failing_later: inputs.iter().filter(fails).count(),
        };
        Self { schema: SCHEMA, at: Moment(Some(question.at)), until: Moment(question.until), summary, inputs }
    }

    /// The findings, the worst first, each with the input that it is about. A file that is beside several inputs is told of once.
    pub(super) fn findings(&self) -> Vec<(&Judged, &LocatedFinding)> {
        let mut known = BTreeSet::new();
        let all = self.inputs.iter().flat_map(|judged| judged.findings.iter().map(move |told| (judged, told)));
        let is_new = |(judged, told): &(&Judged, &LocatedFinding)| {
            known.insert((told.place(&judged.input), told.finding.check.clone(), told.finding.sentence.clone()))
        };
        let mut findings: Vec<_> = all.filter(is_new).collect();
        findings.sort_by_key(|(_, told)| std::cmp::Reverse(told.finding.severity));
        findings
    }

    /// What time brings, the first first.
    pub(super) fn changes(&self) -> Vec<(&Judged, &Change)> {
        let changes = self.inputs.iter().flat_map(|judged| judged.outlook.iter().map(move |change| (judged, change)));
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|(_, change)| change.at.0);
        changes
    }

    /// The worst verdict, that of the outlook included.
    pub(crate) fn verdict(&self) -> Verdict {
        self.inputs.iter().map(Judged::worst).max().unwrap_or(Verdict::Clean)
    }
}

impl Judged {
    pub(super) fn of_findings(findings: &[finding::Finding]) -> Self {
        Self {
            input: String::new(),
            kind: Kind::Unknown,
            verdict: Verdict::of(findings),
            published: None,
            certificates: Vec::new(),
            findings: findings.iter().map(|finding| LocatedFinding::of(finding, None)).collect(),
            outlook: Vec::new(),
        }
    }

    fn worst(&self) -> Verdict {
        self.outlook.iter().map(|change| change.verdict).max().max(Some(self.verdict)).unwrap_or(self.verdict)
    }
}

impl Verdict {
    /// The verdict that follows from findings.
    pub(super) fn of(findings: &[finding::Finding]) -> Self {
        let is_unread = |finding: &finding::Finding| matches!(finding.check, Check::FileUnreadable | Check::TornRead);
        match findings.iter().map(|finding| finding.severity).max() {
            _ if findings.iter().any(is_unread) => Self::Unreadable,
            Some(Severity::Reject) => Self::Rejected,
            Some(Severity::Warn) => Self::Warned,
            Some(Severity::Info) | None => Self::Clean,
        }
    }
}

impl Change {
    pub(super) fn new(at: SystemTime, verdict: Verdict, findings: Vec<LocatedFinding>) -> Self {
        Self { at: Moment(Some(at)), verdict, findings }
    }
}

impl LocatedFinding {
    pub(super) fn of(finding: &finding::Finding, about: Option<(&CertificateOnDisk, Option<usize>)>) -> Self {
        let certificate = about.map(|(about, _)| CertificateName {
            subject: about.facts.subject.text.clone(),
            serial: about.facts.hexadecimal_serial.clone(),
            sha256: about.facts.fingerprint.to_string(),
        });
        Self { finding: Finding::from(finding), line: about.and_then(|(_, line)| line), certificate }
    }

    /// The file, with the line where it is known; of a finding about no file, the input.
    pub(super) fn place(&self, input: &str) -> String {
        let file = self.finding.file.as_deref().unwrap_or(input);
        self.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
    }
}

impl LocatedCertificate {
    pub(super) fn of(on_disk: &CertificateOnDisk, line: Option<usize>) -> Self {
        let certificate = Certificate::from(&*on_disk.facts);
        Self { file: text::path(&on_disk.file), line, certificate }
    }
}
