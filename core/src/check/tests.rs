mod chain;
mod ends;
mod loading;
mod names;

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose as Eku, IsCa, KeyUsagePurpose as Ku,
    SanType, SerialNumber,
};

use super::*;
use crate::spec::{RequireChain, Usage};
use crate::test_pki::{DAY, Entity, Files, HOUR, common_name, dedicated, key, now, self_signed, spec};

const SECOND: Duration = Duration::from_secs(1);

/// What is said of a leaf under a root of its own.
fn judge(spec: &IdentitySpec, change: impl FnOnce(&mut CertificateParams)) -> Assessment {
    let root = Entity::root("root");
    judge_files(spec, &Files::of(&root.leaf_with(change), &[], &[&root]))
}

fn judge_files(spec: &IdentitySpec, files: &Files) -> Assessment {
    assess(spec, &files.read(spec), &Trusted::default(), now())
}

fn wanting(usages: &[Usage]) -> IdentitySpec {
    let mut spec = spec();
    spec.expectations.usages = usages.to_vec();
    spec
}

impl Assessment {
    fn told(&self) -> Vec<(Check, Severity)> {
        self.findings.iter().map(|finding| (finding.check, finding.severity)).collect()
    }

    fn admits(&self) -> bool {
        matches!(self.credential, Verdict::Admitted(_))
    }

    fn rejects_credential_for(&self, check: Check) {
        assert_eq!(self.told(), [(check, Severity::Reject)]);
        assert!(matches!(self.credential, Verdict::Rejected));
        self.is_told_well();
    }

    fn admits_with(&self, check: Check, severity: Severity) {
        assert_eq!(self.told(), [(check, severity)]);
        assert!(self.admits());
        self.is_told_well();
    }

    /// Each finding is one sentence about one file, with both values where there are two.
    fn is_told_well(&self) {
        for finding in &self.findings {
            assert!(finding.sentence.len() > 30 && !finding.sentence.contains("  "), "{}", finding.sentence);
            assert!(finding.file.is_some(), "{finding:?}");
            assert!(finding.found.is_none() || finding.expected.is_some() || finding.severity < Severity::Reject);
        }
    }
}

#[test]
fn a_good_credential_and_bundle_are_admitted_without_a_word() {
    let usages = [Usage::ServerAuth, Usage::ClientAuth, Usage::DigitalSignature];
    let assessment = judge(&wanting(&usages), |_| {});
    assert_eq!(assessment.told(), []);
    assert!(assessment.admits());
    assert!(matches!(assessment.bundle, Verdict::Admitted(_)));
}

#[test]
fn a_key_of_another_leaf_is_told_by_both_public_keys() {
    let root = Entity::root("root");
    let (leaf, other) = (root.leaf(), key());
    let assessment = judge_files(&spec(), &Files::of(&leaf, &[], &[&root]).with_key(other.serialize_pem()));
    assessment.rejects_credential_for(Check::KeyMismatch);
    let fingerprint = |key: &rcgen::KeyPair| Digest::fingerprint(&rcgen::PublicKeyData::subject_public_key_info(key));
    assert_eq!(assessment.findings[0].found, Some(fingerprint(&other).to_string()));
    assert_eq!(assessment.findings[0].expected, Some(fingerprint(&leaf.key).to_string()));
    assert!(matches!(assessment.bundle, Verdict::Admitted(_)));
}

#[test]
fn a_leaf_that_is_not_first_is_told_apart_from_a_wrong_key() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let files = Files::of(&sub, &[&leaf], &[&root]).with_key(leaf.key.serialize_pem());
    let assessment = judge_files(&spec(), &files);
    assert!(assessment.told().contains(&(Check::LeafNotFirst, Severity::Reject)));
    assert!(!assessment.told().contains(&(Check::KeyMismatch, Severity::Reject)));
    assert!(assessment.findings[0].sentence.contains("certificate 2"));
    assert!(matches!(assessment.credential, Verdict::Rejected));
}

#[test]
fn a_chain_out_of_order_is_a_warning() {
    let root = Entity::root("root");
    let one = root.sub_ca("one", |_| {});
    let two = one.sub_ca("two", |_| {});
    let leaf = two.leaf();
    assert_eq!(judge_files(&spec(), &Files::of(&leaf, &[&two, &one], &[&root])).told(), []);
    let assessment = judge_files(&spec(), &Files::of(&leaf, &[&one, &two], &[&root]));
    assessment.admits_with(Check::ChainOrder, Severity::Warn);
    assert!(assessment.findings[0].sentence.starts_with("certificate 2 of tls.crt (CN=one) did not issue"));
    assert!(assessment.findings[0].sentence.contains("from the leaf up"));
}

#[test]
fn a_certificate_that_issued_none_of_the_chain_is_told_to_be_left_out_and_a_second_one_of_an_issuer_is_not() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let sub = root.sub_ca("sub", |_| {});
    let cross = sub.again_with(&other, |_| {});
    let files = |issuers: &[&Entity]| Files::of(&sub.leaf(), issuers, &[&root]);
    assert_eq!(judge_files(&spec(), &files(&[&sub, &cross])).told(), []);
    let assessment = judge_files(&spec(), &files(&[&sub, &other.sub_ca("stray", |_| {})]));
    assessment.admits_with(Check::ChainOrder, Severity::Warn);
    assert!(assessment.findings[0].sentence.contains("leave it out"), "{}", assessment.findings[0].sentence);
}

#[test]
fn a_root_in_the_chain_is_worth_knowing() {
    let root = Entity::root("root");
    judge_files(&spec(), &Files::of(&root.leaf(), &[&root], &[&root])).admits_with(Check::RootInChain, Severity::Info);
}

#[test]
fn a_credential_must_chain_to_the_bundle_that_came_with_it() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let files = Files::of(&root.leaf(), &[], &[&other]);
    judge_files(&spec(), &files).rejects_credential_for(Check::ChainUntrusted);
    judge_files(&dedicated(), &files).admits_with(Check::ChainUntrusted, Severity::Warn);

    let requiring = |require_chain, mut spec: IdentitySpec| {
        spec.expectations.require_chain = require_chain;
        judge_files(&spec, &files)
    };
    requiring(RequireChain::Never, spec()).admits_with(Check::ChainUntrusted, Severity::Warn);
    requiring(RequireChain::Always, dedicated()).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn a_missing_intermediate_is_a_chain_that_does_not_hold() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    judge_files(&spec(), &Files::of(&sub.leaf(), &[], &[&root])).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn an_intermediate_that_forbids_the_wanted_usage_breaks_the_chain() {
    let root = Entity::root("root");
    let clients = root.sub_ca("sub", |sub| sub.extended_key_usages = vec![Eku::ClientAuth]);
    let files = Files::of(&clients.leaf(), &[&clients], &[&root]);
    assert!(judge_files(&wanting(&[Usage::ClientAuth]), &files).admits());
    judge_files(&wanting(&[Usage::ServerAuth]), &files).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn without_a_bundle_there_is_nothing_to_chain_to() {
    let files = Files::of(&Entity::root("root").leaf(), &[], &[]);
    let assessment = judge_files(&spec(), &files);
    assessment.admits_with(Check::NoBundle, Severity::Info);
    assert!(matches!(assessment.bundle, Verdict::Absent));
    let mut requiring = spec();
    requiring.expectations.require_chain = RequireChain::Always;
    judge_files(&requiring, &files).rejects_credential_for(Check::NoBundle);
}

#[test]
fn a_self_signed_leaf_that_is_its_own_bundle_is_admitted() {
    let leaf = self_signed(|_| {});
    assert!(judge_files(&spec(), &Files::of(&leaf, &[], &[&leaf])).admits());
}

#[test]
fn a_credential_is_held_against_the_last_good_bundle_where_the_new_one_is_rejected() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let files = Files::of(&root.leaf(), &[], &[]).with_bundle("");
    let judge = |last_good: &Entity| {
        let last_good = Arc::new(crate::test_pki::bundle(&[last_good]));
        assess(&spec(), &files.read(&spec()), &Some(&last_good).into(), now())
    };
    assert!(judge(&root).admits());
    assert!(!judge(&other).admits());
    assert!(assess(&spec(), &files.read(&spec()), &Trusted::default(), now()).admits());
}

#[test]
fn a_leaf_is_good_through_the_last_second_of_its_validity() {
    let root = Entity::root("root");
    let not_after = now() + 80 * DAY;
    let material = Files::of(&root.leaf(), &[], &[&root]).read(&spec());
    let at = |instant| assess(&spec(), &material, &Trusted::default(), instant);
    assert!(at(not_after).admits());
    assert!(at(not_after + SECOND - Duration::from_nanos(1)).admits());
    assert_eq!(at(not_after).next_change, Some(not_after + SECOND));
    at(not_after + SECOND).rejects_credential_for(Check::Expired);
}

#[test]
fn a_leaf_of_the_future_is_held_until_it_is_valid_but_for_the_skew() {
    let root = Entity::root("root");
    let not_before = now() + HOUR;
    let leaf = root.leaf_with(|leaf| leaf.not_before = not_before.into());
    let material = Files::of(&leaf, &[], &[&root]).read(&spec());
    let due = not_before - 5 * SECOND;

    let assessment = assess(&spec(), &material, &Trusted::default(), now());
    assert_eq!(assessment.told(), [(Check::NotYetValid, Severity::Warn)]);
    assert!(matches!(assessment.credential, Verdict::Held { until, .. } if until == due));
    assert_eq!(assessment.next_change, Some(due));

    assess(&spec(), &material, &Trusted::default(), due).admits_with(Check::NotYetValid, Severity::Warn);
    assert_eq!(assess(&spec(), &material, &Trusted::default(), not_before).told(), []);
}

#[test]
fn a_leaf_that_would_be_rejected_is_not_held() {
    let assessment = judge(&spec(), |leaf| {
        leaf.not_before = (now() + HOUR).into();
        leaf.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    assert!(matches!(assessment.credential, Verdict::Rejected));
}

#[test]
fn a_leaf_that_ends_before_it_begins_is_rejected() {
    let assessment = judge(&spec(), |leaf| {
        leaf.not_before = (now() + DAY).into();
        leaf.not_after = (now() - DAY).into();
    });
    assessment.rejects_credential_for(Check::ValidityReversed);
}

#[test]
fn an_intermediate_that_ends_is_the_next_change() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |sub| sub.not_after = (now() + DAY).into());
    let material = Files::of(&sub.leaf(), &[&sub], &[&root]).read(&spec());
    let ends = now() + DAY + SECOND;
    assert_eq!(assess(&spec(), &material, &Trusted::default(), now()).next_change, Some(ends));
    let assessment = assess(&spec(), &material, &Trusted::default(), ends);
    assert!(assessment.told().contains(&(Check::ChainUntrusted, Severity::Reject)));
}

#[test]
fn a_certificate_that_is_no_anchor_is_a_warning_and_a_bundle_of_nothing_else_is_rejected() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let assessment = judge_files(&spec(), &Files::of(&leaf, &[], &[&root, &leaf]));
    assessment.admits_with(Check::AnchorUnusable, Severity::Warn);
    let assessment = judge_files(&spec(), &Files::of(&leaf, &[], &[&leaf]));
    assert_eq!(assessment.told(), [(Check::AnchorUnusable, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
}

#[test]
fn a_bundle_with_a_crl_that_cannot_be_used_is_rejected() {
    let root = Entity::root("root");
    let files =
        Files::of(&root.leaf(), &[], &[]).with_bundle(root.pem() + &crate::test_pki::pem("X509 CRL", &[0x30, 0]));
    let assessment = judge_files(&spec(), &files);
    assert_eq!(assessment.told(), [(Check::Unparsable, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
}

#[test]
fn a_bundle_that_is_gone_is_rejected_only_where_there_was_one() {
    let root = Entity::root("root");
    let material = Files::of(&root.leaf(), &[], &[]).read(&spec());
    let last_good = Arc::new(crate::test_pki::bundle(&[&root]));
    let assessment = assess(&spec(), &material, &Some(&last_good).into(), now());
    assert_eq!(assessment.told(), [(Check::FileMissing, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
    assert!(assessment.admits());
}

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

#[test]
fn the_temporary_certificate_of_cert_manager_is_rejected() {
    let temporary = Entity::root("cert-manager.local");
    let serial =
        |serial: u64| move |leaf: &mut CertificateParams| leaf.serial_number = Some(SerialNumber::from(serial));
    let judge = |leaf: &Entity, admission| {
        let mut spec = spec();
        spec.expectations.admission = admission;
        judge_files(&spec, &Files::of(leaf, &[], &[]))
    };
    let leaf = temporary.leaf_with(serial(1_234_567_890));
    for admission in [Admission::Enforce, Admission::Observe] {
        let assessment = judge(&leaf, admission);
        assert!(assessment.told().contains(&(Check::TemporaryCertificate, Severity::Reject)));
        assert!(!assessment.admits());
    }
    assert!(judge(&temporary.leaf_with(serial(1_234_567_891)), Admission::Enforce).admits());
    assert!(judge(&Entity::root("x").leaf_with(serial(1_234_567_890)), Admission::Enforce).admits());
}

#[test]
fn renewal_is_overdue_a_grace_after_it_was_due() {
    let root = Entity::root("root");
    let leaf = root.leaf_with(|leaf| {
        leaf.not_before = now().into();
        leaf.not_after = (now() + 90 * DAY).into();
    });
    let mut spec = spec();
    let material = Files::of(&leaf, &[], &[&root]).read(&spec);
    let overdue = now() + 60 * DAY + HOUR;
    assert_eq!(assess(&spec, &material, &Trusted::default(), now()).next_change, Some(overdue));
    assert_eq!(assess(&spec, &material, &Trusted::default(), overdue - SECOND).told(), []);
    assess(&spec, &material, &Trusted::default(), overdue).admits_with(Check::RenewalOverdue, Severity::Warn);

    spec.expectations.renew_before = Some(10 * DAY);
    assert_eq!(assess(&spec, &material, &Trusted::default(), now() + 80 * DAY).told(), []);
    assert_eq!(
        assess(&spec, &material, &Trusted::default(), now() + 81 * DAY).told(),
        [(Check::RenewalOverdue, Severity::Warn)]
    );
    // Longer than the lifetime: cert-manager would refuse it, and nothing would ever be fresh.
    spec.expectations.renew_before = Some(100 * DAY);
    assert_eq!(assess(&spec, &material, &Trusted::default(), now() + DAY).told(), []);
}

#[test]
fn observing_rejects_only_what_no_handshake_can_use() {
    let mut observed = wanting(&[Usage::ServerAuth, Usage::ClientAuth]);
    observed.expectations.admission = Admission::Observe;
    observed.expectations.dns_names = vec!["api.example.org".to_owned()];
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let odd = root.leaf_with(|leaf| {
        leaf.extended_key_usages = vec![Eku::ClientAuth];
        leaf.key_usages = vec![Ku::KeyCertSign];
    });
    let files = Files::of(&odd, &[], &[&other]);
    let assessment = judge_files(&observed, &files);
    let checks =
        [Check::LeafAuthority, Check::ExtendedKeyUsage, Check::KeyUsage, Check::NameMissing, Check::ChainUntrusted];
    assert_eq!(assessment.told(), checks.map(|check| (check, Severity::Warn)));
    assert!(assessment.admits());

    for useless in [
        files.clone().with_key(key().serialize_pem()),
        files.clone().with_key(""),
        files.with_chain(""),
        Files::of(&root.leaf_with(|leaf| leaf.not_after = (now() - DAY).into()), &[], &[&root]),
    ] {
        assert!(matches!(judge_files(&observed, &useless).credential, Verdict::Rejected));
    }
}

#[test]
fn an_identity_may_have_a_credential_alone_or_a_bundle_alone() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let mut trusting = spec();
    trusting.files.credential = None;
    let assessment = judge_files(&trusting, &files);
    assert!(matches!((&assessment.credential, &assessment.bundle), (Verdict::Absent, Verdict::Admitted(_))));
    assert_eq!(assessment.told(), []);

    let mut presenting = spec();
    presenting.files.bundle = None;
    let assessment = judge_files(&presenting, &files);
    assert!(matches!((&assessment.credential, &assessment.bundle), (Verdict::Admitted(_), Verdict::Absent)));
    assessment.admits_with(Check::NoBundle, Severity::Info);
}

#[test]
fn the_next_change_is_always_still_to_come() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |sub| sub.not_after = (now() + 70 * DAY).into());
    let leaf = sub.leaf_with(|leaf| leaf.not_before = (now() + DAY).into());
    let material = Files::of(&leaf, &[&sub], &[&root]).read(&spec());
    let mut at = now() - 200 * DAY;
    let mut steps = Vec::new();
    while let Some(next) = assess(&spec(), &material, &Trusted::default(), at).next_change {
        assert!(next > at);
        // Nothing changes before the instant that was named.
        let (before, later) = (
            assess(&spec(), &material, &Trusted::default(), at),
            assess(&spec(), &material, &Trusted::default(), next - SECOND),
        );
        if next - SECOND > at {
            assert_eq!(before.told(), later.told());
        }
        steps.push(next);
        at = next;
    }
    assert!(steps.contains(&(now() + DAY - 5 * SECOND)), "held");
    assert!(steps.contains(&(now() + 80 * DAY + SECOND)), "expired");
    assert!(steps.len() < 12, "{steps:?}");
}

#[test]
fn a_name_in_the_common_name_alone_does_not_count() {
    let mut spec = wanting(&[Usage::ClientAuth]);
    spec.expectations.dns_names = vec!["api.example.org".to_owned()];
    let assessment = judge(&spec, |leaf| {
        leaf.distinguished_name = DistinguishedName::clone(&common_name("api.example.org"));
        leaf.subject_alt_names.clear();
    });
    assert!(assessment.told().contains(&(Check::NameMissing, Severity::Reject)));
}
