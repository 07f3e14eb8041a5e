//! The usages of the leaf's key.

use super::*;

#[test]
fn the_extended_key_usage_must_allow_what_is_configured() {
    let server = |leaf: &mut CertificateParams| leaf.extended_key_usages = vec![Eku::ServerAuth];
    assert_eq!(judge(&wanting(&[Usage::ServerAuth]), server).told(), []);
    assert_eq!(judge(&spec(), server).told(), []);
    let assessment = judge(&wanting(&[Usage::ServerAuth, Usage::ClientAuth]), server);
    assessment.rejects_credential_for(Check::ExtendedKeyUsage);
    assert_eq!(assessment.findings[0].found.as_deref(), Some("server auth"));
    assert_eq!(assessment.findings[0].expected.as_deref(), Some("server auth, client auth"));
}

#[test]
fn an_absent_extended_key_usage_is_a_warning_where_usages_are_configured() {
    let absent = |leaf: &mut CertificateParams| leaf.extended_key_usages.clear();
    judge(&wanting(&[Usage::ServerAuth]), absent).admits_with(Check::ExtendedKeyUsage, Severity::Warn);
    assert_eq!(judge(&spec(), absent).told(), []);
}

#[test]
fn any_extended_key_usage_does_not_stand_for_the_configured_one() {
    let any = |leaf: &mut CertificateParams| leaf.extended_key_usages = vec![Eku::Any];
    judge(&wanting(&[Usage::ServerAuth]), any).rejects_credential_for(Check::ExtendedKeyUsage);
    judge(&wanting(&[Usage::Any]), any).rejects_credential_for(Check::ExtendedKeyUsage);
    judge(&spec(), any).rejects_credential_for(Check::ExtendedKeyUsage);
    let both = |leaf: &mut CertificateParams| leaf.extended_key_usages = vec![Eku::Any, Eku::ServerAuth];
    judge(&wanting(&[Usage::ServerAuth]), both).admits_with(Check::ExtendedKeyUsage, Severity::Warn);
}

#[test]
fn the_key_usage_must_allow_handshakes_and_what_is_configured() {
    let without = |leaf: &mut CertificateParams| leaf.key_usages = vec![Ku::KeyEncipherment];
    judge(&spec(), without).rejects_credential_for(Check::KeyUsage);
    let assessment = judge(&wanting(&[Usage::KeyEncipherment]), |_| {});
    assessment.rejects_credential_for(Check::KeyUsage);
    assert_eq!(assessment.findings[0].found.as_deref(), Some("digital signature"));
    assert_eq!(assessment.findings[0].expected.as_deref(), Some("digital signature, key encipherment"));
    let with = |leaf: &mut CertificateParams| leaf.key_usages.push(Ku::KeyEncipherment);
    assert_eq!(judge(&wanting(&[Usage::KeyEncipherment]), with).told(), []);
}

#[test]
fn an_absent_or_uncritical_key_usage_is_a_warning() {
    let absent = |leaf: &mut CertificateParams| leaf.key_usages.clear();
    judge(&wanting(&[Usage::ServerAuth]), absent).admits_with(Check::KeyUsage, Severity::Warn);
    assert_eq!(judge(&spec(), absent).told(), []);
    let uncritical = |leaf: &mut CertificateParams| {
        leaf.key_usages.clear();
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]));
    };
    judge(&spec(), uncritical).admits_with(Check::KeyUsage, Severity::Warn);
}
