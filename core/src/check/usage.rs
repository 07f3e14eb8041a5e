//! The allowed usages of the leaf's key (RFC 5280 §4.2.1.3, §4.2.1.12), against the wanted ones.

use x509_parser::extensions::{ExtendedKeyUsage, KeyUsage};

use super::findings::Findings;
use super::{Case, svid};
use crate::finding::{Check, Finding, Severity};
use crate::spec::Usage;

pub(super) fn extended_key_usage(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let wanted: Vec<Usage> =
        case.spec.expectations.usages.iter().copied().filter(|usage| is_extended(*usage)).collect();
    if wanted.is_empty() {
        return;
    }
    let finding = |severity, sentence: &str| {
        Finding::new(Check::ExtendedKeyUsage, severity, sentence).in_file(file).expected(list(&wanted))
    };
    let Some(found) = case.leaf.extended_key_usage().ok().flatten().map(|extension| extension.value) else {
        let sentence = "the leaf has no extended key usage: any role will do for it; have it issued for its own";
        return findings.add(finding(Severity::Warn, sentence));
    };
    let found_list = list(&EXTENDED.into_iter().filter(|usage| allows(found, *usage)).collect::<Vec<_>>());
    if !wanted.iter().all(|usage| allows(found, *usage)) {
        let sentence = if found.any {
            "the leaf's extended key usage is \"any\", which rustls and other strict peers do not take for the usages \
             configured; have it issued with them"
        } else {
            "the leaf's extended key usage lacks a configured usage; have it issued with it, or correct the configuration"
        };
        findings.add(finding(Severity::Reject, sentence).found(found_list));
    } else if found.any && !wanted.contains(&Usage::Any) {
        let sentence = "the leaf's extended key usage has \"any\" beside the usages configured; have it issued without";
        findings.add(finding(Severity::Warn, sentence).found(found_list));
    }
}

pub(super) fn key_usage(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let configured = case.spec.expectations.usages.iter().copied().filter(|usage| !is_extended(*usage));
    // TLS 1.3 signs every handshake with the leaf's key (RFC 8446 §4.4.2.2).
    let mut wanted = vec![Usage::DigitalSignature];
    wanted.extend(configured.filter(|usage| *usage != Usage::DigitalSignature));
    let finding = |severity, sentence: &str| {
        Finding::new(Check::KeyUsage, severity, sentence).in_file(file).expected(list(&wanted))
    };
    let Some(extension) = case.leaf.key_usage().ok().flatten() else {
        if !case.spec.expectations.usages.is_empty() || svid::is_wanted(case) {
            let sentence =
                "the leaf has no key usage: its key may be used for anything; have it issued for what it does";
            findings.add(finding(svid::severity(case), sentence));
        }
        return;
    };
    let found: Vec<Usage> = KEY.into_iter().filter(|usage| permits(extension.value, *usage)).collect();
    if !wanted.iter().all(|usage| found.contains(usage)) {
        let sentence = if found.contains(&Usage::DigitalSignature) {
            "the leaf's key usage lacks a configured usage; have it issued with it, or correct the configuration"
        } else {
            "the leaf's key usage lacks \"digital signature\", without which there is no handshake; have it issued with it"
        };
        findings.add(finding(Severity::Reject, sentence).found(list(&found)));
    } else if !extension.critical {
        let sentence =
            "the leaf's key usage is not marked critical: peers may pass over it; have it issued as critical";
        findings.add(Finding::new(Check::KeyUsage, svid::severity(case), sentence).in_file(file));
    }
}

const EXTENDED: [Usage; 7] = [
    Usage::ServerAuth,
    Usage::ClientAuth,
    Usage::Any,
    Usage::CodeSigning,
    Usage::EmailProtection,
    Usage::Timestamping,
    Usage::OcspSigning,
];

const KEY: [Usage; 5] = [
    Usage::DigitalSignature,
    Usage::ContentCommitment,
    Usage::KeyEncipherment,
    Usage::DataEncipherment,
    Usage::KeyAgreement,
];

fn is_extended(usage: Usage) -> bool {
    EXTENDED.contains(&usage)
}

fn allows(extension: &ExtendedKeyUsage<'_>, usage: Usage) -> bool {
    match usage {
        Usage::ServerAuth => extension.server_auth,
        Usage::ClientAuth => extension.client_auth,
        Usage::Any => extension.any,
        Usage::CodeSigning => extension.code_signing,
        Usage::EmailProtection => extension.email_protection,
        Usage::Timestamping => extension.time_stamping,
        Usage::OcspSigning => extension.ocsp_signing,
        _ => false,
    }
}

fn permits(extension: &KeyUsage, usage: Usage) -> bool {
    match usage {
        Usage::DigitalSignature => extension.digital_signature(),
        Usage::ContentCommitment => extension.non_repudiation(),
        Usage::KeyEncipherment => extension.key_encipherment(),
        Usage::DataEncipherment => extension.data_encipherment(),
        Usage::KeyAgreement => extension.key_agreement(),
        _ => false,
    }
}

fn list(usages: &[Usage]) -> String {
    if usages.is_empty() {
        return "none of them".to_owned();
    }
    usages.iter().map(|usage| usage.as_str()).collect::<Vec<_>>().join(", ")
}
