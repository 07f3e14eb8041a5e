//! The leaf's subject alternative names (RFC 9525 §2, §6.3).

use std::fmt::Display;

use super::report::Report;
use super::{Case, Check, Finding, Severity};
use crate::certificate::SubjectAltNames;
use crate::spec::Usage;

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let file = case.files.chain();
    let (names, expectations) = (&case.keyed.credential.leaf().names, &case.spec.expectations);
    if names.is_empty() {
        let severity = if expectations.usages.contains(&Usage::ServerAuth) { Severity::Reject } else { Severity::Warn };
        let sentence =
            "the leaf has no subject alternative name: peers cannot tell whose it is; the common name does not count";
        report.add(Finding::new(Check::NoSan, severity, sentence).in_file(file));
    }
    let mut missing = |kind: &str, name: &dyn Display, found: &dyn Display| {
        let sentence =
            format!("the leaf is not for the {kind} {name}; have it issued for it, or correct the configuration");
        let finding = Finding::new(Check::NameMissing, Severity::Reject, sentence).in_file(file);
        report.add(finding.found(found).expected(name));
    };
    for name in expectations.dns_names.iter().filter(|name| !covers(names, name)) {
        missing("DNS name", name, &list(&names.dns));
    }
    for address in expectations.ip_addresses.iter().filter(|address| !names.ip.contains(address)) {
        missing("IP address", address, &list(&names.ip));
    }
    for uri in expectations.uris.iter().filter(|uri| !names.uris.contains(uri)) {
        missing("URI", uri, &list(&names.uris));
    }
}

fn covers(names: &SubjectAltNames, wanted: &str) -> bool {
    names.dns.iter().any(|presented| matches(presented, wanted))
}

/// Whether a presented DNS name is the wanted one, without regard to case, or a wildcard for one whole label in front of it
/// (RFC 9525 §6.3). A wanted wildcard is matched by the same wildcard alone.
fn matches(presented: &str, wanted: &str) -> bool {
    let (presented, wanted) = (presented.trim_end_matches('.'), wanted.trim_end_matches('.'));
    if presented.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some(suffix), Some((label, parent))) = (presented.strip_prefix("*."), wanted.split_once('.')) else {
        return false;
    };
    !label.is_empty() && suffix.contains('.') && suffix.eq_ignore_ascii_case(parent)
}

fn list<T: Display>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
