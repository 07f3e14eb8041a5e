//! Which ends before the leaf's are told, and which are nobody's concern.

use super::*;

fn ends(after: Duration) -> impl Fn(&mut CertificateParams) {
    move |ca| ca.not_after = (now() + after).into()
}

/// The CA once more, under the same key and name, with another end.
fn renewed(ca: &Entity, by: &Entity, after: Duration) -> Entity {
    ca.again_with(by, ends(after))
}

fn without_bundle() -> IdentitySpec {
    let mut spec = spec();
    spec.files.bundle = None;
    spec
}

#[test]
fn an_issuer_that_ends_before_the_leaf_is_named_with_its_file() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", ends(DAY));
    let assessment = judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub], &[&root]));
    assessment.admits_with(Check::IssuerExpiresFirst, Severity::Warn);
    let finding = &assessment.findings[0];
    assert!(finding.sentence.starts_with("certificate 2 of tls.crt (CN=sub) ends before"), "{}", finding.sentence);
    assert_eq!(finding.found.as_deref(), Some("2026-01-02T00:00:00Z"));

    let short = Entity::root_with("short", ends(DAY));
    let assessment = judge_files(&spec(), &Files::of(&short.leaf(), &[], &[&short, &root]));
    assessment.admits_with(Check::IssuerExpiresFirst, Severity::Warn);
    let finding = &assessment.findings[0];
    assert!(finding.sentence.starts_with("the anchor CN=short of ca.crt ends before"), "{}", finding.sentence);
    assert!(finding.file.as_ref().unwrap().ends_with("ca.crt"));
}

#[test]
fn of_two_ways_to_an_anchor_the_longer_counts() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", ends(DAY));
    let longer = renewed(&sub, &root, 10 * DAY);
    let enough = renewed(&sub, &root, 90 * DAY);
    let judge = |issuers: &[&Entity]| judge_files(&spec(), &Files::of(&sub.leaf(), issuers, &[&root]));
    let assessment = judge(&[&sub, &longer]);
    assert!(assessment.findings.iter().any(|f| f.sentence.starts_with("certificate 3 of tls.crt (CN=sub) ends")));
    assert!(judge(&[&sub, &enough]).findings.iter().all(|f| f.check != Check::IssuerExpiresFirst));
    assert!(judge(&[&enough, &sub]).findings.iter().all(|f| f.check != Check::IssuerExpiresFirst));
}

#[test]
fn what_ends_beside_the_path_is_no_alarm() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let sub = root.sub_ca("sub", |_| {});
    // A cross-signature of the root, and a certificate that does not belong there.
    let cross = renewed(&root, &other, DAY);
    let unrelated = other.sub_ca("unrelated", ends(DAY));
    for spec in [spec(), without_bundle()] {
        for beside in [&cross, &unrelated] {
            let assessment = judge_files(&spec, &Files::of(&sub.leaf(), &[&sub, beside], &[&root]));
            assert!(assessment.findings.iter().all(|f| f.check != Check::IssuerExpiresFirst), "{assessment:?}");
        }
        // A root in the bundle beside its renewed one.
        let old = renewed(&root, &root, DAY);
        assert_eq!(judge_files(&self::spec(), &Files::of(&sub.leaf(), &[&sub], &[&root, &old])).told(), []);
    }
}

#[test]
fn without_a_bundle_the_issuers_in_the_chain_are_judged_by_their_own_path() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", ends(DAY));
    let judge = |leaf: &Entity, issuers: &[&Entity]| {
        let assessment = judge_files(&without_bundle(), &Files::of(leaf, issuers, &[]));
        assessment.findings.iter().filter(|f| f.check == Check::IssuerExpiresFirst).count()
    };
    assert_eq!(judge(&sub.leaf(), &[&sub]), 1);
    assert_eq!(judge(&sub.leaf(), &[&sub, &renewed(&sub, &root, 90 * DAY)]), 0);
    assert_eq!(judge(&sub.leaf(), &[&sub, &root]), 1);
    assert_eq!(judge(&sub.leaf(), &[&sub, &root, &root]), 1, "the root twice");
    let upper = root.sub_ca("upper", ends(DAY));
    let lower = upper.sub_ca("lower", |_| {});
    // Peers may know the last one by another certificate, as they know the root of a cross-signature.
    assert_eq!(judge(&lower.leaf(), &[&lower, &upper]), 0);
    // With its issuer in the chain it is an intermediate, which they do not.
    assert_eq!(judge(&lower.leaf(), &[&lower, &upper, &root]), 1);
}

#[test]
fn an_expired_anchor_that_the_leaf_does_not_need_is_no_alarm() {
    let root = Entity::root("root");
    let old = Entity::root_with("old", |root| root.not_after = (now() - DAY).into());
    let older = Entity::root_with("older", |root| root.not_after = (now() - 2 * DAY).into());
    let files = Files::of(&root.leaf(), &[], &[&root, &old, &older]);
    assert_eq!(judge_files(&spec(), &files).told(), []);

    let mut trusting = spec();
    trusting.files.credential = None;
    let assessment = judge_files(&trusting, &files);
    assert_eq!(assessment.told(), [(Check::AnchorExpired, Severity::Warn)]);
    assert!(assessment.findings[0].sentence.contains("2 of 3"), "{}", assessment.findings[0].sentence);
    let assessment = judge_files(&trusting, &Files::of(&root.leaf(), &[], &[&root, &old]));
    assert!(assessment.findings[0].sentence.contains("the anchor CN=old"), "{}", assessment.findings[0].sentence);

    // A leaf without a path does not tell which anchors are needed.
    let stray = Entity::root("stray").leaf();
    let assessment = judge_files(&dedicated(), &Files::of(&stray, &[], &[&root, &old]));
    assert!(assessment.told().contains(&(Check::AnchorExpired, Severity::Warn)));
}

#[test]
fn an_expired_anchor_beside_its_successor_is_no_alarm() {
    let root = Entity::root("root");
    let old = root.again_with(&root, |ca| ca.not_after = (now() - DAY).into());
    let mut trusting = spec();
    trusting.files.credential = None;
    assert_eq!(judge_files(&trusting, &Files::of(&root.leaf(), &[], &[&root, &old])).told(), []);
    let later = root.again_with(&root, |ca| ca.not_before = (now() + DAY).into());
    let assessment = judge_files(&trusting, &Files::of(&root.leaf(), &[], &[&later, &old]));
    assert_eq!(assessment.told(), [(Check::AnchorExpired, Severity::Warn)]);
}

#[test]
fn a_bundle_in_which_every_anchor_has_expired_is_rejected() {
    let root = Entity::root("root");
    let old = Entity::root_with("old", |root| root.not_after = (now() - DAY).into());
    let older = Entity::root_with("older", |root| root.not_after = (now() - 2 * DAY).into());
    for anchors in [&[&old, &older][..], &[&old]] {
        let assessment = judge_files(&spec(), &Files::of(&root.leaf(), &[], anchors));
        assert_eq!(assessment.told(), [(Check::Expired, Severity::Reject)]);
        assert!(matches!(assessment.bundle, Verdict::Rejected));
        assert!(assessment.admits());
        assert_eq!(assessment.findings[0].sentence.contains("the only anchor"), anchors.len() == 1);
    }
}
