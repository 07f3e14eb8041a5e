//! The report as SARIF 2.1.0, which code scanners show beside the files of a repository.

use std::path::Path;

use evercert_core::finding::{Check, Severity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::report::{LocatedFinding, Report};

/// Where the form of SARIF is described.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What stays as it is in the path of a URI (RFC 3986 §3.3).
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The report. Files beneath `base` are told of relative to it, as a scanner of a repository wants it.
pub(crate) fn sarif(report: &Report, base: &Path) -> Value {
    let now = report.findings().into_iter().map(|(judged, told)| result(told, &judged.input, None, base));
    let later = report.changes().into_iter().flat_map(|(judged, change)| {
        let at = change.at.0.map(evercert_core::clock::rfc3339);
        change.findings.iter().map(move |told| result(told, &judged.input, at.as_deref(), base))
    });
    let results: Vec<_> = now.chain(later).collect();
    let rules: Vec<_> = Check::ALL.iter().map(|check| rule(*check)).collect();
    let driver = json!({ "name": "evercertd", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "results": results }],
    })
}

fn rule(check: Check) -> Value {
    json!({
        "id": check.as_str(),
        "shortDescription": { "text": check.meaning() },
        "help": { "text": check.explanation() },
        "defaultConfiguration": { "level": check.severities().last().map_or("none", |worst| level(*worst)) },
        "properties": { "clause": check.clause() },
    })
}

/// A finding; one that holds only later begins with when.
fn result(told: &LocatedFinding, input: &str, from: Option<&str>, base: &Path) -> Value {
    let finding = &told.finding;
    let about = told.certificate.as_ref().map(|about| format!("{about}: "));
    let from = from.map(|from| format!("from {from} on: "));
    let text = [from.as_deref(), about.as_deref(), Some(&*finding.sentence)].into_iter().flatten().collect::<String>();
    let uri = uri(finding.file.as_deref().unwrap_or(input), base);
    let mut location = json!({ "artifactLocation": { "uri": uri } });
    if let Some(line) = told.line {
        location["region"] = json!({ "startLine": line });
    }
    let mut result = json!({
        "ruleId": finding.check,
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [{ "physicalLocation": location }],
    });
    if let Some(about) = &told.certificate {
        // A scanner knows it again by that when lines move.
        result["partialFingerprints"] = json!({ "certificateSha256/v1": about.sha256 });
    }
    result
}

fn uri(file: &str, base: &Path) -> String {
    let path = Path::new(file);
    let relative = path.strip_prefix(base).ok().and_then(Path::to_str);
    match relative {
        Some(relative) => utf8_percent_encode(relative, &PATH).to_string(),
        None if path.is_absolute() => format!("file://{}", utf8_percent_encode(file, &PATH)),
        None => utf8_percent_encode(file, &PATH).to_string(),
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Reject => "error",
        Severity::Warn => "warning",
        Severity::Info => "note",
    }
}
