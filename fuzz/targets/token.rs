//! Whatever a caller sends as a token, and whatever an issuer signs: it is refused, or it says what has to be so.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evercert::auth::{TokenVerifier, Tokens};
use evercert_fixtures::TokenIssuer;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Between the parts of one input.
const SEPARATOR: char = '\u{1e}';

const ISSUER: &str = "https://issuer.example.org";
const AUDIENCE: &str = "payments";
const NOW: u64 = 1_767_225_600;

struct Scene {
    issuer: TokenIssuer,
    verifier: TokenVerifier,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let issuer = TokenIssuer::eddsa("one");
    let directory = tempfile::tempdir().expect("there is a directory");
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, issuer.jwks()).expect("it can be written to");
    let verifier = Tokens::jwks_file(&path).issuer(ISSUER).audience(AUDIENCE).build().expect("these keys can be used");
    Scene { issuer, verifier }
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fuzz_target!(|input: &[u8]| {
    let Ok(input) = str::from_utf8(input) else { return };
    let verify = |token: &str| SCENE.verifier.verify(token, None, now()).now_or_never().expect("a file's keys are there");
    assert!(verify(input).is_err(), "nobody signed it");
    let Some((header, said)) = input.split_once(SEPARATOR) else { return };
    let Ok(claims) = verify(&SCENE.issuer.sign_text(header, said)) else { return };
    let header: Value = serde_json::from_str(header).expect("it is JSON");
    let said: Value = serde_json::from_str(said).expect("it is JSON");
    assert_eq!((header["alg"].as_str(), header.get("crit")), (Some("EdDSA"), None));
    assert_eq!((said["iss"].as_str(), claims.issuer()), (Some(ISSUER), ISSUER));
    assert!(said["aud"] == AUDIENCE || said["aud"].as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE)));
    assert_eq!(said["sub"].as_str(), Some(claims.subject()));
    assert!(!claims.subject().is_empty());
    assert!(said["exp"].as_u64().is_some_and(|exp| exp + Tokens::LEEWAY.as_secs() > NOW));
    assert_eq!(said.get("cnf"), None);
});
