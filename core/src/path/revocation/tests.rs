use evercert_fixtures::odd::crl::{
    CrlParts, ECDSA_SHA1, delta, distribution_point, entry, extension, full_name, reason,
};
use evercert_fixtures::odd::element;
use evercert_fixtures::{
    CertificateParams, CustomExtension, DAY, DistinguishedName, DnType, DnValue, Entity, HOUR, KeyIdMethod,
    SerialNumber, now,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::super::{CrlProblem, PathError, PathPolicy, PathValidator, Role, StaleCrls};
use crate::bundle::Bundle;

/// Validators of one bundle: by default, and where stale CRLs are to be rejected.
struct Door([PathValidator; 2]);

impl Door {
    fn new(anchors: &[&Entity], crls: &[CertificateRevocationListDer<'static>]) -> Self {
        let bundle = Bundle::new(anchors.iter().map(|anchor| anchor.der()).collect(), crls.to_vec());
        let policy = PathPolicy { stale_crls: StaleCrls::Reject, ..PathPolicy::default() };
        let validator = || PathValidator::new(&bundle).unwrap();
        Self([validator(), validator().with_policy(policy)])
    }

    fn admits(&self, leaf: &Entity, over: &[&Entity]) -> [Result<(), PathError>; 2] {
        let over: Vec<CertificateDer<'_>> = over.iter().map(|issuer| issuer.der()).collect();
        self.0.each_ref().map(|validator| {
            let cheap = || validator.validate_cheap(&leaf.der(), &over, Role::Client, now());
            let before = cheap();
            let outcome = validator.validate(&leaf.der(), &over, Role::Client, now());
            for cheap in [before, cheap()] {
                assert!(cheap.is_none_or(|cheap| cheap == outcome), "a cheap chain is judged as any other");
            }
            outcome
        })
    }
}

const OK: Result<(), PathError> = Ok(());
const REVOKED: Result<(), PathError> = Err(PathError::Revoked);
const UNUSABLE: Result<(), PathError> = Err(PathError::Crl(CrlProblem::Unusable));

#[test]
fn a_list_that_cannot_be_used_fails_nobody_unless_that_is_asked_for() {
    let root = Entity::root("root");
    let good = CrlParts::revoking(&[7]);
    let mut damaged = good.signed_by(&root).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let sha1 = CrlParts { algorithm: ECDSA_SHA1, ..good.clone() }.signed_by(&root);
    let critical = good.clone().with(extension(&[0x2a, 3, 4], true, &[5, 0])).signed_by(&root);
    let bad_reason = CrlParts { entries: vec![entry(7, &[reason(7)])], ..good.clone() }.signed_by(&root);
    for list in [damaged.into(), sha1, critical, bad_reason] {
        let door = Door::new(&[&root], std::slice::from_ref(&list));
        assert_eq!(door.admits(&root.leaf_number(8), &[]), [OK, UNUSABLE]);
        assert_eq!(door.admits(&root.leaf_number(7), &[]), [OK, UNUSABLE]);
        let beside = Door::new(&[&root], &[list, good.signed_by(&root)]);
        assert_eq!(beside.admits(&root.leaf_number(7), &[])[0], REVOKED, "the other list counts");
    }
}

#[test]
fn whoever_is_listed_is_revoked_whatever_kind_of_list_it_is() {
    let root = Entity::root("root");
    let listing = || CrlParts::revoking(&[7]);
    let point = |uri| distribution_point(&[full_name(uri)]);
    let directory = element(0xa0, &element(0xa0, &element(0xa4, &element(0x30, &[]))));
    let relative = element(0xa0, &element(0xa1, &[]));
    for (what, parts) in [
        ("version 1", CrlParts { version: None, ..listing() }),
        ("without a next update", CrlParts { next_update: None, ..listing() }),
        ("of another distribution point", listing().with(point("http://crl.example.org/other"))),
        ("of a directory name", listing().with(distribution_point(&[directory]))),
        ("of a relative name", listing().with(distribution_point(&[relative]))),
        ("of some reasons", listing().with(distribution_point(&[element(0x83, &[5, 0x40])]))),
        ("of leaves", listing().with(distribution_point(&[element(0x81, &[0xff])]))),
        (
            "indirect",
            listing().with(distribution_point(&[full_name("http://crl.example.org/x"), element(0x84, &[0xff])])),
        ),
        ("a delta", listing().with(delta())),
        ("of an odd number", listing().with(extension(&[0x55, 0x1d, 20], false, &element(2, &[0x7f; 40])))),
    ] {
        let door = Door::new(&[&root], &[parts.signed_by(&root)]);
        let with_point = |serial: u8| {
            root.leaf_with(|leaf| {
                leaf.serial_number = Some(SerialNumber::from(u64::from(serial)));
                let point = element(0x30, &element(0x30, &full_name("http://crl.example.org/leaf")));
                leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 31], point));
            })
        };
        assert_eq!(door.admits(&with_point(7), &[]), [REVOKED, REVOKED], "{what}");
        assert_eq!(door.admits(&with_point(8), &[]), [OK, OK], "{what}");
    }
}

#[test]
fn a_list_of_cas_says_nothing_of_leaves_and_the_other_way_round() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |ca| ca.serial_number = Some(SerialNumber::from(7_u64)));
    let of = |tag| CrlParts::revoking(&[7]).with(distribution_point(&[element(tag, &[0xff])])).signed_by(&root);
    let (leaves, authorities) = (Door::new(&[&root], &[of(0x81)]), Door::new(&[&root], &[of(0x82)]));
    assert_eq!(leaves.admits(&root.leaf_number(7), &[])[0], REVOKED);
    assert_eq!(leaves.admits(&sub.leaf(), &[&sub])[0], OK);
    assert_eq!(authorities.admits(&root.leaf_number(7), &[])[0], OK);
    assert_eq!(authorities.admits(&sub.leaf(), &[&sub])[0], REVOKED);
}

#[test]
fn a_delta_adds_to_its_base_and_a_newer_list_of_one_kind_replaces_the_older() {
    let root = Entity::root("root");
    let base = CrlParts { this_update: now() - DAY, ..CrlParts::revoking(&[6]) };
    let older = CrlParts { this_update: now() - 2 * DAY, ..CrlParts::revoking(&[5]) };
    let added = CrlParts { entries: vec![entry(7, &[]), entry(6, &[reason(8)])], ..CrlParts::default() }.with(delta());
    let door = Door::new(&[&root], &[older, base, added].map(|parts| parts.signed_by(&root)));
    for (serial, outcome) in [(5, OK), (6, REVOKED), (7, REVOKED), (8, OK)] {
        assert_eq!(door.admits(&root.leaf_number(serial), &[])[0], outcome, "{serial}");
    }
}

#[test]
fn of_two_lists_of_one_age_both_count() {
    let root = Entity::root("root");
    let lists = [CrlParts::revoking(&[6]), CrlParts::revoking(&[7])].map(|parts| parts.signed_by(&root));
    let door = Door::new(&[&root], &lists);
    for (serial, outcome) in [(6, REVOKED), (7, REVOKED), (8, OK)] {
        assert_eq!(door.admits(&root.leaf_number(serial), &[])[0], outcome, "{serial}");
    }
}

#[test]
fn an_issuer_that_writes_its_name_in_another_way_in_its_lists_revokes_all_the_same() {
    let name = |value| {
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Example");
        name.push(DnType::CommonName, value);
        name
    };
    let utf8 =
        |params: &mut CertificateParams| params.distinguished_name = name(DnValue::Utf8String("Root CA".to_owned()));
    let root = Entity::root_with("", utf8);
    let printable = Entity::root_with("", |params| {
        params.distinguished_name = name(DnValue::PrintableString("ROOT  ca".try_into().unwrap()));
    });
    let der = printable.der();
    let issuer = crate::certificate::parse(&der).unwrap().subject().as_raw().to_vec();
    let list = CrlParts { issuer: Some(issuer), ..CrlParts::revoking(&[7]) }.signed_by(&root);
    let door = Door::new(&[&root], &[list]);
    assert_eq!(door.admits(&root.leaf_number(7), &[]), [REVOKED, REVOKED]);
    assert_eq!(door.admits(&root.leaf_number(8), &[]), [OK, OK]);
}

#[test]
fn a_peer_that_shows_both_certificates_of_a_rekeyed_ca_is_held_against_each_list_by_its_own_key() {
    let root = Entity::root("root");
    let [former, renewed] = [(); 2].map(|()| root.sub_ca("sub", |_| {}));
    let lists = [former.crl(&[7], now() - 2 * HOUR), renewed.crl(&[9], now() - HOUR)];
    for crls in [&lists[..], &lists[..1], &lists[1..]] {
        let door = Door::new(&[&root], crls);
        for over in [[&former, &renewed], [&renewed, &former]] {
            let has = |list| crls.contains(list);
            let of = |revoked| if revoked { REVOKED } else { OK };
            assert_eq!(door.admits(&former.leaf_number(7), &over)[0], of(has(&lists[0])));
            assert_eq!(door.admits(&former.leaf_number(9), &over)[0], OK);
            assert_eq!(door.admits(&renewed.leaf_number(9), &over)[0], of(has(&lists[1])));
            assert_eq!(door.admits(&renewed.leaf_number(7), &over)[0], OK);
        }
    }
}

#[test]
fn many_lists_by_other_keys_of_the_name_are_no_obstacle() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let namesakes: Vec<_> = (0..20).map(|_| root.sub_ca("sub", |_| {})).collect();
    let mut lists: Vec<_> = namesakes.iter().map(|namesake| namesake.crl(&[7], now() - HOUR)).collect();
    lists.push(sub.crl(&[9], now() - DAY));
    let door = Door::new(&[&root], &lists);
    assert_eq!(door.admits(&sub.leaf_number(7), &[&sub])[0], OK);
    assert_eq!(door.admits(&sub.leaf_number(9), &[&sub])[0], REVOKED, "the oldest of them is tried, too");
    for namesake in &namesakes {
        assert_eq!(door.admits(&namesake.leaf_number(7), &[namesake])[0], REVOKED);
    }
}

#[test]
fn a_stale_list_that_is_not_by_the_issuers_key_is_no_reason_to_refuse() {
    let [former, renewed] =
        [(); 2].map(|()| Entity::root_with("root", |ca| ca.key_identifier_method = KeyIdMethod::Sha256));
    let stale = former.crl(&[7], now() - 3 * DAY);
    let door = Door::new(&[&former, &renewed], &[stale]);
    assert_eq!(door.admits(&renewed.leaf(), &[]), [OK, OK]);
    let next_update = now() - 2 * DAY;
    assert_eq!(door.admits(&former.leaf(), &[]), [OK, Err(PathError::Crl(CrlProblem::Stale { next_update }))]);
}
