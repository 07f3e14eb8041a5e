//! Keys in files, and the settings beside them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use evercert::auth::{Algorithm, Tokens};
use evercert::telemetry::TokenFailure;
use evercert_fixtures::{KeyPair, RsaAlgorithm, TokenIssuer, wait};
use serde_json::{Value, json};

use crate::service::{AUDIENCE, ISSUER, LIFETIME, SUBJECT, Service, at, claims, claims_with, now};

fn tokens(path: &PathBuf) -> Tokens {
    Tokens::jwks_file(path).issuer(ISSUER).audience(AUDIENCE)
}

fn problem(content: impl AsRef<[u8]>, tokens: impl FnOnce(&PathBuf) -> Tokens) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    fs::write(&path, content).unwrap();
    let error = tokens(&path).build().expect_err("these keys cannot be used").to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_token_says_what_it_says() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::of(&[&issuer]);
    let token = issuer.sign(&claims_with(|claims| claims["realm_access"] = json!({"roles": ["reader"]})));
    let claims = service.verify(&token).unwrap();
    assert_eq!((claims.issuer(), claims.subject()), (ISSUER, SUBJECT));
    assert_eq!(claims.texts_at("realm_access.roles").collect::<Vec<_>>(), ["reader"]);
    assert_eq!(claims.expires(), now() + LIFETIME + Tokens::LEEWAY);
    assert_eq!(claims.spiffe_id(), None);
}

#[test]
fn a_token_may_be_for_several_and_of_each_usual_type() {
    let issuer = TokenIssuer::eddsa("one");
    let service = Service::of(&[&issuer]);
    let several = claims_with(|claims| claims["aud"] = json!(["orders", AUDIENCE]));
    service.verify(&issuer.sign(&several)).unwrap();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "Application/JWT"] {
        let header = json!({"alg": "EdDSA", "kid": "one", "typ": typ});
        service.verify(&issuer.sign_with_header(&header, &claims())).unwrap();
    }
    service.verify(&issuer.sign_with_header(&json!({"alg": "EdDSA", "kid": "one"}), &claims())).unwrap();
}

#[test]
fn a_type_that_is_asked_for_has_to_be_there() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::with(&issuer.jwks(), |path| tokens(path).types(["at+jwt"]));
    let typ = |typ: &str| issuer.sign_with_header(&json!({"alg": "ES256", "kid": "one", "typ": typ}), &claims());
    service.verify(&typ("at+jwt")).unwrap();
    assert_eq!(service.verify(&typ("JWT")).unwrap_err(), TokenFailure::WrongType);
    let without = issuer.sign_with_header(&json!({"alg": "ES256", "kid": "one"}), &claims());
    assert_eq!(service.verify(&without).unwrap_err(), TokenFailure::WrongType);
}

#[test]
fn a_token_is_taken_from_its_beginning_to_its_end_and_a_leeway_beyond() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::of(&[&issuer]);
    let token = issuer.sign(&claims_with(|claims| claims["nbf"] = json!(at(60))));
    let second = Duration::from_secs(1);
    let (begin, end) = (now() + Duration::from_secs(50), now() + LIFETIME + Tokens::LEEWAY);
    assert_eq!(service.verify_at(&token, begin - second).unwrap_err(), TokenFailure::NotYetValid);
    service.verify_at(&token, begin).unwrap();
    service.verify_at(&token, end - second).unwrap();
    assert!(service.verifier.cached(&token, None, end - second).is_some());
    assert!(service.verifier.cached(&token, None, end).is_none());
    assert_eq!(service.verify_at(&token, end).unwrap_err(), TokenFailure::Expired);
    let strict = Service::with(&issuer.jwks(), |path| tokens(path).leeway(Duration::ZERO));
    assert_eq!(strict.verify_at(&token, now() + LIFETIME).unwrap_err(), TokenFailure::Expired);
}

#[test]
fn a_token_that_was_verified_is_known_again_and_one_that_was_refused_is_not() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::of(&[&issuer]);
    let (good, bad) = (issuer.sign(&claims()), issuer.sign(&claims_with(|claims| claims["aud"] = "orders".into())));
    assert!(service.verifier.cached(&good, None, now()).is_none());
    service.verify(&good).unwrap();
    service.verify(&bad).unwrap_err();
    assert_eq!(service.verifier.clone().cached(&good, None, now()).unwrap().subject(), SUBJECT);
    assert!(service.verifier.cached(&bad, None, now()).is_none());
}

#[test]
fn a_token_without_a_key_name_is_by_the_only_key_for_its_algorithm() {
    let (ec, rsa, other) = (TokenIssuer::es256("ec"), TokenIssuer::rs256("rsa"), TokenIssuer::es256("other"));
    let nameless = |issuer: &TokenIssuer| issuer.sign_with_header(&json!({"alg": issuer.algorithm()}), &claims());
    let service = Service::of(&[&ec, &rsa]);
    service.verify(&nameless(&ec)).unwrap();
    service.verify(&nameless(&rsa)).unwrap();
    let service = Service::of(&[&ec, &rsa, &other]);
    assert_eq!(service.verify(&nameless(&ec)).unwrap_err(), TokenFailure::UnknownKey);
    service.verify(&nameless(&rsa)).unwrap();
}

#[test]
fn keys_without_an_algorithm_are_for_that_of_their_curve_or_rs256() {
    for issuer in [TokenIssuer::es256("k"), TokenIssuer::es384("k"), TokenIssuer::eddsa("k"), TokenIssuer::rs256("k")] {
        let mut jwk = issuer.jwk();
        jwk.as_object_mut().unwrap().retain(|name, _| name != "alg" && name != "use");
        let service = Service::of_jwks(&json!({"keys": [jwk]}).to_string());
        service.verify(&issuer.sign(&claims())).unwrap();
    }
}

#[test]
fn an_rsa_key_signs_by_the_one_algorithm_that_it_names() {
    let issuers = RsaAlgorithm::ALL.map(|algorithm| TokenIssuer::rsa("k", algorithm));
    for issuer in &issuers {
        let service = Service::of(&[issuer]);
        service.verify(&issuer.sign(&claims())).unwrap();
        for other in issuers.iter().filter(|other| other.algorithm() != issuer.algorithm()) {
            let named = issuer.sign_with_header(&other.header(), &claims());
            assert_eq!(service.verify(&named).unwrap_err(), TokenFailure::WrongAlgorithm);
            let signed = other.sign_with_header(&issuer.header(), &claims());
            assert_eq!(service.verify(&signed).unwrap_err(), TokenFailure::BadSignature);
        }
    }
}

#[test]
fn a_key_that_is_gone_takes_its_tokens_with_it() {
    let (old, new) = (TokenIssuer::es256("old"), TokenIssuer::es256("new"));
    let service = Service::of(&[&old]);
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    service.verify(&by_old).unwrap();
    assert_eq!(service.verify(&by_new).unwrap_err(), TokenFailure::UnknownKey);
    fs::write(&service.path, TokenIssuer::jwks_of([&old, &new])).unwrap();
    wait::blocking(|| service.verify(&by_new).ok(), || "the new key is known".to_owned());
    service.verify(&by_old).unwrap();
    fs::write(&service.path, new.jwks()).unwrap();
    let is_gone = || service.verifier.cached(&by_old, None, now()).is_none().then_some(());
    wait::blocking(is_gone, || "the old key is gone".to_owned());
    assert_eq!(service.verify(&by_old).unwrap_err(), TokenFailure::UnknownKey);
    service.verify(&by_new).unwrap();
}

#[test]
fn a_key_that_takes_anothers_name_takes_none_of_its_tokens() {
    let (old, new) = (TokenIssuer::es256("one"), TokenIssuer::es256("one"));
    let service = Service::of(&[&old]);
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    service.verify(&by_old).unwrap();
    fs::write(&service.path, new.jwks()).unwrap();
    wait::blocking(|| service.verify(&by_new).ok(), || "the new key is known".to_owned());
    assert!(service.verifier.cached(&by_old, None, now()).is_none());
    assert_eq!(service.verify(&by_old).unwrap_err(), TokenFailure::BadSignature);
}

#[test]
fn keys_that_cannot_be_used_say_which_file_and_why() {
    let (one, two) = (TokenIssuer::es256("one"), TokenIssuer::es256("two"));
    // A key on each line, from the fourth on.
    let set = |keys: &[Value]| {
        let keys: Vec<_> = keys.iter().map(Value::to_string).collect();
        format!("{{\n \"a\": [\"\\n{{}}\"], \"keys\":\n [\n{}]}}", keys.join(",\n"))
    };
    let symmetric = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    let missing = tokens(&PathBuf::from("/nowhere/jwks.json")).build().unwrap_err().to_string();
    assert!(missing.contains("/nowhere/jwks.json: cannot be read"), "{missing}");
    for (content, word) in [
        (String::new(), "line 1, column 0: this is no JSON"),
        ("{\n\"keys\": x}".to_owned(), "line 2, column 9: this is no JSON"),
        (json!({"keys": {}}).to_string(), "no array `keys`"),
        (one.jwk().to_string(), "no array `keys`"),
        (json!([one.jwk()]).to_string(), "this is no JSON object"),
        (format!("{{\"keys\":[],{}", &one.jwks()[1..]), "name twice"),
        (json!({"keys": []}).to_string(), "it has no key for signatures"),
        (json!({"keys": vec![one.jwk(); 257]}).to_string(), "257 keys"),
        (
            set(&[one.jwk(), two.jwk(), TokenIssuer::rs256("one").jwk()]),
            "line 6, key 2 counted from 0, of the kid one: a key before",
        ),
        (
            set(std::slice::from_ref(&symmetric)),
            "the last one is on line 4, key 0 counted from 0, of the kid s: it is a private or a symmetric",
        ),
        (set(&[json!({"kty": "AKP"}), json!(1)]), "the last one is on line 5, key 1 counted from 0: a member of it"),
        (" ".repeat(1024 * 1024 + 1), "more than 1048576 bytes"),
    ] {
        let error = problem(&content, tokens);
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn keys_that_are_not_for_verifying_are_left_out() {
    let good = TokenIssuer::es256("good");
    let with = |issuer: &TokenIssuer, change: &dyn Fn(&mut Value)| {
        let mut jwk = issuer.jwk();
        change(&mut jwk);
        jwk
    };
    let set = |name: &'static str, value: Value| move |jwk: &mut Value| jwk[name] = value.clone();
    let (ec, rsa, ed) = (TokenIssuer::es256("ec"), TokenIssuer::rs256("rsa"), TokenIssuer::eddsa("ed"));
    let bytes = |count: usize| Value::from(Base64UrlUnpadded::encode_string(&vec![0xc1; count]));
    let number = |bytes: &[u8]| Value::from(Base64UrlUnpadded::encode_string(bytes));
    let unusable = [
        ("symmetric", json!({"kty": "oct", "kid": "x", "alg": "HS256", "k": "c2VjcmV0"}), "private or a symmetric"),
        ("private", with(&ec, &set("d", bytes(32))), "private or a symmetric"),
        ("for encryption", with(&ec, &set("use", "enc".into())), "no key for signatures"),
        ("for JWT-SVIDs", with(&ec, &set("use", "jwt-svid".into())), "no key for signatures"),
        ("for signing", with(&ec, &set("key_ops", json!(["sign"]))), "no key for signatures"),
        ("of an unknown kind", with(&ec, &set("kty", "AKP".into())), "not supported"),
        ("on a curve that is not supported", with(&ec, &set("crv", "secp256k1".into())), "not supported"),
        ("on P-521", with(&ec, &set("crv", "P-521".into())), "not supported"),
        ("of an unknown algorithm", with(&ec, &set("alg", "ES256K".into())), "not supported"),
        ("EC with an RSA algorithm", with(&ec, &set("alg", "RS256".into())), "not supported"),
        ("RSA with an EC algorithm", with(&rsa, &set("alg", "ES256".into())), "not supported"),
        ("symmetric by its algorithm", with(&rsa, &set("alg", "HS256".into())), "not supported"),
        ("Ed25519 with another algorithm", with(&ed, &set("alg", "ES256".into())), "not supported"),
        ("X25519", with(&ed, &set("crv", "X25519".into())), "not supported"),
        ("half a point", with(&ec, &set("y", Value::Null)), "missing or malformed"),
        ("a coordinate that is too short", with(&ec, &set("x", bytes(31))), "missing or malformed"),
        (
            "a coordinate with padding",
            with(&ec, &set("x", format!("{}=", ec.jwk()["x"].as_str().unwrap()).into())),
            "missing or malformed",
        ),
        ("a number as its name", with(&ec, &set("kid", json!(1))), "missing or malformed"),
        ("RSA of 1024 bits", with(&rsa, &set("n", bytes(128))), "2048"),
        ("RSA of 2047 bits", with(&rsa, &set("n", number(&[vec![0x7f], vec![0xff; 255]].concat()))), "2048"),
        ("RSA of zeros", with(&rsa, &set("n", number(&[0; 256]))), "2048"),
        ("RSA of 8200 bits", with(&rsa, &set("n", bytes(1025))), "8192"),
        ("RSA with the exponent 1", with(&rsa, &set("e", number(&[1]))), "exponent"),
        ("RSA with the exponent 3", with(&rsa, &set("e", number(&[3]))), "exponent"),
        ("RSA with an even exponent", with(&rsa, &set("e", number(&[1, 0, 2]))), "exponent"),
        ("RSA with a huge exponent", with(&rsa, &set("e", bytes(5))), "exponent"),
        ("a text", json!("key"), "missing or malformed"),
    ];
    for (name, jwk, word) in unusable {
        let alone = problem(json!({"keys": [jwk]}).to_string(), tokens);
        assert!(alone.contains(word), "{name}: {alone}");
        let service = Service::of_jwks(&json!({"keys": [jwk, good.jwk()]}).to_string());
        service.verify(&good.sign(&claims())).unwrap();
        for issuer in [&ec, &rsa, &ed] {
            assert_eq!(service.verify(&issuer.sign(&claims())).unwrap_err(), TokenFailure::UnknownKey, "{name}");
        }
    }
}

#[test]
fn a_point_off_the_curve_verifies_nothing() {
    let issuer = TokenIssuer::es256("one");
    let mut jwk = issuer.jwk();
    jwk["x"] = Base64UrlUnpadded::encode_string(&[7; 32]).into();
    let service = Service::of_jwks(&json!({"keys": [jwk]}).to_string());
    assert_eq!(service.verify(&issuer.sign(&claims())).unwrap_err(), TokenFailure::BadSignature);
}

#[test]
fn the_one_key_of_a_pem_file_has_no_name_and_one_algorithm() {
    for (issuer, algorithm) in [
        (TokenIssuer::es256("any"), Algorithm::Es256),
        (TokenIssuer::es384("any"), Algorithm::Es384),
        (TokenIssuer::rs256("any"), Algorithm::Rs256),
        (TokenIssuer::eddsa("any"), Algorithm::EdDsa),
    ] {
        let pem = |path: &PathBuf| Tokens::pem_file(path, algorithm).issuer(ISSUER).audience(AUDIENCE);
        let service = Service::with(&issuer.public_key_pem(), pem);
        service.verify(&issuer.sign(&claims())).unwrap();
        service.verify(&issuer.sign_with_header(&json!({"alg": issuer.algorithm()}), &claims())).unwrap();
        let stranger = TokenIssuer::es256("any").sign(&claims());
        service.verify(&stranger).unwrap_err();
        let none =
            format!("{}.", issuer.sign_with_header(&json!({"alg": "none"}), &claims()).rsplit_once('.').unwrap().0);
        assert_eq!(service.verify(&none).unwrap_err(), TokenFailure::WrongAlgorithm);
    }
}

#[test]
fn a_pem_file_that_is_not_one_public_key_for_its_algorithm_is_an_error() {
    let (ec, rsa) = (TokenIssuer::es256("a").public_key_pem(), TokenIssuer::rs256("b").public_key_pem());
    let private = KeyPair::generate().unwrap().serialize_pem();
    let of = |algorithm: Algorithm| {
        move |path: &PathBuf| Tokens::pem_file(path, algorithm).issuer(ISSUER).audience(AUDIENCE)
    };
    for (content, algorithm, word) in [
        (String::new(), Algorithm::Es256, "PUBLIC KEY"),
        ("no PEM".to_owned(), Algorithm::Es256, "PUBLIC KEY"),
        (format!("{ec}{ec}"), Algorithm::Es256, "PUBLIC KEY"),
        (ec.replace("PUBLIC KEY", "CERTIFICATE"), Algorithm::Es256, "PUBLIC KEY"),
        (ec.clone(), Algorithm::Rs256, "PUBLIC KEY"),
        (rsa, Algorithm::EdDsa, "PUBLIC KEY"),
        (ec.clone(), Algorithm::Es384, "malformed"),
        (private.clone(), Algorithm::Es256, "private"),
        (format!("{ec}{private}"), Algorithm::Es256, "private"),
    ] {
        let error = problem(&content, of(algorithm));
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn settings_that_would_take_whatever_token_are_errors() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::of(&[&issuer]);
    let file = || Tokens::jwks_file(&service.path);
    for (tokens, word) in [
        (file().audience(AUDIENCE), "no issuer"),
        (file().issuer(ISSUER), "no audience"),
        (file().issuer("").audience(AUDIENCE), "empty"),
        (file().issuer(ISSUER).audience(""), "empty"),
        (file().issuer(ISSUER).audience(AUDIENCE).audience(""), "empty"),
        (file().issuer(ISSUER).audience(AUDIENCE).types(Vec::<String>::new()), "no type"),
        (file().issuer(ISSUER).audience(AUDIENCE).leeway(Duration::from_secs(31)), "31 s"),
    ] {
        let error = tokens.build().unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    file().issuer(ISSUER).audience(AUDIENCE).leeway(Tokens::LEEWAY_LIMIT).build().unwrap();
}

#[test]
fn what_is_bound_is_asked_for_where_it_is_required() {
    let issuer = TokenIssuer::es256("one");
    let service = Service::with(&issuer.jwks(), |path| tokens(path).require_bound());
    assert_eq!(service.verify(&issuer.sign(&claims())).unwrap_err(), TokenFailure::Unbound);
}
