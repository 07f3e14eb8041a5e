//! Chains and keys that come without one another.

use evercert_fixtures::{odd, pem};

use super::*;
use crate::digest::Digest;
use crate::mount::{FileRead, KeyAccess};

fn chain_alone() -> IdentitySpec {
    let mut spec = spec();
    spec.files.credential = Some(CredentialFiles::Chain("/tls/tls.crt".into()));
    spec
}

fn alone(content: &str, files: Option<&Files>) -> Vec<Check> {
    let access: Option<KeyAccess> = files.and_then(|files| files.access.clone());
    let content = zeroize::Zeroizing::new(content.as_bytes().to_vec());
    let file = FileRead { access: access.map(Arc::new), ..FileRead::given("/tls/tls.key".into(), content) };
    key_alone(file).into_iter().map(|finding| finding.check).collect()
}

#[test]
fn a_chain_without_its_key_is_judged_as_it_would_be_with_it() {
    let root = Entity::root("root");
    let (good, expired) = (root.leaf(), root.leaf_with(|leaf| leaf.not_after = (now() - HOUR).into()));
    let stray = Entity::root("stray");
    for files in [
        Files::of(&good, &[], &[&root]),
        Files::of(&good, &[&stray], &[&root]),
        Files::of(&good, &[], &[&stray]),
        Files::of(&good, &[], &[]),
        Files::of(&expired, &[], &[&root]),
    ] {
        let (with, without) = (judge_files(&spec(), &files), judge_files(&chain_alone(), &files));
        assert_eq!(with.told(), without.told());
        assert_eq!(with.admits(), without.admits());
    }
    let readable = Files::of(&good, &[], &[&root]).with_mode(0o644, 0).in_directories(&[0o755]);
    assert_eq!(judge_files(&spec(), &readable).told(), [(Check::KeyWorldReadable, Severity::Warn)]);
    assert_eq!(judge_files(&chain_alone(), &readable).told(), [], "a chain may be read by everybody");
}

#[test]
fn a_chain_without_its_key_is_rejected_for_a_public_key_that_no_handshake_can_use() {
    let root = Entity::root("root");
    let modulus = [&[0, 0x80][..], &[0xff; 127]].concat();
    let key = odd::element(0x30, &[odd::element(2, &modulus), odd::element(2, &[1, 0, 1])].concat());
    let rsa = [&odd::element(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1])[..], &[5, 0]].concat();
    let public_key = [odd::element(0x30, &rsa), odd::element(3, &[&[0], &key[..]].concat())].concat();
    let weak = odd::altered(&root.leaf(), &root, |fields| fields[6].1 = public_key);
    let files = Files::of(&root.leaf(), &[], &[&root]).with_chain(pem("CERTIFICATE", &weak));
    let assessment = judge_files(&chain_alone(), &files);
    assessment.rejects_credential_for(Check::KeyUnsupported);
    assert_eq!(assessment.findings[0].found.as_deref(), Some("an RSA key of 1024 bits"));
}

#[test]
fn of_a_chain_without_its_key_the_leaf_that_comes_after_a_ca_is_told() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let assessment = judge_files(&chain_alone(), &Files::of(&sub, &[&sub.leaf()], &[&root]));
    assessment.rejects_credential_for(Check::LeafNotFirst);
    assert!(assessment.findings[0].sentence.starts_with("certificate 2"), "{}", assessment.findings[0].sentence);
}

#[test]
fn a_key_without_its_leaf_is_told_of_where_it_cannot_be_used_or_everybody_reads_it() {
    let pem = key().serialize_pem();
    let readable = Files::default().with_mode(0o644, 0).in_directories(&[0o755]);
    assert_eq!(alone(&pem, None), []);
    assert_eq!(alone(&pem, Some(&readable)), [Check::KeyWorldReadable]);
    assert_eq!(alone(&pem[..60], None), [Check::Unparsable]);
    assert_eq!(alone("", None), [Check::Unparsable]);
    let encrypted = pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(alone(&encrypted, None), [Check::KeyUnsupported]);
}

#[test]
fn a_finding_about_another_certificate_than_the_leaf_names_it() {
    let (root, stray) = (Entity::root("root"), Entity::root("stray"));
    let assessment = judge_files(&spec(), &Files::of(&root.leaf(), &[&stray], &[&root]));
    let order = assessment.findings.iter().find(|finding| finding.check == Check::ChainOrder).unwrap();
    assert_eq!(order.certificate.as_deref(), Some(&Digest::fingerprint(&stray.der())));
}
