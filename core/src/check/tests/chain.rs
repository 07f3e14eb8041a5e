//! Why a path does not hold: each cause with its own advice, and what of it a bundle that is not the issuer's own excuses.

use evercert_fixtures::{BasicConstraints, GeneralSubtree, NameConstraints, odd, pem};
use rustls_pki_types::CertificateDer;

use super::*;

fn never() -> IdentitySpec {
    let mut spec = spec();
    spec.expectations.require_chain = RequireChain::Never;
    spec
}

pub(super) fn told_of(assessment: &Assessment, check: Check) -> Option<(Severity, &str)> {
    let finding = assessment.findings.iter().find(|finding| finding.check == check)?;
    Some((finding.severity, &finding.sentence))
}

/// Rejected by every bundle that knows the issuer, and told in these words.
fn every_peer_refuses(leaf: &Entity, issuers: &[&Entity], anchors: &[&Entity], words: &[&str]) {
    for spec in [spec(), dedicated(), never()] {
        let assessment = judge_files(&spec, &Files::of(leaf, issuers, anchors));
        let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
        assert_eq!(severity, Severity::Reject, "{sentence}");
        assert!(matches!(assessment.credential, Verdict::Rejected));
        for word in words {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
        assert!(!sentence.contains("missing intermediates"), "{sentence}");
    }
}

#[test]
fn an_issuer_that_the_bundle_does_not_know_is_excused_where_the_bundle_is_not_its_own() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let sub = root.sub_ca("sub", |_| {});
    for (leaf, issuers) in
        [(root.leaf(), vec![]), (sub.leaf(), vec![]), (sub.leaf(), vec![&sub]), (sub.leaf(), vec![&sub, &root])]
    {
        let files = Files::of(&leaf, &issuers, &[&other]);
        for (spec, severity) in [(spec(), Severity::Reject), (dedicated(), Severity::Warn), (never(), Severity::Warn)] {
            let assessment = judge_files(&spec, &files);
            assert_eq!(told_of(&assessment, Check::ChainUntrusted).unwrap().0, severity, "{assessment:?}");
            assert_eq!(assessment.admits(), severity == Severity::Warn);
        }
    }
    let assessment = judge_files(&spec(), &Files::of(&sub.leaf(), &[], &[&root]));
    let (_, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert!(
        sentence.contains("the issuer of the leaf, CN=sub, is neither in the bundle nor in the chain"),
        "{sentence}"
    );
    let assessment = judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub], &[&other]));
    let (_, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert!(sentence.contains("the issuer of certificate 2 of tls.crt (CN=sub), CN=root, is neither"), "{sentence}");
}

#[test]
fn a_ca_of_that_name_with_another_key_or_validity_is_an_issuer_that_the_bundle_does_not_know() {
    let (root, renewed) = (Entity::root("root"), Entity::root("root"));
    let ended = root.again_with(&root, |ca| ca.not_after = (now() - DAY).into());
    for (anchor, word) in [(&renewed, "another key by now"), (&ended, "is valid only from")] {
        let files = Files::of(&root.leaf(), &[], &[anchor, &Entity::root("other")]);
        let assessment = judge_files(&spec(), &files);
        assert_eq!(told_of(&assessment, Check::ChainUntrusted).unwrap().0, Severity::Reject);
        let assessment = judge_files(&dedicated(), &files);
        let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
        assert_eq!(severity, Severity::Warn);
        assert!(sentence.contains(word) && sentence.contains("the anchor CN=root of ca.crt"), "{sentence}");
    }
}

#[test]
fn an_intermediate_that_has_ended_is_named_and_refused_by_every_peer() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let sub = root.sub_ca("sub", |sub| sub.not_after = (now() - DAY).into());
    let words = ["certificate 2 of tls.crt (CN=sub) ended at 2025-12-31T00:00:00Z", "renew that CA"];
    every_peer_refuses(&sub.leaf(), &[&sub], &[&root], &words);
    every_peer_refuses(&sub.leaf(), &[&sub], &[&other], &words);
    // Beside one that holds it is in nobody's way, whoever knows the root.
    let renewed = sub.again_with(&root, |sub| sub.not_after = (now() + 500 * DAY).into());
    assert!(judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub, &renewed], &[&root])).admits());
    let assessment = judge_files(&dedicated(), &Files::of(&sub.leaf(), &[&sub, &renewed], &[&other]));
    let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert!(severity == Severity::Warn && sentence.contains("neither in the bundle"), "{sentence}");
}

#[test]
fn a_path_that_is_too_long_is_told_by_whose_limit_it_is() {
    let root = Entity::root("root");
    let limited = root.sub_ca("limited", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let under = limited.sub_ca("under", |_| {});
    let words = ["certificate 3 of tls.crt (CN=limited) allows 0 intermediates below it", "there is 1;"];
    every_peer_refuses(&under.leaf(), &[&under, &limited], &[&root], &words);
    let mut long = vec![root.sub_ca("1", |_| {})];
    for i in 2..9 {
        long.push(long[long.len() - 1].sub_ca(&i.to_string(), |_| {}));
    }
    let issuers: Vec<_> = long.iter().rev().collect();
    every_peer_refuses(&issuers[0].leaf(), &issuers, &[&root], &["more intermediates"]);
}

#[test]
fn a_name_outside_of_the_constraints_is_told_by_whose_they_are() {
    let root = Entity::root("root");
    let constrained = root.sub_ca("nc", |ca| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example.com".to_owned())];
        ca.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    let words = ["outside of what certificate 2 of tls.crt (CN=nc) allows by its name constraints"];
    every_peer_refuses(&constrained.leaf(), &[&constrained], &[&root], &words);
}

#[test]
fn the_constraints_that_are_broken_are_told_apart_from_those_that_are_kept() {
    let constrained_to = |name: &str| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName(name.to_owned())];
        Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() })
    };
    let root = Entity::root("root");
    let upper = root.sub_ca("upper", |ca| ca.name_constraints = constrained_to("example.org"));
    let lower = upper.sub_ca("lower", |ca| ca.name_constraints = constrained_to("example.net"));
    let named = |name: &str| {
        let name = SanType::DnsName(name.try_into().unwrap());
        lower.leaf_with(|leaf| leaf.subject_alt_names = vec![name])
    };
    for (name, whose) in [
        ("a.example.net", "certificate 3 of tls.crt (CN=upper)"),
        ("a.example.org", "certificate 2 of tls.crt (CN=lower)"),
    ] {
        let words = format!("the name \"{name}\" of the leaf is outside of what {whose} allows");
        every_peer_refuses(&named(name), &[&lower, &upper], &[&root], &[&words]);
    }
}

#[test]
fn an_issuer_for_another_role_is_told_with_the_role() {
    let root = Entity::root("root");
    let clients = root.sub_ca("sub", |sub| sub.extended_key_usages = vec![Eku::ClientAuth]);
    let mut spec = wanting(&[Usage::ServerAuth]);
    spec.expectations.require_chain = RequireChain::Never;
    let assessment = judge_files(&spec, &Files::of(&clients.leaf(), &[&clients], &[&root]));
    let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert_eq!(severity, Severity::Reject);
    assert!(
        sentence.contains("certificate 2 of tls.crt (CN=sub) has an extended key usage without server auth"),
        "{sentence}"
    );
}

#[test]
fn an_issuer_that_is_for_no_role_of_the_leaf_is_refused_where_no_usage_is_configured() {
    let root = Entity::root("root");
    let under = |usages: &[Eku]| root.sub_ca("sub", |sub| sub.extended_key_usages = usages.to_vec());
    let code = under(&[Eku::CodeSigning]);
    let words = ["certificate 2 of tls.crt (CN=sub) has an extended key usage without"];
    every_peer_refuses(&code.leaf(), &[&code], &[&root], &words);

    let clients = under(&[Eku::ClientAuth]);
    let both = judge_files(&spec(), &Files::of(&clients.leaf(), &[&clients], &[&root]));
    both.admits_with(Check::ExtendedKeyUsage, Severity::Warn);
    let sentence = &both.findings[0].sentence;
    assert!(sentence.contains("(CN=sub) has an extended key usage without server auth"), "{sentence}");
    let only = |usage: Eku| clients.leaf_with(|leaf| leaf.extended_key_usages = vec![usage]);
    assert_eq!(judge_files(&spec(), &Files::of(&only(Eku::ClientAuth), &[&clients], &[&root])).told(), []);
    every_peer_refuses(&only(Eku::ServerAuth), &[&clients], &[&root], &words);
}

#[test]
fn an_issuer_in_the_chain_that_is_no_ca_is_told() {
    let root = Entity::root("root");
    let no_ca = root.sub_ca("no ca", |ca| ca.is_ca = IsCa::ExplicitNoCa);
    let words = ["certificate 2 of tls.crt (CN=no ca) is no CA certificate"];
    every_peer_refuses(&no_ca.leaf(), &[&no_ca], &[&root], &words);
    every_peer_refuses(&no_ca.leaf(), &[&no_ca], &[&Entity::root("other")], &words);
}

#[test]
fn a_namesake_in_the_chain_is_not_taken_for_the_issuer() {
    let root = Entity::root("root");
    let [sub, namesake] = [(); 2].map(|()| root.sub_ca("sub", |_| {}));
    let words = ["the leaf is not signed with the key of certificate 2 of tls.crt (CN=sub)"];
    every_peer_refuses(&sub.leaf(), &[&namesake], &[&root], &words);
}

#[test]
fn an_intermediate_that_nobody_can_read_is_rejected_where_the_leaf_needs_it() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let chain_with =
        |der: &CertificateDer<'_>| Files::of(&leaf, &[], &[&root]).with_chain(leaf.pem() + &pem("CERTIFICATE", der));
    let mut alone = spec();
    alone.files.bundle = None;
    let mut observed = spec();
    observed.expectations.admission = Admission::Observe;
    let changes: [fn(&mut Vec<odd::Element>); 4] =
        [odd::version_1, odd::first_extension_again, odd::without_seconds, |ca| {
            odd::extension(odd::UNKNOWN_CRITICAL)(ca)
        }];
    for change in changes {
        let der = odd::altered(&sub, &root, change);
        for spec in [spec(), dedicated(), never(), alone.clone(), observed.clone()] {
            let assessment = judge_files(&spec, &chain_with(&der));
            let (severity, sentence) = told_of(&assessment, Check::Unloadable).unwrap();
            assert_eq!(severity, Severity::Reject);
            assert!(sentence.starts_with("certificate 2 of tls.crt (CN=sub) issued the leaf"), "{sentence}");
            assert!(told_of(&assessment, Check::ChainUntrusted).is_none(), "{assessment:?}");
            assert!(matches!(assessment.credential, Verdict::Rejected));
        }
        // Beside one that can be read it is only in the way.
        let mut files = chain_with(&der);
        files.chain.as_mut().unwrap().extend(sub.pem().into_bytes());
        let assessment = judge_files(&spec(), &files);
        assert_eq!(told_of(&assessment, Check::Unloadable).unwrap().0, Severity::Warn);
        assert!(assessment.admits());
    }
}

#[test]
fn the_only_anchor_that_cannot_be_one_is_told_with_the_reason() {
    let odd = Entity::root_with("odd", |ca| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
        extension.set_criticality(true);
        ca.custom_extensions.push(extension);
    });
    let assessment = judge_files(&spec(), &Files::of(&odd.leaf(), &[], &[&odd]));
    assert_eq!(assessment.told(), [(Check::AnchorUnusable, Severity::Reject)]);
    let sentence = &assessment.findings[0].sentence;
    assert!(sentence.contains("CN=odd") && sentence.contains("1.2.3.4.5 is critical"), "{sentence}");

    let assessment = judge_files(&spec(), &Files::of(&odd.leaf(), &[], &[&odd, &Entity::root("root")]));
    let (_, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
    assert!(sentence.contains("the anchor CN=odd of ca.crt issued it, but can be nobody's anchor"), "{sentence}");
}

#[test]
fn the_wrong_order_is_told_alone() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let mut named = wanting(&[Usage::ServerAuth]);
    named.expectations.dns_names = vec!["localhost".to_owned()];
    for issuers in [&[&leaf][..], &[&leaf, &root], &[&root, &leaf]] {
        let files = Files::of(&sub, issuers, &[&root]).with_key(leaf.key.serialize_pem());
        assert_eq!(judge_files(&named, &files).told(), [(Check::LeafNotFirst, Severity::Reject)]);
    }
}

#[test]
fn an_anchor_with_limits_that_rustls_does_not_look_at_is_a_warning() {
    let limited = Entity::root_with("limited", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let sub = limited.sub_ca("sub", |_| {});
    assert_eq!(judge_files(&spec(), &Files::of(&limited.leaf(), &[], &[&limited])).told(), []);
    judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub], &[&limited]))
        .admits_with(Check::AnchorConstraint, Severity::Warn);
    // Peers take the other certificate of that CA.
    let unlimited = limited.again_with(&limited, |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(judge_files(&spec(), &Files::of(&sub.leaf(), &[&sub], &[&limited, &unlimited])).told(), []);

    let clients = Entity::root_with("clients", |ca| ca.extended_key_usages = vec![Eku::ClientAuth]);
    let files = Files::of(&clients.leaf(), &[], &[&clients]);
    judge_files(&spec(), &files).admits_with(Check::AnchorConstraint, Severity::Warn);
    assert_eq!(judge_files(&wanting(&[Usage::ClientAuth]), &files).told(), []);
    let any = Entity::root_with("any", |ca| ca.extended_key_usages = vec![Eku::Any]);
    assert_eq!(judge_files(&spec(), &Files::of(&any.leaf(), &[], &[&any])).told(), []);
}

#[test]
fn no_sentence_shows_the_name_of_an_error() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let crls = pem("X509 CRL", &[0x30, 0]);
    let files = Files::of(&leaf, &[], &[]).with_bundle(root.pem() + &crls);
    for finding in judge_files(&spec(), &files).findings {
        assert!(!finding.sentence.contains("BadDer") && !finding.sentence.contains("(Time)"), "{}", finding.sentence);
    }
}

#[test]
fn a_bundle_that_disowns_the_served_leaf_is_told_with_the_cause() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let leaf = root.leaf();
    let material = Files::of(&leaf, &[], &[&root]).read(&spec());
    let Verdict::Admitted(credential) = assess(&spec(), &material, &Trusted::default(), now()).credential else {
        panic!("it is good")
    };
    let bundle = Arc::new(crate::test_files::bundle(&[&other]));
    let (findings, _) = own_leaf(&spec(), &credential, &bundle, &Validators::default(), now());
    assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), [Check::OwnLeafUntrusted]);
    let sentence = &findings[0].sentence;
    assert!(sentence.contains("the issuer of the leaf, CN=root, is neither in the bundle"), "{sentence}");
}

#[test]
fn a_leaf_signed_with_sha_1_is_refused_by_every_peer_whoever_issued_it() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let leaf = root.leaf();
    let sha_1 = odd::signed_with(&leaf, &root, odd::ECDSA_WITH_SHA_1);
    for anchors in [&root, &other] {
        for spec in [spec(), dedicated(), never()] {
            let files = Files::of(&leaf, &[], &[anchors]).with_chain(pem("CERTIFICATE", &sha_1));
            let assessment = judge_files(&spec, &files);
            if anchors.der() == root.der() || spec == dedicated() || spec == never() {
                assessment.rejects_credential_for(Check::WeakSignature);
                let (_, sentence) = told_of(&assessment, Check::WeakSignature).unwrap();
                assert!(sentence.starts_with("the leaf is signed with SHA-1 with ECDSA"), "{sentence}");
            } else {
                assessment.rejects_credential_for(Check::ChainUntrusted);
            }
        }
    }
}

#[test]
fn a_broken_digest_is_told_by_a_check_of_its_own_where_the_path_needs_the_signature() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let under = |algorithm: &[u8], bundle: String| {
        let chain = leaf.pem() + &pem("CERTIFICATE", &odd::signed_with(&sub, &root, algorithm));
        judge_files(&spec(), &Files::of(&leaf, &[], &[&root]).with_chain(chain).with_bundle(bundle))
    };
    for (algorithm, name) in [(odd::ECDSA_WITH_SHA_1, "SHA-1 with ECDSA"), (odd::RSA_WITH_MD5, "MD5 with RSA")] {
        let assessment = under(algorithm, root.pem());
        assessment.rejects_credential_for(Check::WeakSignature);
        let finding = &assessment.findings[0];
        assert!(finding.sentence.starts_with("certificate 2 of tls.crt (CN=sub) is signed with"), "{finding:?}");
        assert_eq!(finding.found.as_deref(), Some(name));
        // Peers that trust the intermediate itself verify no signature of it, nor that of a root.
        assert!(under(algorithm, sub.pem()).admits());
        let weak_root = pem("CERTIFICATE", &odd::signed_with(&root, &root, algorithm));
        judge_files(&spec(), &Files::of(&root.leaf(), &[], &[]).with_bundle(weak_root)).admits_without_a_word();
    }
    // What is merely not used in TLS is no broken digest.
    under(odd::ECDSA_WITH_SHA_224, root.pem()).rejects_credential_for(Check::ChainUntrusted);
    judge_files(&spec(), &Files::of(&leaf, &[&sub], &[&root])).admits_without_a_word();
}

#[test]
fn a_renewed_ca_is_told_by_its_other_key_even_where_the_former_one_is_in_the_chain() {
    let (former, renewed) = (Entity::root("root"), Entity::root("root"));
    let sub = former.sub_ca("sub", |_| {});
    let told = |spec: &IdentitySpec, leaf: &Entity, issuers: &[&Entity]| {
        let assessment = judge_files(spec, &Files::of(leaf, issuers, &[&renewed]));
        let (severity, sentence) = told_of(&assessment, Check::ChainUntrusted).unwrap();
        (severity, sentence.to_owned())
    };
    let (_, sentence) = told(&spec(), &former.leaf(), &[&former]);
    assert!(sentence.contains("the leaf is not signed with the key of the anchor CN=root of ca.crt"), "{sentence}");
    let (severity, sentence) = told(&dedicated(), &sub.leaf(), &[&sub, &former]);
    assert!(
        sentence.contains("certificate 2 of tls.crt (CN=sub) is not signed with the key of the anchor"),
        "{sentence}"
    );
    assert_eq!(severity, Severity::Warn);
    let (severity, _) = told(&dedicated(), &sub.leaf(), &[&sub, &former, &renewed]);
    assert_eq!(severity, Severity::Warn);
}

#[test]
fn a_credential_must_chain_to_the_bundle_that_came_with_it() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let files = Files::of(&root.leaf(), &[], &[&other]);
    judge_files(&spec(), &files).rejects_credential_for(Check::ChainUntrusted);
    judge_files(&dedicated(), &files).admits_with(Check::ChainUntrusted, Severity::Warn);

    let requiring = |require_chain, mut spec: IdentitySpec| {
        spec.expectations.require_chain = require_chain;
        judge_files(&spec, &files)
    };
    requiring(RequireChain::Never, spec()).admits_with(Check::ChainUntrusted, Severity::Warn);
    requiring(RequireChain::Always, dedicated()).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn a_missing_intermediate_is_a_chain_that_does_not_hold() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    judge_files(&spec(), &Files::of(&sub.leaf(), &[], &[&root])).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn an_intermediate_that_forbids_the_wanted_usage_breaks_the_chain() {
    let root = Entity::root("root");
    let clients = root.sub_ca("sub", |sub| sub.extended_key_usages = vec![Eku::ClientAuth]);
    let files = Files::of(&clients.leaf(), &[&clients], &[&root]);
    assert!(judge_files(&wanting(&[Usage::ClientAuth]), &files).admits());
    judge_files(&wanting(&[Usage::ServerAuth]), &files).rejects_credential_for(Check::ChainUntrusted);
}

#[test]
fn without_a_bundle_there_is_nothing_to_chain_to() {
    let files = Files::of(&Entity::root("root").leaf(), &[], &[]);
    let assessment = judge_files(&spec(), &files);
    assessment.admits_with(Check::NoBundle, Severity::Info);
    assert!(matches!(assessment.bundle, Verdict::Absent));
    let mut requiring = spec();
    requiring.expectations.require_chain = RequireChain::Always;
    judge_files(&requiring, &files).rejects_credential_for(Check::NoBundle);
}

#[test]
fn a_self_signed_leaf_that_is_its_own_bundle_is_admitted() {
    let leaf = Entity::self_signed(|_| {});
    assert!(judge_files(&spec(), &Files::of(&leaf, &[], &[&leaf])).admits());
}
