mod alone;
mod bundle;
mod chain;
mod ends;
mod exposure;
mod issuers;
mod key;
mod loading;
mod names;
mod peers;
mod severities;
mod svid;
mod unkeyed;
mod usage;

use std::net::IpAddr;
use std::time::Duration;

use evercert_fixtures::{
    BasicConstraints, CertificateParams, CustomExtension, DAY, DistinguishedName, Entity,
    ExtendedKeyUsagePurpose as Eku, HOUR, IsCa, KeyUsagePurpose as Ku, SanType, SerialNumber, common_name, key, now,
};

use super::*;
use crate::identity::IdentityId;
use crate::spec::{Admission, CredentialFiles, Renewal, RequireChain, Usage};
use crate::test_files::{Files, dedicated, spec};

const SECOND: Duration = Duration::from_secs(1);

/// The assessment of a leaf under a root of its own.
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

    fn admits_without_a_word(&self) {
        assert_eq!(self.told(), []);
        assert!(self.admits());
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
fn a_kubelet_is_said_to_renew_no_more_only_of_a_volume_in_which_it_renews_certificates() {
    let root = Entity::root("root");
    let leaf = root.leaf_with(|leaf| leaf.not_after = (now() - DAY).into());
    let files = Files::of(&leaf, &[], &[&root]).with_chain([leaf.key.serialize_pem(), leaf.pem()].concat());
    for (plugin, is_told) in [("projected", true), ("secret", false), ("csi", false)] {
        let mut spec = spec();
        spec.id = IdentityId::pod("7c11", "tls".parse().unwrap());
        let file = format!("/pods/7c11/volumes/kubernetes.io~{plugin}/tls/all.pem");
        spec.files.credential = Some(CredentialFiles::Combined(file.into()));
        let told = judge_files(&spec, &files).told();
        assert!(told.iter().any(|(check, _)| *check == Check::Expired), "{told:?}");
        assert_eq!(told.iter().any(|(check, _)| *check == Check::VolumeNotRefreshed), is_told, "{plugin}");
    }
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
        leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
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

    spec.expectations.renewal = Renewal::Before(10 * DAY);
    assert_eq!(assess(&spec, &material, &Trusted::default(), now() + 80 * DAY).told(), []);
    assert_eq!(
        assess(&spec, &material, &Trusted::default(), now() + 81 * DAY).told(),
        [(Check::RenewalOverdue, Severity::Warn)]
    );
    // Longer than the lifetime: cert-manager would refuse it, and nothing would ever be fresh.
    spec.expectations.renewal = Renewal::Before(100 * DAY);
    assert_eq!(assess(&spec, &material, &Trusted::default(), now() + DAY).told(), []);
}

#[test]
fn what_is_renewed_by_hand_is_never_overdue() {
    let mut spec = spec();
    spec.expectations.renewal = Renewal::Never;
    let root = Entity::root("root");
    let material = Files::of(&root.leaf(), &[], &[&root]).read(&spec);
    let at = |spec: &IdentitySpec, instant| assess(spec, &material, &Trusted::default(), instant).told();
    assert_eq!(at(&spec, now() + 80 * DAY), []);
    spec.expectations.renewal = Renewal::default();
    assert_eq!(at(&spec, now() + 80 * DAY), [(Check::RenewalOverdue, Severity::Warn)]);
}

#[test]
fn renewal_is_overdue_by_the_share_of_a_lifetime_that_is_left_be_it_an_hour_or_a_year() {
    let root = Entity::root("root");
    for lifetime in [HOUR, 6 * DAY, 47 * DAY, 365 * DAY] {
        let leaf = root.leaf_with(|leaf| {
            leaf.not_before = now().into();
            leaf.not_after = (now() + lifetime).into();
        });
        let material = Files::of(&leaf, &[], &[&root]).read(&spec());
        let told = |share: f64| assess(&spec(), &material, &Trusted::default(), now() + lifetime.mul_f64(share)).told();
        assert_eq!(told(0.66), [], "{lifetime:?}");
        assert_eq!(told(0.76), [(Check::RenewalOverdue, Severity::Warn)], "{lifetime:?}");
    }
}

#[test]
fn a_leaf_that_lives_longer_than_is_configured_is_worth_a_word() {
    let lives = |days: u32| {
        move |leaf: &mut CertificateParams| {
            leaf.not_before = now().into();
            leaf.not_after = (now() + days * DAY).into();
        }
    };
    assert_eq!(judge(&spec(), lives(398)).told(), []);
    let assessment = judge(&spec(), lives(399));
    assessment.admits_with(Check::LongLived, Severity::Info);
    assert_eq!(assessment.findings[0].found.as_deref(), Some("399 days"));
    let mut spec = spec();
    spec.expectations.max_lifetime = 500 * DAY;
    assert_eq!(judge(&spec, lives(399)).told(), []);
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
