use std::sync::Arc;

use evercert_fixtures::odd::crl::{
    CrlParts, ECDSA_SHA1, delta, distribution_point, entry, extension, full_name, reason,
};
use evercert_fixtures::odd::element;
use evercert_fixtures::{Entity, KeyUsagePurpose, now, pem};
use rustls_pki_types::CertificateRevocationListDer;

use crate::bundle::Crls;
use crate::check::{Assessment, Verdict, assess};
use crate::finding::{Check, Severity};
use crate::spec::IdentitySpec;
use crate::test_files::{Files, spec};
use crate::trusted::Trusted;

type List = CertificateRevocationListDer<'static>;

fn judge(files: &Files, trusted: &Trusted) -> Assessment {
    assess(&spec(), &files.read(&spec()), trusted, now())
}

fn told(assessment: &Assessment) -> Vec<(Check, Severity)> {
    assessment.findings.iter().map(|finding| (finding.check, finding.severity)).collect()
}

fn crl_file(spec: &IdentitySpec) -> &std::path::Path {
    spec.files.crls[0].path()
}

fn in_pem(lists: &[List]) -> String {
    lists.iter().map(|list| pem("X509 CRL", list)).collect()
}

#[test]
fn a_list_that_its_issuer_did_not_sign_is_rejected_with_its_file_and_the_last_good_stays() {
    let root = Entity::root("root");
    let last_good: Crls = [root.crl(&[7], now())].into();
    let trusted =
        Trusted { crls: [(crl_file(&spec()).to_owned(), Arc::clone(&last_good))].into(), ..Trusted::default() };
    let mut damaged = root.crl(&[8], now()).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let sha1 = CrlParts { algorithm: ECDSA_SHA1, ..CrlParts::revoking(&[8]) }.signed_by(&root);
    for (list, words) in [
        (damaged.into(), "is not signed by the CA of this name"),
        (sha1, "is signed with SHA-1 with ECDSA, which is not accepted"),
    ] {
        let files = Files::of(&root.leaf(), &[], &[&root]).with_crl(in_pem(&[root.crl(&[9], now()), list]));
        let assessment = judge(&files, &trusted);
        assert_eq!(told(&assessment), [(Check::CrlSignature, Severity::Reject)]);
        let finding = &assessment.findings[0];
        assert!(
            finding.sentence.starts_with("CRL 2 of 2 (CN=root) ") && finding.sentence.contains(words),
            "{finding:?}"
        );
        assert_eq!(finding.file.as_deref(), Some(crl_file(&spec())));
        assert_eq!(assessment.trusted.crls.values().collect::<Vec<_>>(), [&last_good]);
        assert!(matches!(assessment.credential, Verdict::Admitted(_)), "it holds nothing else back");
    }
}

#[test]
fn a_list_by_another_key_of_a_ca_is_rejected_alone_and_told_of_beside_one_by_its_own() {
    let (root, other) = (Entity::root("root"), Entity::root("root"));
    let judge = |lists: &[List]| {
        let files = Files::of(&root.leaf(), &[], &[&root]).with_crl(in_pem(lists));
        told(&judge(&files, &Trusted::default()))
    };
    let (by_own, by_other) = (root.crl(&[7], now()), other.crl(&[7], now()));
    assert_eq!(judge(std::slice::from_ref(&by_other)), [(Check::CrlSignature, Severity::Reject)]);
    assert_eq!(judge(&[by_own, by_other]), [(Check::CrlIssuer, Severity::Warn)], "a CA that was given another key");
}

#[test]
fn a_signature_algorithm_is_judged_whoever_the_issuer_is() {
    let (root, stranger) = (Entity::root("root"), Entity::root("stranger"));
    let sha1 = CrlParts { algorithm: ECDSA_SHA1, ..CrlParts::revoking(&[8]) }.signed_by(&stranger);
    let assessment = judge(&Files::of(&root.leaf(), &[], &[&root]).with_crl(&*sha1), &Trusted::default());
    assert_eq!(told(&assessment), [(Check::CrlSignature, Severity::Reject)]);
}

#[test]
fn a_list_that_validation_cannot_use_is_rejected_and_says_which_entry_or_extension_it_is() {
    let root = Entity::root("root");
    let of_entry = |extension| CrlParts { entries: vec![entry(7, &[extension])], ..CrlParts::default() };
    for (parts, words) in [
        (of_entry(reason(7)), "the entry of serial number 07 has the reason 7"),
        (
            of_entry(extension(&[0x2a, 3, 4], true, &[])),
            "the entry of serial number 07 has the critical extension 1.2.3.4",
        ),
        (CrlParts::default().with(extension(&[0x2a, 3, 4], true, &[])), "its extension 1.2.3.4 is critical"),
        (
            CrlParts::default().with(distribution_point(&[element(0x85, &[0xff])])),
            "it lists attribute certificates alone",
        ),
    ] {
        let list = parts.signed_by(&root);
        let assessment = judge(&Files::of(&root.leaf(), &[], &[&root]).with_crl(&*list), &Trusted::default());
        assert_eq!(told(&assessment), [(Check::Unparsable, Severity::Reject)]);
        assert!(assessment.findings[0].sentence.contains(words), "{}", assessment.findings[0].sentence);
    }
}

#[test]
fn a_list_by_an_intermediate_of_the_own_chain_is_held_against_it_and_one_by_a_stranger_against_peers() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let judge = |list: List| {
        let files = Files::of(&sub.leaf(), &[&sub], &[&root]).with_crl(in_pem(&[list]));
        told(&judge(&files, &Trusted::default()))
    };
    assert_eq!(judge(sub.crl(&[7], now())), []);
    let mut damaged = sub.crl(&[7], now()).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(judge(damaged.into()), [(Check::CrlSignature, Severity::Reject)]);
    let waits = [(Check::CrlIssuer, Severity::Info)];
    assert_eq!(judge(root.sub_ca("sub", |_| {}).crl(&[7], now())), waits, "peers may show the CA's other certificate");
    assert_eq!(judge(root.sub_ca("other", |_| {}).crl(&[7], now())), waits, "peers under it show whose it is");
}

#[test]
fn a_list_by_a_ca_that_may_sign_none_revokes_nobody_and_says_so() {
    let root = Entity::root_with("root", |ca| ca.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let list = CrlParts::revoking(&[7]).signed_by(&root);
    let assessment = judge(&Files::of(&root.leaf(), &[], &[&root]).with_crl(&*list), &Trusted::default());
    assert_eq!(told(&assessment), [(Check::CrlIssuer, Severity::Warn)]);
}

#[test]
fn a_bad_list_in_a_bundle_rejects_the_bundle_also_of_a_federated_trust_domain() {
    let (root, other) = (Entity::root("root"), Entity::root("root"));
    let bundle = root.pem() + &in_pem(&[other.crl(&[7], now())]);
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let assessment = judge(&files.clone().with_bundle(bundle.clone()), &Trusted::default());
    assert_eq!(told(&assessment), [(Check::CrlSignature, Severity::Reject)]);
    assert!(matches!(assessment.bundle, Verdict::Rejected));
    let mut federated = spec();
    federated.files.federated.insert("example.org".parse().unwrap(), "/partner.pem".into());
    let material = files.with_federated("example.org", bundle).read(&federated);
    let assessment = assess(&federated, &material, &Trusted::default(), now());
    assert_eq!(told(&assessment), [(Check::CrlSignature, Severity::Reject)]);
    assert!(assessment.trusted.federated.is_empty());
}

#[test]
fn what_is_in_a_list_and_not_applied_is_told() {
    let root = Entity::root("root");
    let judge = |lists: &[CrlParts]| {
        let lists: Vec<_> = lists.iter().map(|parts| parts.signed_by(&root)).collect();
        told(&judge(&Files::of(&root.leaf(), &[], &[&root]).with_crl(in_pem(&lists)), &Trusted::default()))
    };
    let scope = (Check::CrlScope, Severity::Warn);
    let added = CrlParts::revoking(&[8]).with(delta());
    assert_eq!(judge(std::slice::from_ref(&added)), [scope], "a delta alone");
    assert_eq!(judge(&[added, CrlParts::revoking(&[7])]), []);
    let taken_back = CrlParts { entries: vec![entry(7, &[reason(8)])], ..CrlParts::default() }.with(delta());
    assert_eq!(judge(&[taken_back, CrlParts::revoking(&[7])]), [scope]);
    let another = extension(&[0x55, 0x1d, 29], true, &element(0x30, &[]));
    let indirect = distribution_point(&[full_name("http://crl.example.org/x"), element(0x84, &[0xff])]);
    assert_eq!(
        judge(&[CrlParts { entries: vec![entry(7, &[another])], ..CrlParts::default() }.with(indirect)]),
        [scope]
    );
}
