use evercert_fixtures::odd::element;
use evercert_fixtures::{CertificateParams, CustomExtension, Entity, KeyUsagePurpose, SanType, now};

use super::super::{PathError, PathValidator, Role};
use crate::test_files::bundle;

/// A constraint on URIs, or on DNS names.
fn base(tag: u8, base: &str) -> Vec<u8> {
    element(0x30, &element(tag, base.as_bytes()))
}

fn constrain(params: &mut CertificateParams, permitted: &[Vec<u8>], excluded: &[Vec<u8>]) {
    let part = |tag, bases: &[Vec<u8>]| if bases.is_empty() { Vec::new() } else { element(tag, &bases.concat()) };
    let content = element(0x30, &[part(0xa0, permitted), part(0xa1, excluded)].concat());
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
}

fn uri(uri: &str) -> impl Fn(&mut CertificateParams) {
    move |leaf| leaf.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()))
}

fn validate(root: &Entity, leaf: &Entity, over: &[&Entity]) -> Result<(), PathError> {
    let over: Vec<_> = over.iter().map(|issuer| issuer.der()).collect();
    PathValidator::new(&bundle(&[root])).unwrap().validate(&leaf.der(), &over, Role::Client, now())
}

const OUTSIDE: Result<(), PathError> = Err(PathError::NameConstraint);

#[test]
fn a_spiffe_id_is_held_against_the_constraints_of_an_intermediate() {
    let root = Entity::root("root");
    let under = |permitted: &[Vec<u8>], excluded: &[Vec<u8>], id: &str| {
        let sub = root.sub_ca("sub", |ca| constrain(ca, permitted, excluded));
        validate(&root, &sub.leaf_with(uri(id)), &[&sub])
    };
    let id = "spiffe://example.org/payments";
    assert_eq!(under(&[base(0x86, "example.org")], &[], id), Ok(()));
    assert_eq!(under(&[base(0x86, "example.com")], &[], id), OUTSIDE);
    assert_eq!(under(&[base(0x86, "example.com"), base(0x86, "EXAMPLE.org")], &[], id), Ok(()));
    assert_eq!(under(&[base(0x86, ".example.org")], &[], id), OUTSIDE, "the hosts below it alone");
    assert_eq!(under(&[base(0x86, ".example.org")], &[], "spiffe://prod.example.org/payments"), Ok(()));
    assert_eq!(under(&[], &[base(0x86, "example.org")], id), OUTSIDE);
    assert_eq!(under(&[], &[base(0x86, "example.com")], id), Ok(()));
    assert_eq!(under(&[base(0x86, "example.org")], &[], "urn:example:payments"), OUTSIDE, "there is no host");
    let both = [base(0x86, "example.org"), base(0x82, "localhost")];
    assert_eq!(under(&both, &[], id), Ok(()));
    let other_dns = [base(0x86, "example.org"), base(0x82, "example.org")];
    assert_eq!(under(&other_dns, &[], id), OUTSIDE, "localhost is not in example.org");
}

#[test]
fn an_anchor_constrains_uris_too_and_so_does_every_issuer_above() {
    let root = Entity::root_with("root", |ca| constrain(ca, &[base(0x86, "example.org")], &[]));
    let sub = root.sub_ca("sub", |_| {});
    let narrower = root.sub_ca("narrower", |ca| constrain(ca, &[base(0x86, "example.com")], &[]));
    let id = || uri("spiffe://example.org/payments");
    assert_eq!(validate(&root, &root.leaf_with(id()), &[]), Ok(()));
    assert_eq!(validate(&root, &sub.leaf_with(id()), &[&sub]), Ok(()));
    assert_eq!(validate(&root, &sub.leaf_with(uri("spiffe://example.com/payments")), &[&sub]), OUTSIDE);
    assert_eq!(validate(&root, &narrower.leaf_with(id()), &[&narrower]), OUTSIDE);
    let named = root.sub_ca("named", uri("spiffe://example.com"));
    assert_eq!(validate(&root, &named.leaf(), &[&named]), OUTSIDE, "an intermediate has a name of its own");
}

#[test]
fn a_path_that_keeps_its_constraints_is_found_whatever_is_wrong_with_another() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |ca| constrain(ca, &[base(0x86, "example.org")], &[]));
    let leaf = sub.leaf_with(uri("spiffe://example.org/payments"));
    let again = |change: &dyn Fn(&mut CertificateParams)| sub.again_with(&root, change);
    let ended = again(&|ca| ca.not_after = (now() - evercert_fixtures::DAY).into());
    let silent = again(&|ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]);
    for other in [ended, silent] {
        for over in [[&sub, &other], [&other, &sub]] {
            assert_eq!(validate(&root, &leaf, &over), Ok(()));
        }
    }
}

#[test]
fn what_is_shown_without_its_constraints_is_verified_as_it_was_signed() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |ca| constrain(ca, &[base(0x86, "example.org")], &[]));
    let leaf = sub.leaf_with(uri("spiffe://example.org/payments"));
    let validator = PathValidator::new(&bundle(&[&root])).unwrap();
    let der = sub.der();
    for at in 0..der.len() {
        let mut damaged = der.to_vec();
        damaged[at] ^= 1;
        let outcome = validator.validate(&leaf.der(), &[damaged.into()], Role::Client, now());
        assert!(outcome.is_err(), "octet {at}");
    }
    // Somebody else's certificate with the same constraints, and the one above without its signature's constraints.
    let shown = super::Unconstrained::of(&der).unwrap().certificate;
    let outcome = validator.validate(&leaf.der(), &[shown.into()], Role::Client, now());
    assert_eq!(outcome, Err(PathError::BadSignature), "what is shown to webpki is never accepted from a peer");
    let stranger = Entity::root("root").sub_ca("sub", |ca| constrain(ca, &[base(0x86, "example.org")], &[]));
    assert!(validate(&root, &stranger.leaf_with(uri("spiffe://example.org/payments")), &[&stranger]).is_err());
}

#[test]
fn a_revoked_leaf_under_a_constraint_is_revoked() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |ca| constrain(ca, &[base(0x86, "example.org")], &[]));
    let trusted = crate::bundle::Bundle::new(vec![root.der()], vec![sub.crl(&[7], now())]);
    let validator = PathValidator::new(&trusted).unwrap();
    let validate = |serial: u64| {
        let leaf = sub.leaf_with(|leaf| {
            uri("spiffe://example.org/payments")(leaf);
            leaf.serial_number = Some(serial.into());
        });
        validator.validate(&leaf.der(), &[sub.der()], Role::Client, now())
    };
    assert_eq!((validate(7), validate(8)), (Err(PathError::Revoked), Ok(())));
}
