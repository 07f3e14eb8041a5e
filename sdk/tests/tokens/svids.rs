//! JWT-SVIDs.

use std::path::PathBuf;

use evercert::auth::Tokens;
use evercert::telemetry::TokenFailure;
use evercert_fixtures::TokenIssuer;
use serde_json::{Value, json};

use crate::service::{AUDIENCE, Service, claims_with};

const ID: &str = "spiffe://example.org/ns/payments/sa/api";

fn bundle(issuer: &TokenIssuer, usage: &str) -> String {
    let mut key = issuer.jwk();
    key["use"] = usage.into();
    let x509 = json!({"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": "", "y": "", "x5c": [""]});
    json!({"keys": [x509, key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300}).to_string()
}

fn tokens(bundle: &PathBuf) -> Tokens {
    Tokens::jwt_svids("example.org".parse().unwrap(), bundle).audience(AUDIENCE)
}

fn svid(change: impl FnOnce(&mut Value)) -> Value {
    claims_with(|claims| {
        claims.as_object_mut().unwrap().remove("iss");
        claims["sub"] = ID.into();
        change(claims);
    })
}

#[test]
fn a_jwt_svid_is_its_subject() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::with(&bundle(&issuer, "jwt-svid"), tokens);
    for typ in [json!("JWT"), json!("JOSE")] {
        let header = json!({"alg": "ES256", "kid": "one", "typ": typ});
        let claims = service.verify(&issuer.sign_with_header(&header, &svid(|_| {}))).unwrap();
        assert_eq!((claims.spiffe_id().unwrap().as_str(), claims.issuer()), (ID, ""));
    }
    let named =
        service.verify(&issuer.sign(&svid(|claims| claims["iss"] = "https://spire.example.org".into()))).unwrap();
    assert_eq!(named.issuer(), "https://spire.example.org");
}

#[test]
fn what_is_no_jwt_svid_of_the_trust_domain_is_refused() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::with(&bundle(&issuer, "jwt-svid"), tokens);
    for (name, claims, failure) in [
        (
            "another trust domain",
            svid(|claims| claims["sub"] = "spiffe://example.com/a".into()),
            TokenFailure::WrongIssuer,
        ),
        (
            "a trust domain that begins alike",
            svid(|claims| claims["sub"] = "spiffe://example.org.example.com/a".into()),
            TokenFailure::WrongIssuer,
        ),
        (
            "the trust domain itself",
            svid(|claims| claims["sub"] = "spiffe://example.org".into()),
            TokenFailure::InvalidClaims,
        ),
        ("no SPIFFE ID", svid(|claims| claims["sub"] = "alice".into()), TokenFailure::InvalidClaims),
        (
            "an ID in upper case",
            svid(|claims| claims["sub"] = "SPIFFE://example.org/a".into()),
            TokenFailure::InvalidClaims,
        ),
        (
            "an ID with dots",
            svid(|claims| claims["sub"] = "spiffe://example.org/a/../b".into()),
            TokenFailure::InvalidClaims,
        ),
        ("another audience", svid(|claims| claims["aud"] = json!(["orders"])), TokenFailure::WrongAudience),
        ("no audience", svid(|claims| claims["aud"] = Value::Null), TokenFailure::InvalidClaims),
        ("no end", svid(|claims| claims["exp"] = Value::Null), TokenFailure::InvalidClaims),
        ("an issuer that is no text", svid(|claims| claims["iss"] = json!(1)), TokenFailure::InvalidClaims),
    ] {
        assert_eq!(service.verify(&issuer.sign(&claims)).err(), Some(failure), "{name}");
    }
    let typ = issuer.sign_with_header(&json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"}), &svid(|_| {}));
    assert_eq!(service.verify(&typ).unwrap_err(), TokenFailure::WrongType);
}

#[test]
fn a_jwt_svid_is_by_no_ed25519() {
    let issuer = TokenIssuer::eddsa("one");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle");
    std::fs::write(&path, bundle(&issuer, "jwt-svid")).unwrap();
    let error = tokens(&path).build().unwrap_err().to_string();
    assert!(error.contains("not supported"), "{error}");
}

#[test]
fn keys_of_a_bundle_that_are_for_another_use_sign_no_jwt_svids() {
    let (issuer, good) = (TokenIssuer::es256("one"), TokenIssuer::es256("two"));
    for usage in ["sig", "x509-svid"] {
        let mut keys: Value = serde_json::from_str(&bundle(&issuer, usage)).unwrap();
        let mut key = good.jwk();
        key["use"] = "jwt-svid".into();
        keys["keys"].as_array_mut().unwrap().push(key);
        let service = Service::with(&keys.to_string(), tokens);
        service.verify(&good.sign(&svid(|_| {}))).unwrap();
        assert_eq!(service.verify(&issuer.sign(&svid(|_| {}))).unwrap_err(), TokenFailure::UnknownKey, "{usage}");
    }
}
