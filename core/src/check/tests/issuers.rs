//! How an issuer is told that is not found by its name.

use evercert_fixtures::{odd, pem};

use super::chain::told_of;
use super::*;

#[test]
fn a_ca_that_writes_its_name_in_another_way_is_told_to_be_there() {
    let root = Entity::root("Root");
    let [lower, upper] = ["root", "ROOT"].map(|name| root.sub_ca(name, |_| {}));
    let told = |files: &Files| {
        let assessment = judge_files(&spec(), files);
        let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
        assert_eq!(severity, Severity::Reject);
        sentence.to_owned()
    };
    let sentence = told(&Files::of(&lower.leaf(), &[], &[&root]));
    assert!(sentence.contains("the issuer of the leaf, CN=root, is in the bundle, but writes its name"), "{sentence}");
    let sentence = told(&Files::of(&lower.leaf(), &[&upper], &[&Entity::root("other")]));
    assert!(sentence.contains("the issuer of the leaf, CN=root, is in the chain, but writes its name"), "{sentence}");
}

#[test]
fn a_leaf_with_an_empty_issuer_is_told_as_such() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let der = odd::altered(&leaf, &root, |fields| fields[3].1.clear());
    let files = Files::of(&leaf, &[], &[&root]).with_chain(pem("CERTIFICATE", &der));
    let assessment = judge_files(&spec(), &files);
    let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert_eq!(severity, Severity::Reject);
    assert!(sentence.contains("the leaf has an empty issuer"), "{sentence}");
    assert_eq!(assessment.findings[0].found.as_deref(), Some("an empty issuer"));
}
