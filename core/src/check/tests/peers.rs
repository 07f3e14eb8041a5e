//! What some peers refuse, or will.

use evercert_fixtures::{DnType, odd::ml_dsa::MlDsaKey, pem};

use super::*;

#[test]
fn a_client_of_a_public_ca_is_warned_and_neither_a_server_of_one_nor_a_client_of_ones_own() {
    let public = Entity::root_with("R10", |ca| ca.distinguished_name.push(DnType::OrganizationName, "Let's Encrypt"));
    let own = Entity::root_with("R10", |ca| ca.distinguished_name.push(DnType::OrganizationName, "Example"));
    let judge = |root: &Entity, usages: &[Usage]| judge_files(&wanting(usages), &Files::of(&root.leaf(), &[], &[root]));
    judge(&public, &[Usage::ClientAuth]).admits_with(Check::ClientAuthEnding, Severity::Warn);
    assert_eq!(judge(&public, &[Usage::ServerAuth]).told(), []);
    assert_eq!(judge(&own, &[Usage::ClientAuth]).told(), []);
    let without = public.leaf_with(|leaf| leaf.extended_key_usages = vec![Eku::ServerAuth]);
    let told = judge_files(&wanting(&[Usage::ClientAuth]), &Files::of(&without, &[], &[&public])).told();
    assert!(told.contains(&(Check::ClientAuthEnding, Severity::Warn)), "{told:?}");
    assert!(told.contains(&(Check::ExtendedKeyUsage, Severity::Reject)), "{told:?}");
}

#[test]
fn a_credential_of_ml_dsa_is_loaded_and_told_for_the_peers_that_lack_it() {
    let root = Entity::root("root");
    let (leaf, key) = (root.leaf(), MlDsaKey::new());
    let chain = pem("CERTIFICATE", &key.certificate(&leaf, &root));
    let files = Files::of(&leaf, &[], &[&root]).with_chain(chain).with_key(pem("PRIVATE KEY", &key.pkcs8()));
    let assessment = judge_files(&wanting(&[Usage::ServerAuth]), &files);
    if cfg!(feature = "aws-lc-rs") {
        assessment.admits_with(Check::PostQuantum, Severity::Info);
        let Verdict::Admitted(credential) = assessment.credential else { panic!() };
        crate::loading::certified_key(&credential).unwrap();
    } else {
        assert!(assessment.told().contains(&(Check::KeyUnsupported, Severity::Reject)));
    }
}

#[test]
fn a_leaf_that_a_key_of_ml_dsa_signed_is_verified_and_told() {
    let root = Entity::root("root");
    let (leaf, key) = (root.leaf(), MlDsaKey::new());
    let files = Files::of(&leaf, &[], &[])
        .with_chain(pem("CERTIFICATE", &key.sign(&leaf)))
        .with_bundle(pem("CERTIFICATE", &key.certificate(&root, &root)));
    if cfg!(feature = "aws-lc-rs") {
        judge_files(&spec(), &files).admits_with(Check::PostQuantum, Severity::Info);
    }
}

const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];

#[test]
fn an_authority_key_identifier_that_is_not_the_issuers_is_a_warning() {
    let root = Entity::root("root");
    let pointing = |value: Vec<u8>| {
        let extension = CustomExtension::from_oid_content(AUTHORITY_KEY_IDENTIFIER, value);
        judge_files(&spec(), &Files::of(&root.leaf_with(|leaf| leaf.custom_extensions.push(extension)), &[], &[&root]))
    };
    let assessment = pointing(vec![0x30, 6, 0x80, 4, 1, 2, 3, 4]);
    assessment.admits_with(Check::KeyIdentifier, Severity::Warn);
    assert!(assessment.findings[0].sentence.contains("is not the subject key identifier"));
    let own = judge(&spec(), |leaf| leaf.use_authority_key_identifier_extension = true);
    assert_eq!(own.told(), []);
    // A serial number without a key identifier.
    let assessment = pointing(vec![0x30, 6, 0x82, 4, 1, 2, 3, 4]);
    assessment.admits_with(Check::KeyIdentifier, Severity::Warn);
    assert!(assessment.findings[0].sentence.contains("another issuer and serial number"));
}

#[test]
fn name_constraints_of_a_ca_are_to_be_critical() {
    let root = Entity::root("root");
    // permitted: DNS:localhost
    let value = vec![0x30, 15, 0xa0, 13, 0x30, 11, 0x82, 9, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't'];
    let judge = |critical| {
        let sub = root.sub_ca("sub", |sub| {
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], value.clone());
            extension.set_criticality(critical);
            sub.custom_extensions.push(extension);
        });
        judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub], &[&root]))
    };
    judge(false).admits_with(Check::NameConstraints, Severity::Warn);
    assert_eq!(judge(true).told(), []);
}
