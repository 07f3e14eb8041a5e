//! The path validator, and admission where that is lax, against the cases of C2SP's x509-limbo, read from the file that `EVERCERT_LIMBO`
//! names (`-- --ignored`), and its harness on cases of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write as _;
use std::time::SystemTime;

use evercert_core::bundle::Bundle;
use evercert_core::check;
use evercert_core::finding::{Check, Severity};
use evercert_core::identity::IdentityId;
use evercert_core::material::Material;
use evercert_core::mount;
use evercert_core::path::{PathPolicy, PathValidator, Role, SigningLeaves};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec, Usage};
use evercert_core::trusted::Trusted;
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

/// Where the validator is known to be laxer than a case expects of what internal mTLS has, and the finding by which admission tells it before
/// a handshake depends on it.
const TOLD: &[(Check, &str, &[&str])] = &[
    (
        Check::KeyUnsupported,
        "the handshake's signature is refused with such a key, and so is the credential",
        &["webpki::forbidden-p192-leaf", "webpki::forbidden-dsa-leaf", "webpki::forbidden-weak-rsa-in-leaf"],
    ),
    (
        Check::SerialNumber,
        "a serial number that is not as it should be grants nobody anything",
        &["rfc5280::serial::too-long", "rfc5280::serial::zero"],
    ),
    (
        Check::ExtendedKeyUsage,
        "private CAs issue for any role, and peers take it",
        &["webpki::eku::ee-anyeku", "webpki::eku::ee-without-eku"],
    ),
    (Check::CrlIssuer, "webpki knows no key usage of an anchor", &["crl::issuer-missing-crlsign"]),
    (Check::KeyIdentifier, "key identifiers only help to find a path", &["rfc5280::ski::critical-ski"]),
];

/// Where the validator is known to be laxer than a case expects, and why that is nothing to internal mTLS.
const BEYOND: &[(&str, &[&str])] = &[
    (
        "the number of a CRL orders lists for people; webpki judges what a list says",
        &["crl::crlnumber-missing", "crl::crlnumber-critical"],
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
        "rules of public CAs that private ones do not keep",
        &[
            "webpki::eku::ee-critical-eku",
            "webpki::eku::root-has-eku",
            "webpki::san::public-suffix-multi-label-wildcard-san",
            "webpki::san::public-suffix-private-namespace-wildcard-san",
            "webpki::forbidden-rsa-not-divisible-by-8-in-root",
            "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
        ],
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

/// The place of a case's outcome in the table that is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Agreed,
    /// Too lax by the validator, told by admission.
    Told,
    /// Too lax, of what internal mTLS does not have.
    Beyond,
    TooLax,
    TooStrict,
    /// Too strict without a known reason.
    Unexplained,
}

/// The outcome of a case, and the reason for it where the case is not agreed with.
fn outcome(case: &Value) -> (Outcome, String) {
    match deviation(case) {
        None => (Outcome::Agreed, String::new()),
        Some(Deviation::Lax(id)) => {
            let told = TOLD.iter().find(|(_, _, ids)| ids.contains(&&*id));
            let beyond = BEYOND.iter().find(|(_, ids)| ids.contains(&&*id));
            match (told, beyond) {
                (Some((check, why, _)), _) if admission_tells(case, *check) => {
                    (Outcome::Told, format!("{check}: {why}"))
                }
                (None, Some((why, _))) => (Outcome::Beyond, (*why).to_owned()),
                _ => (Outcome::TooLax, "accepted, and admission does not tell it".to_owned()),
            }
        }
        Some(Deviation::Strict(id, refusal)) => STRICT.iter().find(|(_, ids)| ids.contains(&&*id)).map_or_else(
            || (Outcome::Unexplained, refusal.clone()),
            |(why, _)| (Outcome::TooStrict, (*why).to_owned()),
        ),
    }
}

/// Whether admission warns of the case's files by `check`, or rejects them.
fn admission_tells(case: &Value, check: Check) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let pems = |value: &Value| list(value, |pem| pem.as_str().unwrap().to_owned()).concat();
    let mut chain = case["peer_certificate"].as_str().unwrap().to_owned();
    chain += &pems(&case["untrusted_intermediates"]);
    let mut written = vec![("tls.crt", chain), ("ca.crt", pems(&case["trusted_certs"]))];
    written.extend(case["peer_certificate_key"].as_str().map(|key| ("tls.key", key.to_owned())));
    written.extend(Some(pems(&case["crls"])).filter(|crls| !crls.is_empty()).map(|crls| ("ca.crl", crls)));
    for (name, content) in written {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    let files = FileSet::cert_manager(directory.path());
    let reading = mount::read(&files);
    let mut expectations = Expectations::default();
    expectations.usages = vec![if case["validation_kind"] == "CLIENT" { Usage::ClientAuth } else { Usage::ServerAuth }];
    let id = IdentityId::node("limbo".parse().unwrap());
    let spec = IdentitySpec { id, files, expectations, overlap: IdentitySpec::OVERLAP };
    let now = case["validation_time"].as_str().map_or(SystemTime::now(), instant);
    let assessment = check::assess(&spec, &Material::parse(&spec, reading), &Trusted::default(), now);
    assessment.findings.iter().any(|finding| finding.check == check && finding.severity > Severity::Info)
}

/// As CI reads it: `cargo test -p evercert-core --test limbo -- --ignored --nocapture`.
fn print(outcomes: &[(&str, Outcome, String)]) -> String {
    let of = |wanted: Outcome| outcomes.iter().filter(move |(_, outcome, _)| *outcome == wanted);
    let count = |wanted| of(wanted).count();
    let mut told = String::new();
    for wanted in [Outcome::Told, Outcome::Beyond, Outcome::TooLax, Outcome::TooStrict, Outcome::Unexplained] {
        for (id, outcome, why) in of(wanted) {
            writeln!(told, "{outcome:?} {id}: {why}").unwrap();
        }
    }
    let (lax, strict) = (count(Outcome::TooLax), count(Outcome::TooStrict) + count(Outcome::Unexplained));
    let (agreed, by_admission, beyond) = (count(Outcome::Agreed), count(Outcome::Told), count(Outcome::Beyond));
    let cases = outcomes.len();
    writeln!(
        told,
        "{cases} cases: {agreed} agreed, {by_admission} told by admission, {beyond} beyond internal mTLS, {lax} too lax, {strict} too strict"
    )
    .unwrap();
    told
}

#[test]
#[ignore = "needs the file of limbo's cases, which EVERCERT_LIMBO names"]
fn nothing_of_internal_mtls_is_taken_too_laxly_and_every_other_difference_to_limbo_is_listed() {
    let path = std::env::var_os("EVERCERT_LIMBO").expect("EVERCERT_LIMBO names the file of limbo's cases");
    let limbo: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = limbo["testcases"].as_array().unwrap();
    assert!(cases.len() > 200, "{} cases", cases.len());
    let outcomes: Vec<_> = cases
        .iter()
        .map(|case| {
            let (outcome, why) = outcome(case);
            (case["id"].as_str().unwrap(), outcome, why)
        })
        .collect();
    println!("{}", print(&outcomes));
    let bad = |(_, outcome, _): &&(_, Outcome, _)| matches!(outcome, Outcome::TooLax | Outcome::Unexplained);
    let new: Vec<_> = outcomes.iter().filter(bad).collect();
    assert!(new.is_empty(), "not listed: {new:#?}");
    let listed = TOLD.iter().flat_map(|(_, _, ids)| *ids);
    let listed = listed.chain(BEYOND.iter().chain(STRICT).flat_map(|(_, ids)| *ids));
    let is_agreed = |id: &str| !outcomes.iter().any(|(of, outcome, _)| *of == id && *outcome != Outcome::Agreed);
    let gone: Vec<_> = listed.filter(|id| is_agreed(id)).collect();
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
    let (lax, strict) = (case("localhost", "FAILURE"), case("example.org", "SUCCESS"));
    assert_eq!(deviation(&lax), Some(Deviation::Lax("own".to_owned())));
    assert!(matches!(deviation(&strict), Some(Deviation::Strict(..))));
    assert_eq!([&lax, &strict].map(|case| outcome(case).0), [Outcome::TooLax, Outcome::Unexplained]);
    let mut expired = case("localhost", "FAILURE");
    expired["validation_time"] = json!("5026-01-01T00:00:00+00:00");
    assert_eq!(deviation(&expired), None);
}

/// A root and a leaf for `localhost` under it, in PEM.
fn pki() -> (String, String) {
    let root = Entity::root("root");
    (root.pem(), root.leaf().pem())
}
