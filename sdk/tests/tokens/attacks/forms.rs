//! Attacks by the form: what is almost a token, and signatures that any message might have.

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use evercert::telemetry::TokenFailure::*;
use evercert_fixtures::TokenIssuer;
use serde_json::json;

use super::{Attack, Scene, part, signed};
use crate::service::{claims, claims_with};

/// The three parts.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

pub(super) fn forms(scene: &Scene) -> Vec<Attack> {
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

pub(super) fn signatures(scene: &Scene) -> Vec<Attack> {
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
