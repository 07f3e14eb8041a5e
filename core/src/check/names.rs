//! The leaf's subject alternative names (RFC 9525 §2, §6.3): whether a client that asks for a configured name takes the leaf is asked of
//! the verifier that the SDK's clients use.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr as _;

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{DnsName, ServerName};
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::Case;
use super::findings::{Consequences, Findings};
use crate::certificate::SubjectAltNames;
use crate::finding::{Check, Finding, Severity};
use crate::spec::Usage;
use crate::text;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let credential = &case.keyed.credential;
    let (names, expectations) = (&credential.leaf().names, &case.spec.expectations);
    let mut of_missing = Consequences::Of(&[]);
    if names.is_empty() {
        let severity = if expectations.usages.contains(&Usage::ServerAuth) { Severity::Reject } else { Severity::Warn };
        let sentence = "the leaf has no DNS name, IP address or URI as a subject alternative name: peers cannot tell whose it is; have it \
                        issued with one, as the common name does not count";
        let finding = Finding::new(Check::NoSan, severity, sentence).in_file(file);
        if severity == Severity::Reject {
            findings.add_cause(finding, Consequences::Of(&[Check::NameMissing]));
        } else {
            of_missing = Consequences::Of(&[Check::NoSan]);
            findings.add(finding);
        }
    }
    // A leaf that cannot be parsed is for no name at all, and told of as such.
    let Some(Ok(leaf)) = credential.chain().first().map(ParsedCertificate::try_from) else { return };
    let is_for = |name: ServerName<'_>| verify_server_name(&leaf, &name).is_ok();
    let mut missing = |kind: &str, name: &dyn Display, found: &dyn Display| {
        let odd = odd(names, &name.to_string());
        let explained = if odd.is_some() { Consequences::Of(&[Check::NameUnusable]) } else { of_missing };
        let sentence = match odd {
            Some((odd, why)) => {
                format!(
                    "the leaf is for the {kind} {name} only as {odd:?}, and peers refuse that, since {why}; have it issued for it as such"
                )
            }
            None => {
                format!("the leaf is not for the {kind} {name}; have it issued for it, or correct the configuration")
            }
        };
        let finding = Finding::new(Check::NameMissing, Severity::Reject, sentence).in_file(file);
        findings.add_cause(finding.found(found).expected(name), explained);
    };
    let is_for_dns = |wanted: &str| match wanted.strip_prefix("*.") {
        // No client asks for a wildcard: the leaf has the same one.
        Some(_) => names.dns.iter().any(|presented| presented.eq_ignore_ascii_case(wanted)),
        None => ServerName::try_from(wanted).is_ok_and(is_for),
    };
    for name in expectations.dns_names.iter().filter(|name| !is_for_dns(name)) {
        missing("DNS name", name, &list(&names.dns));
    }
    for address in expectations.ip_addresses.iter().filter(|address| !is_for(ServerName::from(**address))) {
        missing("IP address", address, &list(&names.ip));
    }
    for uri in expectations.uris.iter().filter(|uri| !names.uris.contains(uri)) {
        missing("URI", uri, &list(&names.uris));
    }
    let unread = unread(case.leaf).map(|sentence| (Severity::Warn, sentence));
    if let Some((severity, sentence)) = unread.or_else(|| unusable(names)) {
        findings.add(Finding::new(Check::NameUnusable, severity, sentence).in_file(file));
    }
}

/// The sentence about names for which Go refuses the whole certificate, though rustls passes over them.
fn unread(leaf: &X509Certificate<'_>) -> Option<String> {
    let extension = leaf.subject_alternative_name().ok().flatten()?;
    let names = &extension.value.general_names;
    let is_known = |name: &GeneralName<'_>| {
        use GeneralName as N;
        matches!(name, N::DNSName(_) | N::IPAddress(_) | N::URI(_) | N::RFC822Name(_))
    };
    let cause = names.iter().find_map(|name| match name {
        GeneralName::IPAddress(octets) if !matches!(octets.len(), 4 | 16) => {
            Some(format!("an IP address of {} octets, where 4 or 16 belong", octets.len()))
        }
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) if !text.is_ascii() => {
            Some(format!("{text:?}, which is not in ASCII"))
        }
        GeneralName::Invalid(Tag(1 | 2 | 6), _) => Some("a name that is not in ASCII".to_owned()),
        _ => None,
    });
    match cause {
        Some(cause) => Some(format!(
            "among the subject alternative names of the leaf is {cause}, and peers written in Go refuse the leaf for it; have it issued \
             without"
        )),
        None if extension.critical && !names.iter().any(is_known) => Some(
            "the leaf's subject alternative names are critical and hold none of a kind that peers written in Go understand, which refuse it \
             for that; have it issued with a DNS name, an IP address or a URI"
                .to_owned(),
        ),
        None => None,
    }
}

/// The sentence about names that no peer can be asked for.
fn unusable(names: &SubjectAltNames) -> Option<(Severity, String)> {
    // Old clients look for an address among the DNS names: there it is no mistake beside the same one in its place.
    let is_twin = |name: &str| IpAddr::from_str(name).is_ok_and(|address| names.ip.contains(&address));
    let mut others = names.dns.iter().filter(|name| !is_twin(name));
    let (name, why) = others.find_map(|name| Some((name, why_unusable(name)?)))?;
    let is_alone = names.ip.is_empty() && names.uris.is_empty();
    Some(if is_alone && names.dns.iter().all(|name| why_unusable(name).is_some()) {
        let sentence = format!(
            "no subject alternative name of the leaf can be asked for: {name:?} is none that rustls, Go or OpenSSL take, since {why}; have it \
             issued for names that peers ask for"
        );
        (Severity::Warn, sentence)
    } else {
        let sentence = format!(
            "the leaf's DNS name {name:?} is none that rustls, Go or OpenSSL take, since {why}, so nobody who asks for it connects; have the leaf \
             issued for it as such, or without it"
        );
        (Severity::Info, sentence)
    })
}

/// A DNS name of the leaf that was to be this name, and what is odd about it.
fn odd<'n>(names: &'n SubjectAltNames, wanted: &str) -> Option<(&'n str, &'static str)> {
    let bare = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let presented = names.dns.iter().find(|presented| bare(presented) == bare(wanted))?;
    Some((presented, why_unusable(presented)?))
}

/// Why no peer takes a DNS name, where that is so.
fn why_unusable(name: &str) -> Option<&'static str> {
    if matches!(ServerName::try_from(name), Ok(ServerName::IpAddress(_))) {
        return Some("an IP address in the place of a DNS name does not count");
    }
    if name.ends_with('.') {
        return Some("it ends in a dot");
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if DnsName::try_from(rest).is_ok() {
        return None;
    }
    Some(if name.contains("://") {
        "it is a URL"
    } else if name.contains('\0') {
        "there is a NUL in it"
    } else if name.contains(char::is_whitespace) {
        "there is a blank in it"
    } else if name.contains(':') {
        "it has a port"
    } else if rest.contains('*') {
        "a wildcard stands alone in the first label, or not at all"
    } else {
        "it is no valid DNS name"
    })
}

fn list<T: Display>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| text::item(&name.to_string())).collect::<Vec<_>>().join(", ")
}
