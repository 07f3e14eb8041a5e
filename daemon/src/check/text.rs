//! The report as people read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use evercert_core::finding::Severity;

use super::report::{Change, Report, Told};

/// Whether severities are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// In a terminal.
    Coloured,
    /// Everywhere else.
    Plain,
}

/// The indentation of a sentence below the line that says what it is about.
const INDENT: &str = "    ";

/// The findings, the worst first; then what time brings, the first first; and a line that sums it up.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let mut known = BTreeSet::new();
    let mut findings: Vec<_> = report
        .inputs
        .iter()
        .flat_map(|judged| judged.findings.iter().map(move |told| (judged, told)))
        // A file that is beside several others is told of once.
        .filter(|(judged, told)| {
            known.insert((place(told, &judged.input), &*told.finding.check, &*told.finding.sentence))
        })
        .collect();
    findings.sort_by_key(|(_, told)| std::cmp::Reverse(told.finding.severity));
    for (judged, told) in findings {
        out.push_str(&finding(told, &judged.input, style));
    }
    let mut changes: Vec<_> =
        report.inputs.iter().flat_map(|judged| judged.outlook.iter().map(move |change| (judged, change))).collect();
    changes.sort_by_key(|(_, change)| change.at.0);
    for (judged, change) in changes {
        out.push_str(&later(change, &judged.input, style));
    }
    out.push_str(&summary(report));
    out
}

fn finding(told: &Told, input: &str, style: Style) -> String {
    let Told { finding, certificate, .. } = told;
    let mut out = format!("{}: {}[{}]", place(told, input), coloured(finding.severity, style), finding.check);
    if let Some(certificate) = certificate {
        let _ = write!(out, " {}, serial {}", certificate.subject, certificate.serial);
    }
    let _ = write!(out, "\n{INDENT}{}", finding.sentence);
    match (&finding.found, &finding.expected) {
        (Some(found), Some(expected)) => {
            let _ = write!(out, "\n{INDENT}found {found}, expected {expected}");
        }
        (Some(found), None) => {
            let _ = write!(out, "\n{INDENT}found {found}");
        }
        (None, _) => {}
    }
    out + "\n"
}

fn later(change: &Change, input: &str, style: Style) -> String {
    let at = change.at.0.map(evercert_core::clock::rfc3339).unwrap_or_default();
    change.findings.iter().map(|told| format!("{at} {}", finding(told, input, style))).collect()
}

/// The file, with the line where it is known; of a finding about no file, the input.
fn place(told: &Told, input: &str) -> String {
    let file = told.finding.file.as_deref().unwrap_or(input);
    told.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
}

fn coloured(severity: Severity, style: Style) -> String {
    let code = match severity {
        Severity::Reject => "31",
        Severity::Warn => "33",
        Severity::Info => "36",
    };
    match style {
        Style::Coloured => format!("\u{1b}[1;{code}m{severity}\u{1b}[0m"),
        Style::Plain => severity.to_string(),
    }
}

fn summary(report: &Report) -> String {
    let of = &report.summary;
    let counts =
        [(of.unreadable, "unreadable"), (of.rejected, "rejected"), (of.warned, "with warnings"), (of.clean, "clean")];
    let told: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let later = match of.failing_later {
        0 => String::new(),
        count => format!("; {count} to be rejected by then"),
    };
    format!("{} checked: {}{later}\n", of.checked, told.join(", "))
}
