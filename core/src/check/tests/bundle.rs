//! The bundle, judged apart from the credential.

use super::*;

#[test]
fn a_credential_is_held_against_the_last_good_bundle_where_the_new_one_is_rejected() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let files = Files::of(&root.leaf(), &[], &[]).with_bundle("");
    let judge = |last_good: &Entity| {
        let last_good = Arc::new(crate::test_files::bundle(&[last_good]));
        assess(&spec(), &files.read(&spec()), &Some(&last_good).into(), now())
    };
    assert!(judge(&root).admits());
    assert!(!judge(&other).admits());
    assert!(assess(&spec(), &files.read(&spec()), &Trusted::default(), now()).admits());
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
        Files::of(&root.leaf(), &[], &[]).with_bundle(root.pem() + &evercert_fixtures::pem("X509 CRL", &[0x30, 0]));
    let assessment = judge_files(&spec(), &files);
    assert_eq!(assessment.told(), [(Check::Unparsable, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
}

#[test]
fn a_bundle_that_is_gone_is_rejected_only_where_there_was_one() {
    let root = Entity::root("root");
    let material = Files::of(&root.leaf(), &[], &[]).read(&spec());
    let last_good = Arc::new(crate::test_files::bundle(&[&root]));
    let assessment = assess(&spec(), &material, &Some(&last_good).into(), now());
    assert_eq!(assessment.told(), [(Check::FileMissing, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
    assert!(assessment.admits());
}
