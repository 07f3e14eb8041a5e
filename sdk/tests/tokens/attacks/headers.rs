//! Attacks by the header: the algorithm, the key, and what else it asks for.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use evercert::telemetry::TokenFailure::*;
use evercert_fixtures::TokenIssuer;
use serde_json::{Value, json};

use super::{Attack, Scene, part, signed};
use crate::service::{ISSUER, claims};

pub(super) fn algorithms(scene: &Scene) -> Vec<Attack> {
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

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), message.as_bytes()).as_ref().to_vec()
}

pub(super) fn keys(scene: &Scene) -> Vec<Attack> {
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

pub(super) fn headers(scene: &Scene) -> Vec<Attack> {
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
