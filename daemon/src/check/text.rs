//! The report as people read it.

use evercert_core::clock::rfc3339;
use evercert_core::finding::Severity;

use super::report::{Change, LocatedFinding, Report};

/// Whether severities are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// In a terminal.
    Coloured,
    /// Everywhere else.
    Plain,
}

/// The findings, the worst first; then what time brings, the first first; and a line that sums it up.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let findings = report.findings().into_iter().map(|(judged, told)| finding(told, &judged.input, style));
    let changes = report.changes().into_iter().map(|(judged, change)| later(change, &judged.input, style));
    findings.chain(changes).collect::<String>() + &summary(report)
}

/// A line that says what it is about, and below it what there is to say.
fn finding(told: &LocatedFinding, input: &str, style: Style) -> String {
    let LocatedFinding { finding, certificate, .. } = told;
    let head = format!("{}: {}[{}]", told.place(input), coloured(finding.severity, style), finding.check);
    let about = certificate.as_ref().map(|about| format!(" {about}"));
    let values = finding.values().map_or_else(String::new, |values| format!("    {values}\n"));
    format!("{head}{}\n    {}\n{values}", about.unwrap_or_default(), finding.sentence)
}

fn later(change: &Change, input: &str, style: Style) -> String {
    let at = change.at.0.map(rfc3339).unwrap_or_default();
    change.findings.iter().map(|told| format!("{at} {}", finding(told, input, style))).collect()
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
    let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let told: Vec<_> = told.collect();
    let later = match of.failing_later {
        0 => String::new(),
        count => format!("; {count} to be rejected later"),
    };
    format!("{} checked: {}{later}\n", of.checked, told.join(", "))
}
