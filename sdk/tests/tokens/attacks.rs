//! What is tried against readers of tokens: each is refused, and for its reason.

use std::collections::BTreeSet;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use evercert::telemetry::TokenFailure::{self, *};
use evercert_fixtures::TokenIssuer;
use serde_json::{Value, json};

use crate::service::{AUDIENCE, ISSUER, Service, at, claims, claims_with};

type Attack = (&'static str, String, TokenFailure);

/// An issuer for each algorithm, known to a service.
struct Scene {
    es256: TokenIssuer,
    es384: TokenIssuer,
    rs256: TokenIssuer,
    eddsa: TokenIssuer,
    service: Service,
}

impl Scene {
    fn new() -> Self {
        let (es256, es384) = (TokenIssuer::es256("ec"), TokenIssuer::es384("ec-384"));
        let (rs256, eddsa) = (TokenIssuer::rs256("rsa"), TokenIssuer::eddsa("ed"));
        let service = Service::of(&[&es256, &es384, &rs256, &eddsa]);
        Self { es256, es384, rs256, eddsa, service }
    }

    fn issuers(&self) -> [&TokenIssuer; 4] {
        [&self.es256, &self.es384, &self.rs256, &self.eddsa]
    }

    /// A token with a change of its header.
    fn header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.es256.header();
        change(&mut header);
        self.es256.sign_with_header(&header, &claims())
    }

    /// A token with a change of its claims.
    fn claims(&self, change: impl FnOnce(&mut Value)) -> String {
        self.es256.sign(&claims_with(change))
    }

    /// A token with this claim.
    fn claim(&self, name: &str, value: Value) -> String {
        self.claims(|claims| claims[name] = value)
    }

    /// A token without this claim.
    fn without(&self, name: &str) -> String {
        self.claims(|claims| _ = claims.as_object_mut().unwrap().remove(name))
    }

    fn refuses(&self, attacks: &[Attack]) {
        for issuer in self.issuers() {
            let control = self.service.verify(&issuer.sign(&claims()));
            assert!(control.is_ok(), "{}: {control:?}", issuer.algorithm());
        }
        for (name, token, failure) in attacks {
            let verdict = self.service.verify(token);
            assert_eq!(verdict.as_ref().err(), Some(failure), "{name}: {verdict:?}");
            assert_eq!(self.service.verifier.cached(token, None, crate::service::now()).map(drop), None, "{name}");
        }
    }
}

fn part(text: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(text.as_ref())
}

/// A token with this signature.
fn signed(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", part(header.to_string()), part(claims.to_string()), part(signature))
}

/// The three parts.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    sign(&Key::new(HMAC_SHA256, key), message.as_bytes()).as_ref().to_vec()
}

fn algorithms(scene: &Scene) -> Vec<Attack> {
    let none = |name: &str| signed(&json!({"alg": name, "typ": "JWT"}), &claims(), b"");
    let signed_none = scene.header(|header| header["alg"] = "none".into());
    let symmetric = |key: &[u8], kid: &str| {
        let message =
            format!("{}.{}", part(json!({"alg": "HS256", "kid": kid}).to_string()), part(claims().to_string()));
        let signature = hmac(key, &message);
        format!("{message}.{}", part(signature))
    };
    let rsa_pem = scene.rs256.public_key_pem();
    let rsa_jwk = scene.rs256.jwk();
    let point = Base64UrlUnpadded::decode_vec(scene.es256.jwk()["x"].as_str().unwrap()).unwrap();
    let of = |issuer: &TokenIssuer, alg: &str, kid: &str| {
        issuer.sign_with_header(&json!({"alg": alg, "kid": kid}), &claims())
    };
    let mut attacks = vec![
        ("alg none", none("none"), WrongAlgorithm),
        ("alg None", none("None"), WrongAlgorithm),
        ("alg NONE", none("NONE"), WrongAlgorithm),
        ("alg nOnE", none("nOnE"), WrongAlgorithm),
        ("alg none with a space", none("none "), WrongAlgorithm),
        ("alg none with a NUL", none("none\0"), WrongAlgorithm),
        ("alg empty", none(""), WrongAlgorithm),
        ("alg none over a good signature", signed_none, WrongAlgorithm),
        ("alg missing", scene.header(|header| _ = header.as_object_mut().unwrap().remove("alg")), Malformed),
        ("alg null", scene.header(|header| header["alg"] = Value::Null), Malformed),
        ("alg a list", scene.header(|header| header["alg"] = json!(["ES256", "none"])), Malformed),
        ("alg a number", scene.header(|header| header["alg"] = json!(7)), Malformed),
        ("alg in lower case", scene.header(|header| header["alg"] = "es256".into()), WrongAlgorithm),
        ("HS256 by the RSA key's PEM", symmetric(rsa_pem.as_bytes(), "rsa"), WrongAlgorithm),
        (
            "HS256 by the RSA key's PEM without its last line feed",
            symmetric(rsa_pem.trim_end().as_bytes(), "rsa"),
            WrongAlgorithm,
        ),
        ("HS256 by the RSA key's JWK", symmetric(rsa_jwk.to_string().as_bytes(), "rsa"), WrongAlgorithm),
        ("HS256 by the RSA modulus", symmetric(rsa_jwk["n"].as_str().unwrap().as_bytes(), "rsa"), WrongAlgorithm),
        ("HS256 by the coordinate of the EC key", symmetric(&point, "ec"), WrongAlgorithm),
        ("HS256 by an empty key", symmetric(b"", "ec"), WrongAlgorithm),
        ("HS384", scene.header(|header| header["alg"] = "HS384".into()), WrongAlgorithm),
        ("HS512", scene.header(|header| header["alg"] = "HS512".into()), WrongAlgorithm),
        ("ES256K", scene.header(|header| header["alg"] = "ES256K".into()), WrongAlgorithm),
        ("an RSA key as PS256", of(&scene.rs256, "PS256", "rsa"), WrongAlgorithm),
        ("an RSA key as RS512", of(&scene.rs256, "RS512", "rsa"), WrongAlgorithm),
        ("an EC key as RS256", of(&scene.es256, "RS256", "ec"), WrongAlgorithm),
        ("the other curve's algorithm", of(&scene.es256, "ES384", "ec"), WrongAlgorithm),
        ("the other curve's key", of(&scene.es256, "ES384", "ec-384"), BadSignature),
        ("an Ed25519 key as ES256", of(&scene.eddsa, "ES256", "ed"), WrongAlgorithm),
        ("the RSA key named by an EC token", of(&scene.es256, "ES256", "rsa"), WrongAlgorithm),
        ("RSA-OAEP", scene.header(|header| header["alg"] = "RSA-OAEP".into()), WrongAlgorithm),
        ("dir", scene.header(|header| header["alg"] = "dir".into()), WrongAlgorithm),
    ];
    let unlike = [("ec", &scene.rs256), ("rsa", &scene.eddsa), ("ed", &scene.es256)];
    attacks.extend(unlike.map(|(kid, issuer)| {
        ("a key's name over another's token", of(issuer, issuer.algorithm(), kid), WrongAlgorithm)
    }));
    attacks
}

fn keys(scene: &Scene) -> Vec<Attack> {
    let stranger = TokenIssuer::es256("ec");
    let kid = |kid: Value| scene.header(|header| header["kid"] = kid);
    let own_key = |name: &str, value: Value| {
        let mut header = stranger.header();
        header[name] = value;
        stranger.sign_with_header(&header, &claims())
    };
    let with = |name: &str, value: Value| scene.header(|header| header[name] = value);
    vec![
        ("a stranger's key of the same name", stranger.sign(&claims()), BadSignature),
        ("kid of a path", kid("../../../../dev/null".into()), UnknownKey),
        ("kid of an absolute path", kid("/etc/passwd".into()), UnknownKey),
        ("kid of SQL", kid("ec' OR '1'='1".into()), UnknownKey),
        ("kid of SQL that makes a key", kid("x' UNION SELECT 'key".into()), UnknownKey),
        ("kid of a command", kid("ec|/bin/true".into()), UnknownKey),
        ("kid of a URL", kid("https://attacker.example.org/key".into()), UnknownKey),
        ("kid with a NUL behind it", kid("ec\0".into()), UnknownKey),
        ("kid with a line feed behind it", kid("ec\n".into()), UnknownKey),
        ("kid in upper case", kid("EC".into()), UnknownKey),
        ("kid with a homoglyph", kid("\u{435}c".into()), UnknownKey),
        ("kid empty", kid("".into()), Malformed),
        ("kid very long", kid("k".repeat(10_000).into()), Malformed),
        ("kid a number", kid(json!(1)), Malformed),
        ("kid null", kid(Value::Null), Malformed),
        ("kid a list", kid(json!(["ec"])), Malformed),
        ("kid an object", kid(json!({"$ne": ""})), Malformed),
        ("jwk with the signer's key", own_key("jwk", stranger.jwk()), Malformed),
        ("jku to the signer's keys", own_key("jku", "https://attacker.example.org/jwks.json".into()), Malformed),
        ("x5u to the signer's certificate", own_key("x5u", "https://attacker.example.org/c.pem".into()), Malformed),
        (
            "x5c with the signer's certificate",
            own_key("x5c", json!([Base64::encode_string(b"certificate")])),
            Malformed,
        ),
        ("jku beside a good signature", with("jku", format!("{ISSUER}/jwks.json").into()), Malformed),
        ("jwk beside a good signature", with("jwk", scene.es256.jwk()), Malformed),
    ]
}

fn headers(scene: &Scene) -> Vec<Attack> {
    let with = |name: &str, value: Value| scene.header(|header| header[name] = value);
    let text = |header: &str| scene.es256.sign_text(header, &claims().to_string());
    vec![
        ("crit", with("crit", json!(["exp"])), Malformed),
        ("crit of nothing", with("crit", json!([])), Malformed),
        ("crit of what is not known", with("crit", json!(["http://example.org/x"])), Malformed),
        ("b64 false", with("b64", json!(false)), Malformed),
        (
            "b64 false and critical",
            scene.header(|header| (header["b64"], header["crit"]) = (json!(false), json!(["b64"]))),
            Malformed,
        ),
        ("zip", with("zip", "DEF".into()), Malformed),
        ("enc", with("enc", "A256GCM".into()), Malformed),
        (
            "a token within a token",
            scene.es256.sign_text(
                &json!({"alg": "ES256", "kid": "ec", "cty": "JWT"}).to_string(),
                &scene.es256.sign(&claims()),
            ),
            Malformed,
        ),
        (
            "a token as claims",
            scene.es256.sign_text(&scene.es256.header().to_string(), &scene.es256.sign(&claims())),
            Malformed,
        ),
        ("typ of a logout token", with("typ", "logout+jwt".into()), WrongType),
        ("typ of a DPoP proof", with("typ", "dpop+jwt".into()), WrongType),
        ("typ of a security event", with("typ", "secevent+jwt".into()), WrongType),
        ("typ with a space", with("typ", "JWT ".into()), WrongType),
        ("typ empty", with("typ", "".into()), WrongType),
        ("typ of another media type", with("typ", "text/JWT".into()), WrongType),
        ("typ a number", with("typ", json!(1)), Malformed),
        ("alg twice, good first", text(r#"{"alg":"ES256","kid":"ec","alg":"none"}"#), Malformed),
        ("alg twice, good last", text(r#"{"alg":"none","kid":"ec","alg":"ES256"}"#), Malformed),
        ("alg twice, once escaped", text(r#"{"alg":"ES256","kid":"ec","\u0061lg":"ES256"}"#), Malformed),
        ("kid twice", text(r#"{"alg":"ES256","kid":"other","kid":"ec"}"#), Malformed),
        ("a header that is an array", text(r#"[{"alg":"ES256","kid":"ec"}]"#), Malformed),
        ("a header that is a text", text(r#""ES256""#), Malformed),
        ("a header that is cut off", text(r#"{"alg":"ES256","kid":"ec""#), Malformed),
        ("something behind the header", text(r#"{"alg":"ES256","kid":"ec"}{}"#), Malformed),
        ("a mark before the header", text("\u{feff}{\"alg\":\"ES256\",\"kid\":\"ec\"}"), Malformed),
        ("a comment in the header", text(r#"{"alg":"ES256",/**/"kid":"ec"}"#), Malformed),
        ("an empty header", text(""), Malformed),
        (
            "a header that is nested deep",
            text(&format!(r#"{{"alg":"ES256","kid":"ec","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000))),
            Malformed,
        ),
    ]
}

fn times(scene: &Scene) -> Vec<Attack> {
    let number = |name: &str, number: &str| {
        let marked = claims_with(|claims| claims[name] = "MARK".into()).to_string();
        scene.es256.sign_text(&scene.es256.header().to_string(), &marked.replace("\"MARK\"", number))
    };
    vec![
        ("exp missing", scene.without("exp"), InvalidClaims),
        ("exp over", scene.claim("exp", json!(at(-11))), Expired),
        ("exp as text", scene.claim("exp", json!(at(300).to_string())), InvalidClaims),
        ("exp with a fraction", number("exp", &format!("{}.5", at(300))), InvalidClaims),
        ("exp with an exponent", number("exp", "1e12"), InvalidClaims),
        ("exp negative", scene.claim("exp", json!(-at(300))), InvalidClaims),
        ("exp of zero", scene.claim("exp", json!(0)), InvalidClaims),
        ("exp of the greatest number", scene.claim("exp", json!(u64::MAX)), InvalidClaims),
        ("exp greater than any number", number("exp", &"9".repeat(400)), Malformed),
        ("exp after the year 9999", scene.claim("exp", json!(253_402_300_800_u64)), InvalidClaims),
        ("exp in milliseconds", scene.claim("exp", json!(at(300) * 1000)), InvalidClaims),
        ("exp true", scene.claim("exp", json!(true)), InvalidClaims),
        ("exp null", scene.claim("exp", Value::Null), InvalidClaims),
        ("exp a list", scene.claim("exp", json!([at(300)])), InvalidClaims),
        ("exp an object", scene.claim("exp", json!({"": at(300)})), InvalidClaims),
        ("exp infinite", number("exp", "Infinity"), Malformed),
        ("exp in hexadecimal", number("exp", "0xFFFFFFFF"), Malformed),
        ("exp twice, good last", number("exp", &format!("1,\"exp\":{}", at(300))), Malformed),
        ("exp twice, good first", number("exp", &format!("{},\"exp\":1", at(300))), Malformed),
        ("nbf in the future", scene.claim("nbf", json!(at(11))), NotYetValid),
        ("nbf as text", scene.claim("nbf", json!(at(0).to_string())), InvalidClaims),
        ("nbf null", scene.claim("nbf", Value::Null), InvalidClaims),
        ("iat in the future", scene.claim("iat", json!(at(11))), NotYetValid),
        ("iat as text", scene.claim("iat", json!(at(0).to_string())), InvalidClaims),
        ("iat negative", scene.claim("iat", json!(-1)), InvalidClaims),
    ]
}

fn names(scene: &Scene) -> Vec<Attack> {
    let aud = |value: Value| scene.claim("aud", value);
    let iss = |value: Value| scene.claim("iss", value);
    let text = |claims: &str| scene.es256.sign_text(&scene.es256.header().to_string(), claims);
    let twice = |name: &str, first: &str| {
        let claims = claims().to_string();
        text(&format!("{{\"{name}\":{first},{}", &claims[1..]))
    };
    let mut attacks = vec![
        ("aud missing", scene.without("aud"), InvalidClaims),
        ("aud of another service", aud("orders".into()), WrongAudience),
        ("aud that begins like ours", aud("payments2".into()), WrongAudience),
        ("aud that ours begins like", aud("payment".into()), WrongAudience),
        ("aud in upper case", aud("PAYMENTS".into()), WrongAudience),
        ("aud with a space", aud("payments ".into()), WrongAudience),
        ("aud with a NUL", aud("payments\0".into()), WrongAudience),
        ("aud of several in one text", aud("orders payments".into()), WrongAudience),
        ("aud empty", aud("".into()), WrongAudience),
        ("aud of everybody", aud("*".into()), WrongAudience),
        ("aud of nobody", aud(json!([])), WrongAudience),
        ("aud nested", aud(json!([["payments"]])), InvalidClaims),
        ("aud an object", aud(json!({"payments": true})), InvalidClaims),
        ("aud a list with a number", aud(json!(["payments", 1])), InvalidClaims),
        ("aud null", aud(Value::Null), InvalidClaims),
        ("aud with a homoglyph", aud("p\u{430}yments".into()), WrongAudience),
        ("aud in full width", aud("\u{ff50}ayments".into()), WrongAudience),
        ("aud twice", twice("aud", "\"orders\""), Malformed),
        ("iss missing", scene.without("iss"), InvalidClaims),
        ("iss of another one", iss("https://attacker.example.org".into()), WrongIssuer),
        ("iss that begins like ours", iss(format!("{ISSUER}.attacker.example.org").into()), WrongIssuer),
        ("iss with a slash", iss(format!("{ISSUER}/").into()), WrongIssuer),
        ("iss in upper case", iss(ISSUER.to_uppercase().into()), WrongIssuer),
        ("iss with a user", iss(ISSUER.replace("//", "//a@").into()), WrongIssuer),
        ("iss over HTTP", iss(ISSUER.replace("https", "http").into()), WrongIssuer),
        ("iss with a homoglyph", iss(ISSUER.replace('e', "\u{435}").into()), WrongIssuer),
        ("iss a list", iss(json!([ISSUER])), InvalidClaims),
        ("iss null", iss(Value::Null), InvalidClaims),
        ("iss empty", iss("".into()), WrongIssuer),
        ("iss twice", twice("iss", "\"https://attacker.example.org\""), Malformed),
        ("sub missing", scene.without("sub"), InvalidClaims),
        ("sub empty", scene.claim("sub", "".into()), InvalidClaims),
        ("sub a number", scene.claim("sub", json!(1)), InvalidClaims),
        ("sub a list", scene.claim("sub", json!(["alice"])), InvalidClaims),
        ("sub with a line feed", scene.claim("sub", "alice\nadmin".into()), InvalidClaims),
        ("sub with a turn of direction", scene.claim("sub", "alice\u{202e}nimda".into()), InvalidClaims),
        ("sub very long", scene.claim("sub", "a".repeat(2049).into()), InvalidClaims),
        ("sub twice", twice("sub", "\"admin\""), Malformed),
        (
            "a name twice in what is nested",
            scene.es256.sign_text(
                &scene.es256.header().to_string(),
                &claims()
                    .to_string()
                    .replace(&format!("\"{AUDIENCE}\""), &format!("\"{AUDIENCE}\",\"x\":{{\"a\":1,\"a\":2}}")),
            ),
            Malformed,
        ),
        (
            "claims that are nested deep",
            scene.claim("x", (0..100).fold(json!(1), |value, _| json!([value]))),
            Malformed,
        ),
        ("claims that are a list", text(&json!([claims()]).to_string()), Malformed),
        ("claims that are nothing", text(""), Malformed),
        ("claims that are null", text("null"), Malformed),
        ("something behind the claims", text(&format!("{}{}", claims(), claims())), Malformed),
        ("bound to a certificate", scene.claim("cnf", json!({"x5t#S256": part([7; 32])})), Unbound),
        ("bound to a thumbprint with padding", scene.claim("cnf", json!({"x5t#S256": part([7; 32]) + "="})), Unbound),
        ("bound to a thumbprint that is too short", scene.claim("cnf", json!({"x5t#S256": part([7; 31])})), Unbound),
        ("bound to nothing", scene.claim("cnf", json!({})), Unbound),
        ("bound to null", scene.claim("cnf", Value::Null), Unbound),
        ("bound to a key by DPoP", scene.claim("cnf", json!({"jkt": part([7; 32])})), Unbound),
        (
            "bound to more than is looked at",
            scene.claim("cnf", json!({"x5t#S256": part([7; 32]), "jkt": "x"})),
            Unbound,
        ),
    ];
    let not_utf_8 = [&claims().to_string().as_bytes()[..10], b"\xff\xfe\"}"].concat();
    let message = format!("{}.{}", part(scene.es256.header().to_string()), part(not_utf_8));
    attacks.push(("claims that are no UTF-8", scene.es256.sign_message(&message), Malformed));
    attacks
}

fn forms(scene: &Scene) -> Vec<Attack> {
    let good = scene.es256.sign(&claims());
    let [header, payload, signature] = parts(&good);
    let raw = Base64UrlUnpadded::decode_vec(signature).unwrap();
    // The last of 86 letters has four bits that mean nothing.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let not_canonical = format!("{}{twin}", &signature[..signature.len() - 1]);
    let json_serialization = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
    let other_alphabet = Base64::encode_string(
        claims_with(|claims| claims["x"] = "\u{3ff}\u{3ff}\u{3ff}".into()).to_string().as_bytes(),
    );
    assert!(other_alphabet.contains(['+', '/']), "the alphabets differ in these");
    let huge = scene.claim("x", "x".repeat(20_000).into());
    vec![
        ("nothing", String::new(), Malformed),
        ("dots alone", "..".to_owned(), Malformed),
        ("no signature", format!("{header}.{payload}"), Malformed),
        ("an empty signature", format!("{header}.{payload}."), BadSignature),
        ("a signature that is cut off", good[..good.len() - 2].to_owned(), BadSignature),
        ("the header alone", header.to_owned(), Malformed),
        ("a part more", format!("{good}.{signature}"), Malformed),
        ("an empty part more", format!("{good}."), Malformed),
        ("an empty part before", format!(".{good}"), Malformed),
        ("five parts, as of a JWE", format!("{good}.{payload}.{signature}"), Malformed),
        ("the parts in another order", format!("{payload}.{header}.{signature}"), Malformed),
        (
            "other claims",
            format!("{header}.{}.{signature}", part(claims_with(|claims| claims["sub"] = "admin".into()).to_string())),
            BadSignature,
        ),
        ("padding behind the signature", format!("{good}=="), Malformed),
        ("padding behind the header", format!("{header}=.{payload}.{signature}"), Malformed),
        ("a signature that is not canonical", format!("{header}.{payload}.{not_canonical}"), Malformed),
        (
            "base64 of the other alphabet",
            format!("{header}.{payload}.{}", Base64::encode_string(&[0xfb; 64]).trim_end_matches('=')),
            Malformed,
        ),
        ("a space before", format!(" {good}"), Malformed),
        ("a space behind", format!("{good} "), Malformed),
        ("a line feed behind", format!("{good}\n"), Malformed),
        ("a NUL behind", format!("{good}\0"), Malformed),
        ("a line feed within", format!("{header}.{}\n{}.{signature}", &payload[..4], &payload[4..]), Malformed),
        ("its scheme before it", format!("Bearer {good}"), Malformed),
        ("two tokens", format!("{good},{good}"), Malformed),
        ("JSON serialization", json_serialization, Malformed),
        ("a huge token", huge, TooLarge),
        ("a huge token of dots", ".".repeat(100_000), TooLarge),
        ("a part more that is signed", scene.es256.sign_message(&format!("{header}.{payload}.{payload}")), Malformed),
        ("padding that is signed", scene.es256.sign_message(&format!("{header}==.{payload}==")), Malformed),
        ("a line feed that is signed", scene.es256.sign_message(&format!("{header}.{payload}\n")), Malformed),
        ("a space that is signed", scene.es256.sign_message(&format!("{header} .{payload}")), Malformed),
        (
            "claims in the other alphabet that are signed",
            scene.es256.sign_message(&format!("{header}.{}", other_alphabet.trim_end_matches('='))),
            Malformed,
        ),
        ("many dots", ".".repeat(10_000), Malformed),
        ("letters beyond ASCII", good.replace('.', "\u{3002}"), Malformed),
        (
            "a signature twice as long",
            format!("{header}.{payload}.{}", part([raw.clone(), raw].concat())),
            BadSignature,
        ),
    ]
}

fn signatures(scene: &Scene) -> Vec<Attack> {
    let with = |issuer: &TokenIssuer, signature: &[u8]| signed(&issuer.header(), &claims(), signature);
    let message =
        |issuer: &TokenIssuer| format!("{}.{}", part(issuer.header().to_string()), part(claims().to_string()));
    let (ec, ed, rsa) = (&scene.es256, &scene.eddsa, &scene.rs256);
    let raw = ec.signature(message(ec).as_bytes());
    let (r, s) = raw.split_at(32);
    let of_scalars = |r: &[u8], s: &[u8]| with(ec, &[r, s].concat());
    let edwards = ed.signature(message(ed).as_bytes());
    let malleable = [&edwards[..32], &plus(&edwards[32..], &ED25519_ORDER)].concat();
    let identity = [[1].as_slice(), &[0; 31]].concat();
    let pkcs = rsa.signature(message(rsa).as_bytes());
    vec![
        ("r and s of zero", of_scalars(&[0; 32], &[0; 32]), BadSignature),
        ("r of zero", of_scalars(&[0; 32], s), BadSignature),
        ("s of zero", of_scalars(r, &[0; 32]), BadSignature),
        ("r and s of one", of_scalars(&one(), &one()), BadSignature),
        ("r and s of the order", of_scalars(&P256_ORDER, &P256_ORDER), BadSignature),
        ("s of the order", of_scalars(r, &P256_ORDER), BadSignature),
        ("r and s of the field's prime", of_scalars(&P256_PRIME, &P256_PRIME), BadSignature),
        ("r and s of the greatest", of_scalars(&[0xff; 32], &[0xff; 32]), BadSignature),
        ("r and s exchanged", of_scalars(s, r), BadSignature),
        ("DER", with(ec, &der(r, s)), BadSignature),
        ("r and s with a zero before each", with(ec, &[&[0], r, &[0], s].concat()), BadSignature),
        ("r without s", with(ec, r), BadSignature),
        ("r and s of zero for P-384", with(&scene.es384, &[0; 96]), BadSignature),
        ("r and s of P-256 for P-384", with(&scene.es384, &raw), BadSignature),
        ("zeros for Ed25519", with(ed, &[0; 64]), BadSignature),
        ("s plus the order for Ed25519", with(ed, &malleable), BadSignature),
        ("the neutral point and zero for Ed25519", with(ed, &[identity.as_slice(), &[0; 32]].concat()), BadSignature),
        (
            "the neutral point and s for Ed25519",
            with(ed, &[identity.as_slice(), &edwards[32..]].concat()),
            BadSignature,
        ),
        ("half of one for Ed25519", with(ed, &edwards[..32]), BadSignature),
        ("zeros for RSA", with(rsa, &[0; 256]), BadSignature),
        ("one for RSA", with(rsa, &[vec![0; 255], vec![1]].concat()), BadSignature),
        ("ones for RSA", with(rsa, &[0xff; 256]), BadSignature),
        ("nothing for RSA", with(rsa, b""), BadSignature),
        ("a zero before RSA", with(rsa, &[&[0], pkcs.as_slice()].concat()), BadSignature),
        ("a byte less for RSA", with(rsa, &pkcs[..255]), BadSignature),
        ("the signature of another message", with(rsa, &rsa.signature(b"another")), BadSignature),
        (
            "the padded digest itself for RSA",
            with(rsa, &[[0, 1].as_slice(), &[0xff; 222], &[0; 32]].concat()),
            BadSignature,
        ),
    ]
}

const P256_ORDER: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const P256_PRIME: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
/// The order of Ed25519's base point, the least byte first.
const ED25519_ORDER: [u8; 32] = *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10";

fn one() -> [u8; 32] {
    let mut one = [0; 32];
    one[31] = 1;
    one
}

/// The sum of two numbers, the least byte first.
fn plus(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = left.iter().zip(right).map(|(left, right)| {
        carry += u16::from(*left) + u16::from(*right);
        let byte = carry.to_le_bytes()[0];
        carry >>= 8;
        byte
    });
    sum.collect()
}

/// The signature as ASN.1 has it (RFC 3279 §2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
    [vec![0x30, 70], integer(r), integer(s)].concat()
}

#[test]
fn algorithms_of_the_attackers_choice_are_refused() {
    let scene = Scene::new();
    scene.refuses(&algorithms(&scene));
}

#[test]
fn keys_of_the_attackers_choice_are_refused() {
    let scene = Scene::new();
    scene.refuses(&keys(&scene));
}

#[test]
fn headers_that_are_read_in_two_ways_are_refused() {
    let scene = Scene::new();
    scene.refuses(&headers(&scene));
}

#[test]
fn times_that_are_none_are_refused() {
    let scene = Scene::new();
    scene.refuses(&times(&scene));
}

#[test]
fn names_that_are_almost_ours_are_refused() {
    let scene = Scene::new();
    scene.refuses(&names(&scene));
}

#[test]
fn forms_that_are_almost_tokens_are_refused() {
    let scene = Scene::new();
    scene.refuses(&forms(&scene));
}

#[test]
fn signatures_that_any_message_might_have_are_refused() {
    let scene = Scene::new();
    scene.refuses(&signatures(&scene));
}

#[test]
fn the_attacks_are_many_and_each_is_another() {
    let scene = Scene::new();
    let families = [algorithms, keys, headers, times, names, forms, signatures];
    let attacks: Vec<_> = families.into_iter().flat_map(|family| family(&scene)).collect();
    let tokens: BTreeSet<_> = attacks.iter().map(|(_, token, _)| token).collect();
    assert_eq!(tokens.len(), attacks.len());
    assert!(attacks.len() >= 200, "{}", attacks.len());
}
