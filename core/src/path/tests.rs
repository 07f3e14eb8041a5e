use std::time::Duration;

use evercert_fixtures::odd::element;
use evercert_fixtures::{
    BasicConstraints, CertificateParams, CustomExtension, DAY, DistinguishedName, DnType, Entity,
    ExtendedKeyUsagePurpose, GeneralSubtree, HOUR, IsCa, KeyIdMethod, KeyUsagePurpose, NameConstraints, SanType,
    common_name, now,
};

use super::*;
use crate::test_files::bundle;

fn validate(anchors: &[&Entity], leaf: &Entity, intermediates: &[&Entity]) -> Result<(), PathError> {
    validate_as(anchors, leaf, intermediates, Role::Server, now())
}

fn validate_as(
    anchors: &[&Entity],
    leaf: &Entity,
    intermediates: &[&Entity],
    role: Role,
    at: SystemTime,
) -> Result<(), PathError> {
    let intermediates: Vec<_> = intermediates.iter().map(|ca| ca.der()).collect();
    let validator = PathValidator::new(&bundle(anchors))?;
    let outcome = validator.validate(&leaf.der(), &intermediates, role, at);
    let cheap = validator.validate_cheap(&leaf.der(), &intermediates, role, at);
    assert!(cheap.is_none_or(|cheap| cheap == outcome), "a cheap chain is judged as any other");
    outcome
}

#[test]
fn a_leaf_holds_under_its_root_directly_and_over_an_intermediate() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    assert_eq!(validate(&[&root], &root.leaf(), &[]), Ok(()));
    assert_eq!(validate(&[&root, &Entity::root("other")], &sub.leaf(), &[&sub]), Ok(()));
    assert_eq!(validate(&[&root], &sub.leaf(), &[]), Err(PathError::UnknownIssuer));
}

#[test]
fn a_root_of_the_same_name_but_another_key_does_not_do() {
    assert_eq!(validate(&[&Entity::root("root")], &Entity::root("root").leaf(), &[]), Err(PathError::BadSignature));
}

#[test]
fn an_expired_leaf_says_when_it_expired() {
    let root = Entity::root("root");
    let error = validate_as(&[&root], &root.leaf(), &[], Role::Server, now() + 90 * DAY).unwrap_err();
    assert_eq!(error, PathError::Expired { now: now() + 90 * DAY, not_after: now() + 80 * DAY });
    assert_eq!(error.to_string(), "a certificate of the path expired at 2026-03-22T00:00:00Z");
    assert_eq!(
        validate_as(&[&root], &root.leaf(), &[], Role::Server, now() - 20 * DAY),
        Err(PathError::NotYetValid { now: now() - 20 * DAY, not_before: now() - 10 * DAY })
    );
}

#[test]
fn an_anchor_counts_only_within_its_validity() {
    let ends_first = Entity::root_with("first", |root| root.not_after = (now() + DAY).into());
    let starts_late = Entity::root_with("late", |root| root.not_before = (now() + DAY).into());
    let other = Entity::root("other");
    let anchors = [&ends_first, &starts_late, &other];

    assert_eq!(validate(&anchors, &ends_first.leaf(), &[]), Ok(()));
    assert_eq!(
        validate_as(&anchors, &ends_first.leaf(), &[], Role::Server, now() + 2 * DAY),
        Err(PathError::AnchorNotValid { now: now() + 2 * DAY, not_before: now() - 100 * DAY, not_after: now() + DAY })
    );
    assert!(matches!(validate(&anchors, &starts_late.leaf(), &[]), Err(PathError::AnchorNotValid { .. })));
    assert_eq!(validate_as(&anchors, &starts_late.leaf(), &[], Role::Server, now() + DAY), Ok(()));
    assert_eq!(validate_as(&anchors, &other.leaf(), &[], Role::Server, now()), Ok(()));
    assert_eq!(validate_as(&anchors, &other.leaf(), &[], Role::Server, now() + 2 * DAY), Ok(()));
    assert_eq!(
        validate_as(&anchors, &Entity::root("x").leaf(), &[], Role::Server, now()),
        Err(PathError::UnknownIssuer)
    );
}

#[test]
fn an_expired_anchor_is_told_from_its_successor_of_the_same_name() {
    let old = Entity::root_with("root", |root| root.not_after = (now() - DAY).into());
    let error = validate(&[&old, &Entity::root("root")], &old.leaf(), &[]).unwrap_err();
    assert_eq!(error.as_str(), "anchor-not-valid");
}

#[test]
fn a_leaf_is_held_to_the_role() {
    let root = Entity::root("root");
    let server = root.leaf_with(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let unlimited = root.leaf_with(|leaf| leaf.extended_key_usages.clear());
    assert_eq!(validate(&[&root], &server, &[]), Ok(()));
    assert_eq!(
        validate_as(&[&root], &server, &[], Role::Client, now()),
        Err(PathError::ExtendedKeyUsage { role: Role::Client, found: vec!["1.3.6.1.5.5.7.3.1".to_owned()] })
    );
    assert_eq!(validate_as(&[&root], &unlimited, &[], Role::Client, now()), Ok(()));
}

#[test]
fn a_leaf_that_is_a_ca_is_refused_and_one_that_may_sign_where_that_is_asked_for() {
    let root = Entity::root("root");
    let policy = PathPolicy { signing_leaves: SigningLeaves::Refuse, ..PathPolicy::default() };
    let refused = |change: fn(&mut CertificateParams)| {
        let (leaf, validator) = (root.leaf_with(change).der(), PathValidator::new(&bundle(&[&root])).unwrap());
        let by_default = validator.validate(&leaf, &[], Role::Server, now());
        assert!(matches!(by_default, Ok(()) | Err(PathError::LeafIsCa)));
        validator.with_policy(policy).validate(&leaf, &[], Role::Server, now())
    };
    assert_eq!(refused(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), Err(PathError::LeafIsCa));
    assert_eq!(refused(|leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign)), Err(PathError::LeafMaySign));
    assert_eq!(refused(|leaf| leaf.key_usages.push(KeyUsagePurpose::CrlSign)), Err(PathError::LeafMaySign));
    assert_eq!(refused(|leaf| leaf.key_usages.push(KeyUsagePurpose::KeyEncipherment)), Ok(()));
}

#[test]
fn a_critical_extension_that_nobody_understands_is_refused_in_leaf_and_anchor() {
    let unknown = |params: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    };
    let root = Entity::root("root");
    assert_eq!(validate(&[&root], &root.leaf_with(unknown), &[]), Err(PathError::CriticalExtension));

    let odd = Entity::root_with("odd", unknown);
    let reason = UnusableAnchor::CriticalExtension("1.3.6.1.4.1.55555.1".to_owned());
    assert_eq!(validate(&[&odd], &odd.leaf(), &[]), Err(PathError::NoUsableAnchor { first: reason.clone() }));
    assert_eq!(validate(&[&odd, &root], &odd.leaf(), &[]), Err(PathError::IssuerUnusable { reason: reason.clone() }));
    let validator = PathValidator::new(&bundle(&[&odd, &root])).unwrap();
    assert_eq!(validator.unusable_anchors(), [(Digest::fingerprint(&odd.der()), reason)]);
}

#[test]
fn a_self_signed_leaf_in_the_bundle_vouches_for_itself_alone() {
    let pinned = Entity::self_signed(|leaf| leaf.key_usages.clear());
    assert_eq!(validate(&[&pinned], &pinned, &[]), Ok(()));
    assert_eq!(validate(&[&pinned, &Entity::root("leaf")], &pinned, &[]), Ok(()), "beside a CA of the same name");
    assert_eq!(validate(&[&pinned], &pinned.leaf(), &[]), Err(PathError::UnknownIssuer));
    assert_eq!(
        validate(&[&pinned, &Entity::root("root")], &Entity::self_signed(|_| {}), &[]),
        Err(PathError::UnknownIssuer)
    );
}

#[test]
fn a_leaf_of_another_issuer_in_the_bundle_vouches_for_nobody() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    assert_eq!(validate(&[&leaf], &leaf, &[]), Err(PathError::NoUsableAnchor { first: UnusableAnchor::NotCa }));
}

#[test]
fn an_anchor_whose_key_usage_forbids_it_does_not_issue() {
    let root = Entity::root_with("root", |root| root.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert_eq!(validate(&[&root], &root.leaf(), &[]), Err(PathError::UnknownIssuer));
    let nameless = Entity::root_with("", |root| root.distinguished_name = DistinguishedName::new());
    let first = UnusableAnchor::EmptySubject;
    assert_eq!(validate(&[&nameless], &nameless.leaf(), &[]), Err(PathError::NoUsableAnchor { first }));
}

#[test]
fn an_intermediate_ca_in_the_bundle_is_an_anchor() {
    let sub = Entity::root("root").sub_ca("sub", |_| {});
    assert_eq!(validate(&[&sub], &sub.leaf(), &[]), Ok(()));
}

#[test]
fn name_constraints_bind_the_leaf() {
    let constrained = |params: &mut CertificateParams| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    let root = Entity::root_with("root", constrained);
    assert_eq!(validate(&[&root], &root.leaf(), &[]), Err(PathError::NameConstraint));
    let plain = Entity::root("plain");
    let leaf = plain.leaf_with(|leaf| {
        let content = vec![0x30, 0x0d, 0xa0, 0x0b, 0x30, 0x09, 0x82, 7, b'e', b'x', b'.', b'o', b'r', b'g', b'.'];
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], content));
    });
    assert_eq!(validate(&[&plain], &leaf, &[]), Ok(()));
    let policy = PathPolicy { signing_leaves: SigningLeaves::Refuse, ..PathPolicy::default() };
    let strict = PathValidator::new(&bundle(&[&plain])).unwrap().with_policy(policy);
    let refused = strict.validate(&leaf.der(), &[], Role::Server, now());
    assert_eq!(refused, Err(PathError::LeafConstrainsNames));
}

#[test]
fn a_constraint_of_a_kind_that_is_not_compared_is_told_from_one_that_is_broken() {
    let root = Entity::root("root");
    let constrained = |kind: u8, base: &'static [u8], dns: Option<&str>| {
        root.sub_ca("constrained", |ca| {
            let subtree = |tag, base: &[u8]| element(0x30, &element(tag, base));
            let mut subtrees = subtree(kind, base);
            subtrees.extend(dns.into_iter().flat_map(|dns| subtree(0x82, dns.as_bytes())));
            let content = element(0x30, &element(0xa0, &subtrees));
            ca.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], content));
        })
    };
    let refused = |sub: &Entity, leaf: Entity| validate(&[&root], &leaf, &[sub]);
    let unsupported = |kind| Err(PathError::UnsupportedNameConstraint { kind });
    let by_both = constrained(0xa4, &[0x30, 0], Some("example.org"));
    assert_eq!(refused(&by_both, by_both.leaf()), Err(PathError::NameConstraint), "localhost is outside");
    let by_directory = constrained(0xa4, &[0x30, 0], None);
    assert_eq!(refused(&by_directory, by_directory.leaf()), unsupported("directory names"));
    let by_mail = constrained(0x81, b"example.org", None);
    let mail = |leaf: &mut CertificateParams| {
        leaf.subject_alt_names.push(SanType::Rfc822Name("a@example.org".try_into().unwrap()));
    };
    assert_eq!(refused(&by_mail, by_mail.leaf_with(mail)), unsupported("e-mail addresses"));
    assert_eq!(refused(&by_mail, by_mail.leaf()), Ok(()), "a leaf without such a name is not constrained");
}

#[test]
fn an_intermediate_whose_key_usage_does_not_let_it_sign_certificates_issues_none() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let refused = validate(&[&root], &sub.leaf(), &[&sub]);
    assert_eq!(refused, Err(PathError::IssuerMayNotSign { issuer: "CN=sub".to_owned() }));
    let unlimited = root.sub_ca("sub", |ca| ca.key_usages.clear());
    assert_eq!(validate(&[&root], &unlimited.leaf(), &[&unlimited]), Ok(()));
    let again = sub.again(&root, KeyIdMethod::Sha256);
    assert_eq!(validate(&[&root, &again], &sub.leaf(), &[&sub, &again]).unwrap_err().as_str(), "issuer-may-not-sign");
}

#[test]
fn a_hundred_intermediates_that_name_each_other_in_a_loop_are_given_up() {
    let (root, namesake) = (Entity::root("root"), Entity::root("root"));
    let bundle = Bundle::new(vec![root.der(), namesake.der()], vec![namesake.crl(&[7], now() - HOUR)]);
    let validator = PathValidator::new(&bundle).unwrap();
    let stranger = Entity::root("loop");
    let looping: Vec<_> = (0..100).map(|_| stranger.sub_ca("loop", |_| {}).der()).collect();
    let leaf = stranger.leaf();
    assert_eq!(validator.validate(&leaf.der(), &looping, Role::Client, now()), Err(PathError::TooComplex));
    // Those that an honest peer sends beside its path are no obstacle.
    let sub = root.sub_ca("sub", |_| {});
    let over: Vec<_> = std::iter::once(sub.der()).chain(looping).collect();
    assert_eq!(validator.validate(&sub.leaf().der(), &over, Role::Client, now()), Ok(()));
}

#[test]
fn a_signature_that_is_not_accepted_is_named() {
    let error = PathError::of(
        webpki::Error::UnsupportedSignatureAlgorithmContext(webpki::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1],
            supported_algorithms: Vec::new(),
        }),
        None,
    );
    assert_eq!(error.to_string(), "a certificate of the path is signed with SHA-1 with ECDSA, which is not accepted");
}

#[test]
fn a_path_is_no_longer_than_its_issuers_allow() {
    let root = Entity::root_with("root", |root| root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let one = root.sub_ca("one", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let two = one.sub_ca("two", |_| {});
    assert_eq!(validate(&[&root], &two.leaf(), &[&two, &one]), Err(PathError::TooLong));
}

#[test]
fn a_revoked_leaf_is_refused_and_one_that_no_crl_covers_passes() {
    let root = Entity::root("root");
    let other = Entity::root("other");
    let bundle = Bundle::new(vec![root.der(), other.der()], vec![root.crl(&[7], now() - 2 * DAY)]);
    let validator = PathValidator::new(&bundle).unwrap();
    assert_eq!(validator.validate(&root.leaf_number(7).der(), &[], Role::Server, now()), Err(PathError::Revoked));
    assert_eq!(validator.validate(&root.leaf_number(8).der(), &[], Role::Server, now()), Ok(()));
    assert_eq!(validator.validate(&other.leaf().der(), &[], Role::Server, now()), Ok(()));

    let unreadable = Bundle::new(vec![root.der()], vec![vec![0x30, 0].into()]);
    let validator = PathValidator::new(&unreadable).unwrap();
    assert_eq!(validator.validate(&root.leaf().der(), &[], Role::Server, now()), Ok(()), "it fails nobody");
    let validator = validator.with_policy(PathPolicy { stale_crls: StaleCrls::Reject, ..PathPolicy::default() });
    let refused = validator.validate(&root.leaf().der(), &[], Role::Server, now());
    assert_eq!(refused, Err(PathError::Crl(CrlProblem::Unusable)), "but where that was asked for");
}

#[test]
fn a_stale_crl_refuses_everybody_only_where_that_is_asked_for() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let bundle = Bundle::new(vec![root.der(), other.der()], vec![root.crl(&[7], now() - 2 * DAY)]);
    let validator = PathValidator::new(&bundle)
        .unwrap()
        .with_policy(PathPolicy { stale_crls: StaleCrls::Reject, ..PathPolicy::default() });
    let validate = |leaf: &Entity, at| validator.validate(&leaf.der(), &[], Role::Server, at);
    assert_eq!(validate(&root.leaf_number(8), now() - DAY - HOUR), Ok(()));
    assert!(matches!(validate(&root.leaf_number(8), now()), Err(PathError::Crl(_))));
    assert_eq!(validate(&other.leaf(), now()), Ok(()), "no CRL covers it");
    assert_eq!(validator.changes_after(now() - 2 * DAY), Some(now() - DAY));
    // It is stale from that second on: what changes then is no change that is still to come.
    assert_eq!(validator.changes_after(now() - DAY), Some(now() + 1000 * DAY + Duration::from_secs(1)));
}

#[test]
fn of_two_crls_of_one_second_the_one_with_the_higher_number_counts() {
    let root = Entity::root("root");
    for (first, second) in [(&[][..], &[7][..]), (&[7], &[])] {
        let crls = vec![root.crl_number(255, first, now()), root.crl_number(256, second, now())];
        let validator = PathValidator::new(&Bundle::new(vec![root.der()], crls)).unwrap();
        let outcome = validator.validate(&root.leaf_number(7).der(), &[], Role::Server, now());
        assert_eq!(outcome.is_err(), second == [7], "{outcome:?}");
    }
}

#[test]
fn a_crl_of_an_intermediate_by_its_former_key_fails_nobody_under_its_new_key() {
    let root = Entity::root("root");
    let [former, renewed] = [(); 2].map(|()| root.sub_ca("sub", |_| {}));
    let crls = vec![former.crl(&[7], now() - 2 * HOUR), renewed.crl(&[9], now() - HOUR)];
    let validator = PathValidator::new(&Bundle::new(vec![root.der()], crls)).unwrap();
    for (sub, revoked, other) in [(&former, 7, 9), (&renewed, 9, 7)] {
        let validate = |n| validator.validate(&sub.leaf_number(n).der(), &[sub.der()], Role::Client, now());
        assert_eq!(validate(revoked), Err(PathError::Revoked));
        assert_eq!(validate(other), Ok(()));
    }
    // A peer that sends many of the name gains nothing by it.
    let alone = Bundle::new(vec![root.der()], vec![former.crl(&[7], now() - HOUR)]);
    let validator = PathValidator::new(&alone).unwrap();
    let many: Vec<_> = std::iter::once(renewed.der()).chain((0..5).map(|_| root.sub_ca("sub", |_| {}).der())).collect();
    let validate = |over: &[_]| validator.validate(&renewed.leaf_number(7).der(), over, Role::Client, now());
    assert_eq!(validate(&many), Ok(()));
}

#[test]
fn of_two_crls_of_one_issuer_the_newer_counts() {
    let root = Entity::root("root");
    for (first, second) in [(&[][..], &[7][..]), (&[7], &[])] {
        let crls = vec![root.crl(first, now() - 2 * HOUR), root.crl(second, now() - HOUR)];
        let validator = PathValidator::new(&Bundle::new(vec![root.der()], crls)).unwrap();
        let outcome = validator.validate(&root.leaf_number(7).der(), &[], Role::Server, now());
        assert_eq!(outcome.is_err(), second == [7], "{outcome:?}");
    }
}

#[test]
fn a_crl_by_the_former_key_of_a_ca_fails_nobody_under_its_new_key() {
    let (former, renewed) = (Entity::root("root"), Entity::root("root"));
    let crls = vec![former.crl(&[7], now() - HOUR)];
    let both = PathValidator::new(&Bundle::new(vec![former.der(), renewed.der()], crls.clone())).unwrap();
    let validate = |validator: &PathValidator, leaf: &Entity| validator.validate(&leaf.der(), &[], Role::Client, now());
    assert_eq!(validate(&both, &renewed.leaf_number(7)), Ok(()));
    assert_eq!(validate(&both, &former.leaf_number(8)), Ok(()));
    assert_eq!(validate(&both, &former.leaf_number(7)), Err(PathError::Revoked));

    let alone = PathValidator::new(&Bundle::new(vec![renewed.der()], crls)).unwrap();
    assert_eq!(validate(&alone, &renewed.leaf_number(7)), Ok(()));
}

#[test]
fn a_crl_revokes_whatever_key_identifier_the_certificate_of_its_signer_has_by_now() {
    let root = Entity::root("root");
    let reissued = Entity::root_with("root", |ca| ca.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]));
    let sub = root.sub_ca("sub", |_| {});
    let sub_again = sub.again(&root, KeyIdMethod::PreSpecified(vec![2; 20]));
    let anchor = root.again(&root, KeyIdMethod::PreSpecified(vec![3; 20]));
    let crls = vec![root.crl(&[7], now() - HOUR), sub.crl(&[7], now() - HOUR)];
    let validator = PathValidator::new(&Bundle::new(vec![anchor.der(), reissued.der()], crls)).unwrap();
    let validate =
        |leaf: &Entity, over: &[CertificateDer<'static>]| validator.validate(&leaf.der(), over, Role::Client, now());
    assert_eq!(validate(&root.leaf_number(7), &[]), Err(PathError::Revoked));
    assert_eq!(validate(&root.leaf_number(8), &[]), Ok(()));
    assert_eq!(validate(&reissued.leaf_number(7), &[]), Ok(()));
    assert_eq!(validate(&sub.leaf_number(7), &[sub_again.der()]), Err(PathError::Revoked));
    assert_eq!(validate(&sub.leaf_number(8), &[sub_again.der()]), Ok(()));
}

#[test]
fn a_crl_of_a_ca_that_may_not_sign_any_revokes_nobody_and_fails_nobody() {
    let root = Entity::root_with("root", |ca| ca.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let crl_signer = Entity::root("root");
    let crls = vec![crl_signer.crl(&[7], now() - HOUR)];
    let validator = PathValidator::new(&Bundle::new(vec![root.der()], crls)).unwrap();
    assert_eq!(validator.validate(&root.leaf_number(7).der(), &[], Role::Client, now()), Ok(()));
}

#[test]
fn bytes_that_are_no_certificate_are_malformed() {
    let root = Entity::root("root");
    let validator = PathValidator::new(&bundle(&[&root])).unwrap();
    let error = validator.validate(&vec![1, 2, 3].into(), &[], Role::Server, now()).unwrap_err();
    assert_eq!(error.as_str(), "malformed");
    let error = PathValidator::new(&Bundle::new(vec![vec![1].into()], Vec::new())).unwrap_err();
    assert_eq!(error.as_str(), "no-usable-anchor");
    assert_eq!(PathValidator::new(&Bundle::new(Vec::new(), Vec::new())).unwrap_err(), PathError::NoAnchor);
}

#[test]
fn ten_thousand_anchors_are_no_obstacle() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    // One key under many names: what counts is the number of anchors to look through.
    let mut anchors = vec![root.der()];
    for i in 1..crate::bundle::MAX_ANCHORS {
        let named = |ca: &mut CertificateParams| ca.distinguished_name = common_name(&format!("root {i}"));
        anchors.push(root.again_with(&root, named).der());
    }
    let validator = PathValidator::new(&Bundle::new(anchors, Vec::new())).unwrap();
    assert_eq!(validator.validate(&leaf.der(), &[], Role::Server, now()), Ok(()));
    let stranger = Entity::root_with("x", |ca| ca.distinguished_name.push(DnType::OrganizationName, "x"));
    assert_eq!(validator.validate(&stranger.leaf().der(), &[], Role::Server, now()), Err(PathError::UnknownIssuer));
}

#[test]
fn a_validator_is_shared_between_threads_without_a_lock() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<PathValidator>();
}
