use evercert_fixtures::{Key, odd, pem};
use rustls_pki_types::CertificateDer;

use super::*;

/// The ways to have, or not to have, a bundle; and to admit whatever some peer may take.
fn specs() -> [IdentitySpec; 5] {
    let (mut alone, mut excused, mut observed) = (spec(), spec(), spec());
    alone.files.bundle = None;
    excused.expectations.require_chain = RequireChain::Never;
    observed.expectations.admission = Admission::Observe;
    [spec(), dedicated(), alone, excused, observed]
}

fn judge_der(spec: &IdentitySpec, root: &Entity, leaf: &Entity, der: &CertificateDer<'_>) -> Assessment {
    judge_files(spec, &Files::of(leaf, &[], &[root]).with_chain(pem("CERTIFICATE", der)))
}

fn rejects_by_itself(change: impl Fn(&mut Vec<odd::Element>), check: Check, word: &str) {
    let root = Entity::root("root");
    let leaf = root.leaf_with(|leaf| leaf.extended_key_usages.clear());
    let der = odd::altered(&leaf, &root, change);
    for spec in specs() {
        let assessment = judge_der(&spec, &root, &leaf, &der);
        let rejecting: Vec<_> = assessment.findings.iter().filter(|f| f.severity == Severity::Reject).collect();
        assert_eq!(rejecting.iter().map(|finding| finding.check).collect::<Vec<_>>(), [check], "{assessment:?}");
        assert!(rejecting[0].sentence.contains(word), "{}", rejecting[0].sentence);
        assert!(matches!(assessment.credential, Verdict::Rejected));
        assert!(
            assessment
                .findings
                .iter()
                .all(|f| f.severity == Severity::Reject || matches!(f.check, Check::NoBundle | Check::LongLived))
        );
    }
}

#[test]
fn what_no_peer_can_parse_is_rejected_whatever_the_bundle() {
    rejects_by_itself(odd::version_1, Check::Unloadable, "version 3");
    rejects_by_itself(|leaf| odd::extension(odd::UNKNOWN_CRITICAL)(leaf), Check::Unloadable, "1.2.3.4.5 is critical");
    rejects_by_itself(odd::first_extension_again, Check::Unloadable, "more than once");
    rejects_by_itself(odd::without_seconds, Check::Unloadable, "a time");
    rejects_by_itself(odd::with_a_fraction, Check::Unloadable, "a time");
    let identifier = |leaf: &mut Vec<odd::Element>| leaf.insert(7, odd::Element(0x81, vec![0, 1]));
    rejects_by_itself(identifier, Check::Unloadable, "a unique identifier");
    let empty = |leaf: &mut Vec<odd::Element>| odd::extension(odd::EMPTY_EXTENDED_KEY_USAGE)(leaf);
    rejects_by_itself(empty, Check::ExtendedKeyUsage, "lists nothing");
}

#[test]
fn what_some_peers_cannot_read_is_rejected_whatever_the_bundle() {
    for serial in [&[][..], &[0, 1], &[0xff, 0xff]] {
        rejects_by_itself(odd::serial(serial), Check::Unloadable, "serial number");
    }
    rejects_by_itself(odd::value_of(odd::KEY_USAGE, true, &[5, 0]), Check::Unloadable, "key usage");
    let names = [0x30, 6, 0x89, 1, b'x', 0x82, 1, b'a'];
    rejects_by_itself(odd::value_of(odd::SUBJECT_ALT_NAME, false, &names), Check::Unloadable, "alternative names");
    let cut_off = [0x30, 3, 0x82, 9, b'a'];
    rejects_by_itself(odd::value_of(odd::SUBJECT_ALT_NAME, false, &cut_off), Check::Unloadable, "");
}

#[test]
fn a_serial_number_of_twenty_octets_or_with_a_zero_for_its_sign_is_like_any_other_and_more_or_zero_is_a_warning() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let judge = |serial| judge_der(&spec(), &root, &leaf, &odd::altered(&leaf, &root, odd::serial(serial)));
    for serial in [&[0, 0x80][..], &[1], &[0x7f; 20]] {
        assert_eq!(judge(serial).told(), []);
    }
    for (serial, word) in [(&[0][..], "is zero"), (&[0x7f; 21], "more than 20 octets")] {
        let assessment = judge(serial);
        assessment.admits_with(Check::SerialNumber, Severity::Warn);
        assert!(assessment.findings[0].sentence.contains(word));
    }
}

#[test]
fn a_negative_serial_number_is_a_warning_for_go_wherever_in_the_chain() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let negative = |entity: &Entity, issuer: &Entity| {
        pem("CERTIFICATE", &odd::altered(entity, issuer, odd::serial(&[0xee, 0x2b])))
    };
    let files = |chain: String| Files::of(&leaf, &[], &[&root]).with_chain(chain);
    let assessment = judge_files(&spec(), &files(negative(&leaf, &sub) + &sub.pem()));
    assessment.admits_with(Check::SerialNumber, Severity::Warn);
    assert!(assessment.findings[0].sentence.contains("of the leaf is negative"));
    let assessment = judge_files(&spec(), &files(leaf.pem() + &negative(&sub, &root)));
    assessment.admits_with(Check::SerialNumber, Severity::Warn);
    assert!(assessment.findings[0].sentence.contains("of certificate 2 of tls.crt (CN=sub) is negative"));
}

#[test]
fn a_leaf_for_no_role_is_rejected_whatever_the_bundle() {
    let root = Entity::root("root");
    for usage in [Eku::Any, Eku::CodeSigning] {
        let leaf = root.leaf_with(|leaf| leaf.extended_key_usages = vec![usage.clone()]);
        for spec in specs() {
            let assessment = judge_der(&spec, &root, &leaf, &leaf.der());
            assert!(assessment.told().contains(&(Check::ExtendedKeyUsage, Severity::Reject)), "{assessment:?}");
            assert!(matches!(assessment.credential, Verdict::Rejected));
        }
    }
    for usage in [Eku::ServerAuth, Eku::ClientAuth] {
        let leaf = root.leaf_with(|leaf| leaf.extended_key_usages = vec![usage.clone()]);
        assert_eq!(judge_der(&spec(), &root, &leaf, &leaf.der()).told(), []);
    }
}

#[test]
fn a_chain_that_is_too_long_for_a_handshake_is_rejected_whatever_the_bundle() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let other = Entity::root_with("other", |ca| {
        ca.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; 33_000]));
    });
    for spec in specs() {
        let files = Files::of(&leaf, &[&other, &other], &[&root]);
        let assessment = judge_files(&spec, &files);
        assert!(assessment.told().contains(&(Check::Unloadable, Severity::Reject)), "{assessment:?}");
        assert!(matches!(assessment.credential, Verdict::Rejected));
        assert!(judge_files(&spec, &Files::of(&leaf, &[&other], &[&root])).admits());
    }
}

#[test]
fn a_key_that_rustls_does_not_sign_with_is_rejected_whatever_the_bundle() {
    let root = Entity::root("root");
    let p384 = Key::P384.pair();
    let leaf = root.leaf_of(p384, |_| {});
    assert_eq!(judge_files(&spec(), &Files::of(&leaf, &[], &[&root])).told(), []);
    // PKCS#8 of Ed448.
    let ed448 = [&[0x30, 71, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x71, 4, 59, 4, 57], [7; 57].as_slice()].concat();
    for spec in specs() {
        let files = Files::of(&root.leaf(), &[], &[&root]).with_key(pem("PRIVATE KEY", &ed448));
        let assessment = judge_files(&spec, &files);
        assert!(assessment.told().contains(&(Check::KeyUnsupported, Severity::Reject)), "{assessment:?}");
        assert!(matches!(assessment.credential, Verdict::Rejected));
    }
}

#[test]
fn a_leaf_that_writes_its_key_in_another_way_is_told_apart_from_a_wrong_key() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    // The prime of a curve stands for a curve that is spelled out.
    let explicit = [&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], [0x30, 3, 2, 1, 7].as_slice()].concat();
    let der = odd::altered(&leaf, &root, |fields| {
        let mut key = odd::elements(&fields[6].1);
        key[0].1.clone_from(&explicit);
        fields[6].1 = odd::encode(&key);
    });
    for spec in specs() {
        let assessment = judge_der(&spec, &root, &leaf, &der);
        assert!(assessment.told().contains(&(Check::KeyUnsupported, Severity::Reject)), "{assessment:?}");
        assert!(assessment.findings[0].sentence.contains("explicit curve"));
        assert!(!assessment.told().contains(&(Check::KeyMismatch, Severity::Reject)));
    }
}
