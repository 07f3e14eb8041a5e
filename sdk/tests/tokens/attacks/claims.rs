//! Attacks by the claims: times that are none, and names that are almost ours.

use evercert::telemetry::TokenFailure::*;
use serde_json::{Value, json};

use super::{Attack, Scene, part};
use crate::service::{AUDIENCE, ISSUER, at, claims, claims_with};

pub(super) fn times(scene: &Scene) -> Vec<Attack> {
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

pub(super) fn names(scene: &Scene) -> Vec<Attack> {
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
