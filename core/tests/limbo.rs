//! The path validator against the cases of C2SP's x509-limbo, read from the file that `EVERCERT_LIMBO` names
//! (`-- --ignored`), and its harness on cases of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::SystemTime;

use evercert_core::bundle::Bundle;
use evercert_core::path::{PathPolicy, PathValidator, Role, SigningLeaves};
use evercert_fixtures::Entity;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use serde_json::{Value, json};

/// The outcome of one case, where it is not the expected one.
#[derive(Debug, PartialEq, Eq)]
enum Deviation {
    /// Accepted, though a failure is expected.
    Lax(String),
    /// Refused, though success is expected; and why.
    Strict(String, String),
}

impl Deviation {
    fn id(&self) -> &str {
        match self {
            Self::Lax(id) | Self::Strict(id, _) => id,
        }
    }
}

fn deviation(case: &Value) -> Option<Deviation> {
    let id = case["id"].as_str().unwrap().to_owned();
    let wanted = case["expected_result"] == "SUCCESS";
    match (judge(case), wanted) {
        (Ok(()), true) | (Err(_), false) => None,
        (Ok(()), false) => Some(Deviation::Lax(id)),
        (Err(why), true) => Some(Deviation::Strict(id, why)),
    }
}

/// The path by our validator, the name by webpki, as the SDK's verifiers do it.
fn judge(case: &Value) -> Result<(), String> {
    let leaf = certificate(&case["peer_certificate"]);
    let anchors = list(&case["trusted_certs"], certificate);
    let intermediates = list(&case["untrusted_intermediates"], certificate);
    let crls = list(&case["crls"], |pem| CertificateRevocationListDer::from_pem_slice(bytes(pem)).unwrap());
    let role = if case["validation_kind"] == "CLIENT" { Role::Client } else { Role::Server };
    let now = case["validation_time"].as_str().map_or(SystemTime::now(), instant);
    let mut policy = PathPolicy::default();
    policy.signing_leaves = SigningLeaves::Refuse;
    let validator =
        PathValidator::new(&Bundle::new(anchors, crls)).map_err(|error| error.to_string())?.with_policy(policy);
    validator.validate(&leaf, &intermediates, role, now).map_err(|error| error.to_string())?;
    if let Some(name) = case["expected_peer_name"]["value"].as_str() {
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(|error| error.to_string())?;
        leaf.verify_is_valid_for_subject_name(&name).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn list<T>(values: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    values.as_array().into_iter().flatten().map(of).collect()
}

fn certificate(pem: &Value) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(bytes(pem)).unwrap()
}

fn bytes(pem: &Value) -> &[u8] {
    pem.as_str().unwrap().as_bytes()
}

fn instant(text: &str) -> SystemTime {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap().into()
}

/// Where the validator is known to be laxer than a case expects, and why it stays so.
const LAX: &[(&str, &[&str])] = &[
    (
        "webpki judges what a CRL says, not its form, and knows no key usage of an anchor",
        &["crl::crlnumber-missing", "crl::crlnumber-critical", "crl::issuer-missing-crlsign"],
    ),
    (
        "the length of a path is bounded, but not by the caller",
        &["pathlen::max-chain-depth-0-exhausted", "pathlen::max-chain-depth-1-exhausted"],
    ),
    (
        "key identifiers only help to find a path: a signature proves more",
        &[
            "rfc5280::aki::critical-aki",
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::aki::cross-signed-root-missing-aki",
            "rfc5280::ski::critical-ski",
            "rfc5280::ski::root-missing-ski",
            "rfc5280::ski::intermediate-missing-ski",
            "webpki::aki::root-with-aki-missing-keyidentifier",
            "webpki::aki::root-with-aki-authoritycertissuer",
            "webpki::aki::root-with-aki-authoritycertserialnumber",
            "webpki::aki::root-with-aki-all-fields",
            "webpki::aki::root-with-aki-ski-mismatch",
        ],
    ),
    (
        "duties of an issuer whose neglect grants nobody anything",
        &[
            "rfc5280::nc::permitted-dns-match-noncritical",
            "rfc5280::nc::invalid-dnsname-leading-period",
            "rfc5280::pc::ica-noncritical-pc",
            "rfc5280::san::noncritical-with-empty-subject",
            "rfc5280::san::underscore-dns",
            "rfc5280::serial::too-long",
            "rfc5280::serial::zero",
            "rfc5280::root-non-critical-basic-constraints",
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-null",
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-empty-sequences",
            "webpki::san::san-critical-with-nonempty-subject",
            "webpki::malformed-aia",
        ],
    ),
    (
        "the common name is never looked at, so that what it says does not matter",
        &[
            "webpki::cn::ipv4-hex-mismatch",
            "webpki::cn::ipv4-leading-zeros-mismatch",
            "webpki::cn::ipv6-uppercase-mismatch",
            "webpki::cn::ipv6-uncompressed-mismatch",
            "webpki::cn::ipv6-non-rfc5952-mismatch",
            "webpki::cn::punycode-not-in-san",
            "webpki::cn::utf8-vs-punycode-mismatch",
            "webpki::cn::not-in-san",
            "webpki::cn::case-mismatch",
        ],
    ),
    (
        "rules of public CAs that private ones do not keep; admission warns of an extended key usage that is absent or any",
        &[
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-critical-eku",
            "webpki::eku::ee-without-eku",
            "webpki::eku::root-has-eku",
            "webpki::san::public-suffix-multi-label-wildcard-san",
            "webpki::san::public-suffix-private-namespace-wildcard-san",
            "webpki::forbidden-rsa-not-divisible-by-8-in-root",
            "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
        ],
    ),
    (
        "the handshake's signature is refused with such a key, and admission refuses it as unsupported",
        &["webpki::forbidden-p192-leaf", "webpki::forbidden-dsa-leaf", "webpki::forbidden-weak-rsa-in-leaf"],
    ),
];

/// Where the validator is known to be stricter than a case expects, and why it stays so.
const STRICT: &[(&str, &[&str])] = &[
    ("a leaf that is a CA is refused", &["pathlen::validation-ignores-pathlen-in-leaf", "rfc5280::ca-as-leaf"]),
    (
        "webpki takes a self-issued certificate for one of its anchor's and gives up",
        &["pathlen::self-issued-certs-pathlen", "rfc5280::nc::permitted-self-issued"],
    ),
    (
        "webpki refuses what is constrained by a kind of name that it does not compare",
        &[
            "rfc5280::nc::permitted-dn-match",
            "rfc5280::nc::nc-permits-email-exact",
            "rfc5280::nc::nc-permits-email-domain",
            "rfc5280::nc::nc-permits-email-literal-asterisk-exact-match",
            "rfc5280::nc::nc-permits-email-literal-double-asterisk",
            "rfc5280::nc::nc-permits-email-literal-mid-asterisk",
        ],
    ),
];

fn known(deviation: &Deviation) -> bool {
    let list = match deviation {
        Deviation::Lax(_) => LAX,
        Deviation::Strict(..) => STRICT,
    };
    list.iter().any(|(_, ids)| ids.contains(&deviation.id()))
}

#[test]
#[ignore = "needs the file of limbo's cases, which EVERCERT_LIMBO names"]
fn the_validator_agrees_with_limbo_but_for_what_is_listed() {
    let path = std::env::var_os("EVERCERT_LIMBO").expect("EVERCERT_LIMBO names the file of limbo's cases");
    let limbo: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = limbo["testcases"].as_array().unwrap();
    assert!(cases.len() > 200, "{} cases", cases.len());
    let found: Vec<_> = cases.iter().filter_map(deviation).collect();
    let new: Vec<_> = found.iter().filter(|deviation| !known(deviation)).collect();
    assert!(new.is_empty(), "not listed: {new:#?}");
    let listed = LAX.iter().chain(STRICT).flat_map(|(_, ids)| *ids);
    let gone: Vec<_> = listed.filter(|id| !found.iter().any(|deviation| deviation.id() == **id)).collect();
    assert!(gone.is_empty(), "listed, but agreed upon: {gone:#?}");
}

#[test]
fn a_wrong_verdict_is_a_deviation() {
    let (root, leaf) = pki();
    let case = |name: &str, expected: &str| {
        json!({
            "id": "own",
            "validation_kind": "SERVER",
            "trusted_certs": [root],
            "untrusted_intermediates": [],
            "peer_certificate": leaf,
            "validation_time": "2026-01-01T00:00:00+00:00",
            "expected_peer_name": { "kind": "DNS", "value": name },
            "expected_result": expected,
            "crls": [],
        })
    };
    assert_eq!(deviation(&case("localhost", "SUCCESS")), None);
    assert_eq!(deviation(&case("example.org", "FAILURE")), None);
    let lax = Deviation::Lax("own".to_owned());
    assert!(!known(&lax));
    assert_eq!(deviation(&case("localhost", "FAILURE")), Some(lax));
    assert!(matches!(deviation(&case("example.org", "SUCCESS")), Some(Deviation::Strict(..))));
    let mut expired = case("localhost", "FAILURE");
    expired["validation_time"] = json!("5026-01-01T00:00:00+00:00");
    assert_eq!(deviation(&expired), None);
}

/// A root and a leaf for `localhost` under it, in PEM.
fn pki() -> (String, String) {
    let root = Entity::root("root");
    (root.pem(), root.leaf().pem())
}
