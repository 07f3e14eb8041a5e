use std::cell::Cell;
use std::time::SystemTime;

use evercert_fixtures::odd::element;
use evercert_fixtures::{CertificateParams, CustomExtension, Entity, HOUR, KeyIdMethod, common_name, now};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::bundle::Bundle;
use crate::path::{PathValidator, Role};
use crate::test_files::bundle;

thread_local! {
    static VERIFIED: Cell<usize> = const { Cell::new(0) };
}

/// Counts what is verified on this thread.
#[derive(Debug)]
struct Counting(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        VERIFIED.set(VERIFIED.get() + 1);
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

fn counting(bundle: &Bundle) -> PathValidator {
    let mut validator = PathValidator::new(bundle).unwrap();
    let algorithms: Vec<&'static dyn SignatureVerificationAlgorithm> = validator
        .algorithms
        .iter()
        .map(|algorithm| Box::leak(Box::new(Counting(*algorithm))) as &'static dyn SignatureVerificationAlgorithm)
        .collect();
    validator.algorithms = Box::leak(algorithms.into_boxed_slice());
    validator
}

/// The outcome for a peer, and how many signatures were verified for it.
fn spent(validator: &PathValidator, leaf: &Entity, shown: &[CertificateDer<'_>]) -> (Result<(), PathError>, usize) {
    let at: SystemTime = now();
    let cheap = validator.validate_cheap(&leaf.der(), shown, Role::Client, at);
    VERIFIED.set(0);
    if let Some(cheap) = cheap {
        assert_eq!(validator.validate(&leaf.der(), shown, Role::Client, at), cheap);
    }
    VERIFIED.set(0);
    (validator.validate(&leaf.der(), shown, Role::Client, at), VERIFIED.get())
}

fn namesakes(count: usize) -> Vec<Entity> {
    (0..count).map(|_| Entity::root("namesake")).collect()
}

fn of_uris(ca: &mut CertificateParams) {
    // permittedSubtrees with one uniformResourceIdentifier (RFC 5280 §4.2.1.10).
    let permitted = element(0xa0, &element(0x30, &element(0x86, b"example.org")));
    ca.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], element(0x30, &permitted)));
}

#[test]
fn an_honest_chain_takes_a_signature_for_each_of_its_certificates() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let below = sub.sub_ca("below", |_| {});
    let validator = counting(&bundle(&[&root]));
    assert_eq!(spent(&validator, &below.leaf(), &[below.der(), sub.der()]), (Ok(()), 3));
}

/// The outcome for a peer where it is cheap, and how many signatures were verified for it.
fn spent_cheaply(
    validator: &PathValidator,
    leaf: &Entity,
    shown: &[CertificateDer<'_>],
) -> (Option<Result<(), PathError>>, usize) {
    VERIFIED.set(0);
    (validator.validate_cheap(&leaf.der(), shown, Role::Client, now()), VERIFIED.get())
}

#[test]
fn a_cheap_chain_is_judged_as_such_also_beside_the_former_certificate_of_its_anchor() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let below = sub.sub_ca("below", |_| {});
    for anchors in [vec![&root], vec![&root, &Entity::root("root")]] {
        let validator = counting(&bundle(&anchors));
        for (leaf, shown) in [(&root, vec![]), (&sub, vec![sub.der()]), (&below, vec![below.der(), sub.der()])] {
            let (outcome, signatures) = spent_cheaply(&validator, &leaf.leaf(), &shown);
            assert_eq!(outcome, Some(Ok(())), "{} beside {} anchors", shown.len(), anchors.len());
            assert!(signatures <= shown.len() + anchors.len(), "{signatures}");
        }
        assert_eq!(
            spent_cheaply(&validator, &Entity::root("other").leaf(), &[]).0,
            Some(Err(PathError::UnknownIssuer))
        );
    }
}

#[test]
fn of_a_chain_that_may_cost_more_than_a_cheap_one_hardly_anything_is_verified_before_that_is_said() {
    let forger = Entity::root("root");
    for namesakes in [1, 2, 3, 100] {
        let anchors: Vec<_> = (0..namesakes).map(|_| Entity::root("root")).collect();
        let validator = counting(&bundle(&anchors.iter().collect::<Vec<_>>()));
        for count in [0, 1, 2, 3, 16, 100] {
            // Each is its own issuer by its name, and the anchors' namesake.
            let shown: Vec<_> = (0..count).map(|_| Entity::root("root").der()).collect();
            let (outcome, signatures) = spent_cheaply(&validator, &forger.leaf(), &shown);
            assert!(outcome.is_none_or(|outcome| outcome.is_err()));
            let most = if count > 2 || namesakes > 2 { 0 } else { count + namesakes };
            assert!(signatures <= most, "{signatures} for {count} beside {namesakes}");
        }
    }
}

#[test]
fn a_list_whose_signer_is_not_known_yet_is_hashed_for_no_cheap_chain() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let bundle = Bundle::new(vec![root.der()], vec![sub.crl(&[7], now() - HOUR)]);
    let validator = counting(&bundle);
    let (good, revoked) = (sub.leaf_number(8), sub.leaf_number(7));
    assert_eq!(spent_cheaply(&validator, &good, &[sub.der()]).0, None);
    assert_eq!(spent_cheaply(&validator, &revoked, &[sub.der()]).0, None);
    assert_eq!(spent_cheaply(&validator, &root.leaf(), &[]).0, Some(Ok(())));
    assert_eq!(spent(&validator, &good, &[sub.der()]).0, Ok(()));
    assert_eq!(spent_cheaply(&validator, &good, &[sub.der()]).0, Some(Ok(())), "it is known from then on");
    assert_eq!(spent_cheaply(&validator, &revoked, &[sub.der()]).0, None, "all was spent that a cheap chain takes");
    assert_eq!(spent(&validator, &revoked, &[sub.der()]).0, Err(PathError::Revoked));
}

#[test]
fn a_stranger_with_many_issuers_of_one_name_has_no_signature_verified() {
    let validator = counting(&bundle(&[&Entity::root("root")]));
    let stranger = Entity::root("stranger");
    for count in [2, 8, 16, 17, 100] {
        let junk: Vec<_> = (0..count).map(|_| Entity::root("stranger").der()).collect();
        let (outcome, signatures) = spent(&validator, &stranger.leaf(), &junk);
        assert!(outcome.is_err());
        assert_eq!(signatures, 0, "{count}");
    }
}

#[test]
fn whatever_a_stranger_shows_the_signatures_verified_for_it_are_bounded() {
    for (anchors, most) in [(1, 24), (10, 60), (150, 100)] {
        let anchors = namesakes(anchors);
        let validator = counting(&bundle(&anchors.iter().collect::<Vec<_>>()));
        // Each names the anchors as its issuer, and the leaf's issuer as its subject, and none is signed by them.
        let stranger = Entity::root("namesake");
        for constrain in [|_: &mut CertificateParams| {}, of_uris] {
            let forged: Vec<_> = (0..16).map(|_| stranger.sub_ca("sub", constrain)).collect();
            let shown: Vec<_> = forged.iter().map(Entity::der).collect();
            let (outcome, signatures) = spent(&validator, &forged[0].leaf(), &shown);
            assert!(outcome.is_err());
            assert!(signatures <= most, "{signatures} for {} anchors", anchors.len());
        }
    }
}

#[test]
fn a_real_chain_below_which_layers_of_forged_ones_are_hung_is_bounded_too() {
    let root = Entity::root("root");
    let real = root.sub_ca("real", |_| {});
    let validator = counting(&bundle(&[&root]));
    let mut shown = vec![real.der()];
    let forger = Entity::root("real");
    let mut above = vec![forger];
    for layer in ["first", "second", "third"] {
        let below: Vec<_> = (0..5).map(|number| above[number % above.len()].sub_ca(layer, |_| {})).collect();
        shown.extend(below.iter().map(Entity::der));
        above = below;
    }
    let (outcome, signatures) = spent(&validator, &above[0].leaf(), &shown);
    assert_eq!(outcome, Err(PathError::TooComplex));
    assert!(signatures <= 24, "{signatures}");
}

#[test]
fn a_good_chain_is_found_among_anchors_of_one_name_and_cross_signatures() {
    let anchors = namesakes(10);
    let validator = counting(&bundle(&anchors.iter().collect::<Vec<_>>()));
    let sub = anchors[9].sub_ca("sub", |_| {});
    // The same CA, signed by others that are not trusted.
    let crossed = (0..3).map(|number| sub.again(&Entity::root(&format!("other {number}")), KeyIdMethod::Sha256).der());
    let shown: Vec<_> = crossed.chain([sub.der()]).collect();
    let (outcome, signatures) = spent(&validator, &sub.leaf(), &shown);
    assert_eq!(outcome, Ok(()));
    assert!(signatures <= 12, "{signatures}");
}

#[test]
fn a_bundle_that_a_peer_shows_beside_its_chain_is_no_obstacle() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let validator = counting(&bundle(&[&root]));
    let others: Vec<_> = (0..60).map(|number| Entity::root(&format!("other {number}")).der()).collect();
    let shown: Vec<_> = others.into_iter().chain([sub.der(), root.der()]).collect();
    assert_eq!(spent(&validator, &sub.leaf(), &shown), (Ok(()), 2));
}

#[test]
fn a_certificate_that_is_shown_a_hundred_times_counts_once() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let validator = counting(&bundle(&[&root]));
    let shown = vec![sub.der(); 100];
    assert_eq!(spent(&validator, &sub.leaf(), &shown), (Ok(()), 2));
}

#[test]
fn a_leaf_that_is_an_anchor_itself_is_accepted_however_many_others_have_its_name() {
    let anchors = namesakes(120);
    let leaf = Entity::self_signed(|leaf| leaf.distinguished_name = common_name("namesake"));
    let all: Vec<_> = anchors.iter().chain([&leaf]).collect();
    assert_eq!(spent(&counting(&bundle(&all)), &leaf, &[]).0, Ok(()));
}

#[test]
fn lists_are_no_way_round_the_budget() {
    let (root, namesake) = (Entity::root("root"), Entity::root("root"));
    let bundle = Bundle::new(vec![root.der(), namesake.der()], vec![namesake.crl(&[7], now() - HOUR)]);
    let validator = counting(&bundle);
    let forger = Entity::root("root");
    let forged: Vec<_> = (0..16).map(|_| forger.sub_ca("sub", |_| {})).collect();
    let shown: Vec<_> = forged.iter().map(Entity::der).collect();
    let (outcome, signatures) = spent(&validator, &forged[0].leaf(), &shown);
    assert!(outcome.is_err());
    assert!(signatures <= 28, "{signatures}");
}
