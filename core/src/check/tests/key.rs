//! The key, the leaf, and the order of the chain.

use evercert_fixtures::{KeyPair, PublicKeyData};

use super::*;

#[test]
fn a_key_of_another_leaf_is_told_by_both_public_keys() {
    let root = Entity::root("root");
    let (leaf, other) = (root.leaf(), key());
    let assessment = judge_files(&spec(), &Files::of(&leaf, &[], &[&root]).with_key(other.serialize_pem()));
    assessment.rejects_credential_for(Check::KeyMismatch);
    let fingerprint = |key: &KeyPair| Digest::fingerprint(&PublicKeyData::subject_public_key_info(key));
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
fn a_chain_and_a_bundle_that_are_swapped_are_told_as_such_and_nothing_else_is() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let key = leaf.key.serialize_pem();
    for (chain, bundle) in [(&root, vec![&leaf]), (&sub, vec![&leaf, &root]), (&root, vec![&leaf, &sub])] {
        let files = Files::of(chain, &[], &bundle).with_key(key.clone());
        for spec in [spec(), dedicated(), wanting(&[Usage::ServerAuth])] {
            let assessment = judge_files(&spec, &files);
            assessment.rejects_credential_for(Check::KeyMismatch);
            let sentence = &assessment.findings[0].sentence;
            assert!(sentence.contains("swapped"), "{sentence}");
        }
    }
    // The key of a CA, or of a self-signed leaf of before, is another matter.
    let ca_key = Files::of(&leaf, &[&sub], &[&root]).with_key(root.key.serialize_pem());
    let former = Entity::self_signed(|_| {});
    let renewed = Files::of(&Entity::self_signed(|_| {}), &[], &[&former]).with_key(former.key.serialize_pem());
    for files in [ca_key, renewed] {
        let assessment = judge_files(&spec(), &files);
        let mismatch = assessment.findings.iter().find(|finding| finding.check == Check::KeyMismatch).unwrap();
        assert!(mismatch.sentence.contains("is not the leaf's"), "{}", mismatch.sentence);
    }
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
