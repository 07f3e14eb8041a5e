use super::*;

fn with(check: Check, severity: Severity) -> IdentitySpec {
    let mut spec = wanting(&[Usage::ServerAuth]);
    spec.expectations.severities.set(check, severity).unwrap();
    spec
}

fn without_key_usage(leaf: &mut CertificateParams) {
    leaf.key_usages.clear();
}

#[test]
fn a_warning_rejects_or_is_only_worth_knowing_where_that_is_wanted() {
    judge(&with(Check::KeyUsage, Severity::Warn), without_key_usage).admits_with(Check::KeyUsage, Severity::Warn);
    judge(&with(Check::KeyUsage, Severity::Info), without_key_usage).admits_with(Check::KeyUsage, Severity::Info);
    judge(&with(Check::KeyUsage, Severity::Reject), without_key_usage).rejects_credential_for(Check::KeyUsage);
    judge(&with(Check::NoSan, Severity::Reject), without_key_usage).admits_with(Check::KeyUsage, Severity::Warn);
}

#[test]
fn what_rejects_is_admitted_where_that_is_wanted_and_observing_softens_what_was_to_reject() {
    let is_ca = |leaf: &mut CertificateParams| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(!judge(&with(Check::NoSan, Severity::Reject), is_ca).admits());
    let told = judge(&with(Check::LeafIsCa, Severity::Warn), is_ca).told();
    assert!(told.contains(&(Check::LeafIsCa, Severity::Warn)), "{told:?}");
    let mut observed = with(Check::KeyUsage, Severity::Reject);
    observed.expectations.admission = Admission::Observe;
    judge(&observed, without_key_usage).admits_with(Check::KeyUsage, Severity::Warn);
}

#[test]
fn what_no_role_allows_rejects_whatever_severity_its_check_has() {
    let nobodys = |leaf: &mut CertificateParams| leaf.extended_key_usages = vec![Eku::CodeSigning];
    let assessment = judge(&with(Check::ExtendedKeyUsage, Severity::Info), nobodys);
    assert!(!assessment.admits(), "{:?}", assessment.told());
}

#[test]
fn of_a_bundle_a_warning_can_be_softened() {
    let (root, old) = (Entity::root("root"), Entity::root_with("old", |old| old.not_after = (now() - DAY).into()));
    let mut spec = dedicated();
    spec.expectations.severities.set(Check::AnchorExpired, Severity::Info).unwrap();
    let files = Files::of(&root.leaf(), &[], &[&root, &old]);
    assert_eq!(judge_files(&dedicated(), &files).told(), []);
    let files = files.with_chain("");
    for (spec, severity) in [(dedicated(), Severity::Warn), (spec, Severity::Info)] {
        assert!(judge_files(&spec, &files).told().contains(&(Check::AnchorExpired, severity)));
    }
}
