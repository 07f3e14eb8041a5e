//! What is tried against readers of tokens: each is refused, and for its reason.

mod claims;
mod forms;
mod headers;

use std::collections::BTreeSet;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use evercert::telemetry::TokenFailure;
use evercert_fixtures::TokenIssuer;
use serde_json::Value;

use crate::service::{Service, claims, claims_with, now};

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
            assert_eq!(self.service.verifier.cached(token, None, now()).map(drop), None, "{name}");
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

#[test]
fn algorithms_of_the_attackers_choice_are_refused() {
    let scene = Scene::new();
    scene.refuses(&headers::algorithms(&scene));
}

#[test]
fn keys_of_the_attackers_choice_are_refused() {
    let scene = Scene::new();
    scene.refuses(&headers::keys(&scene));
}

#[test]
fn headers_that_are_read_in_two_ways_are_refused() {
    let scene = Scene::new();
    scene.refuses(&headers::headers(&scene));
}

#[test]
fn times_that_are_none_are_refused() {
    let scene = Scene::new();
    scene.refuses(&claims::times(&scene));
}

#[test]
fn names_that_are_almost_ours_are_refused() {
    let scene = Scene::new();
    scene.refuses(&claims::names(&scene));
}

#[test]
fn forms_that_are_almost_tokens_are_refused() {
    let scene = Scene::new();
    scene.refuses(&forms::forms(&scene));
}

#[test]
fn signatures_that_any_message_might_have_are_refused() {
    let scene = Scene::new();
    scene.refuses(&forms::signatures(&scene));
}

#[test]
fn the_attacks_are_many_and_each_is_another() {
    let scene = Scene::new();
    let families = [
        headers::algorithms,
        headers::keys,
        headers::headers,
        claims::times,
        claims::names,
        forms::forms,
        forms::signatures,
    ];
    let attacks: Vec<_> = families.into_iter().flat_map(|family| family(&scene)).collect();
    let tokens: BTreeSet<_> = attacks.iter().map(|(_, token, _)| token).collect();
    assert_eq!(tokens.len(), attacks.len());
    assert!(attacks.len() >= 200, "{}", attacks.len());
}
