//! A chain without a bundle.

use evercert_fixtures::{odd, pem};

use super::chain::told_of;
use super::*;

/// A change to a certificate.
type Change = fn(&mut CertificateParams);

#[test]
fn what_the_chain_itself_shows_to_be_broken_is_refused_without_a_bundle() {
    let root = Entity::root("root");
    let mut alone = spec();
    alone.files.bundle = None;
    let no_bundle = (Check::NoBundle, Severity::Info);
    let refused_by = |check: Check, files: &Files, word: &str| {
        let assessment = judge_files(&alone, files);
        let told: Vec<_> = assessment.told().into_iter().filter(|(check, _)| *check != Check::RootInChain).collect();
        assert_eq!(told, [no_bundle, (check, Severity::Reject)], "{word}");
        assert!(matches!(assessment.credential, Verdict::Rejected));
        let (_, sentence) = told_of(&assessment, check).unwrap();
        assert!(sentence.contains(word), "{word}: {sentence}");
    };
    let refused = |files: &Files, word: &str| refused_by(Check::ChainUntrusted, files, word);
    let leaf = root.leaf();
    let sha_1 = pem("CERTIFICATE", &odd::signed_with(&leaf, &root, odd::ECDSA_WITH_SHA_1));
    refused_by(Check::WeakSignature, &Files::of(&leaf, &[], &[]).with_chain(sha_1), "the leaf is signed with SHA-1");
    let changes: [(Change, &str); 4] = [
        (|sub| sub.is_ca = IsCa::ExplicitNoCa, "is no CA certificate"),
        (|sub| sub.key_usages = vec![Ku::DigitalSignature], "may not sign certificates"),
        (|sub| sub.not_after = (now() - DAY).into(), "ended at 2025-12-31T00:00:00Z"),
        (|sub| sub.not_before = (now() + DAY).into(), "begins only at"),
    ];
    for (change, word) in changes {
        let sub = root.sub_ca("sub", change);
        for issuers in [&[&sub][..], &[&sub, &root]] {
            refused(&Files::of(&sub.leaf(), issuers, &[]), word);
            refused(&Files::of(&sub.leaf(), issuers, &[]), "certificate 2 of tls.crt (CN=sub)");
        }
    }
    let [sub, namesake] = [(); 2].map(|()| root.sub_ca("sub", |_| {}));
    refused(&Files::of(&sub.leaf(), &[&namesake], &[]), "is not signed with the key of certificate 2");
    // Peers may have a root by another certificate than that in the chain.
    let ended = root.again_with(&root, |ca| ca.not_after = (now() - DAY).into());
    let may_not_sign = Entity::root_with("other", |ca| ca.key_usages = vec![Ku::DigitalSignature]);
    for files in [
        Files::of(&sub.leaf(), &[&sub, &ended], &[]),
        Files::of(&may_not_sign.leaf(), &[&may_not_sign], &[]),
        Files::of(&sub.leaf(), &[], &[]),
    ] {
        assert!(judge_files(&alone, &files).admits());
    }
    // And the end of an intermediate is waited for.
    let brief = root.sub_ca("sub", |sub| sub.not_after = (now() + DAY).into());
    let assessment = judge_files(&alone, &Files::of(&brief.leaf(), &[&brief], &[]));
    assert_eq!(assessment.next_change, Some(now() + DAY + SECOND));
}
