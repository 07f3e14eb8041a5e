//! Tokens made at run time, whole and with a change.

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use evercert_fixtures::TokenIssuer;
use proptest::prelude::*;
use serde_json::json;

use crate::service::{Service, claims, claims_with};

struct Scene {
    issuers: [TokenIssuer; 4],
    service: Service,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let issuers = [TokenIssuer::es256("a"), TokenIssuer::es384("b"), TokenIssuer::rs256("c"), TokenIssuer::eddsa("d")];
    let service = Service::of(&issuers.each_ref());
    Scene { issuers, service }
});

proptest! {
    #[test]
    fn a_token_is_taken_whatever_else_it_says(
        issuer in 0..4_usize,
        subject in "[a-zA-Z0-9|:@./_-]{1,64}",
        name in "[a-z]{4,12}",
        value in "\\PC{0,40}",
        numbers in proptest::collection::vec(any::<i32>(), 0..4),
    ) {
        let said = claims_with(|claims| {
            claims["sub"] = subject.clone().into();
            claims[&name] = json!({"text": value, "numbers": numbers});
        });
        let claims = SCENE.service.verify(&SCENE.issuers[issuer].sign(&said)).unwrap();
        prop_assert_eq!(claims.subject(), &subject);
        prop_assert_eq!(claims.deserialize::<serde_json::Value>().unwrap(), said);
    }

    #[test]
    fn a_token_with_any_bit_turned_is_refused(issuer in 0..4_usize, at in any::<proptest::sample::Index>(), bit in 0..7_u8) {
        let token = SCENE.issuers[issuer].sign(&claims());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let turned = String::from_utf8(bytes).unwrap();
        prop_assert!(SCENE.service.verify(&token).is_ok());
        prop_assert!(SCENE.service.verify(&turned).is_err(), "{turned}");
    }

    #[test]
    fn a_token_with_any_bit_of_what_it_encodes_turned_is_refused(
        issuer in 0..4_usize,
        part in 0..3_usize,
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let token = SCENE.issuers[issuer].sign(&claims());
        let mut parts: Vec<_> = token.split('.').map(|part| Base64UrlUnpadded::decode_vec(part).unwrap()).collect();
        let at = at.index(parts[part].len());
        parts[part][at] ^= 1 << bit;
        let turned: Vec<_> = parts.iter().map(|part| Base64UrlUnpadded::encode_string(part)).collect();
        prop_assert!(SCENE.service.verify(&turned.join(".")).is_err());
    }

    #[test]
    fn a_token_that_is_cut_or_spliced_is_refused(issuer in 0..4_usize, other in 0..4_usize, at in any::<proptest::sample::Index>()) {
        let (one, two) = (SCENE.issuers[issuer].sign(&claims()), SCENE.issuers[other].sign(&claims()));
        let at = at.index(one.len());
        prop_assert!(SCENE.service.verify(&one[..at]).is_err());
        let spliced = format!("{}{}", &one[..at], two.get(at..).unwrap_or_default());
        prop_assume!(spliced != one && spliced != two);
        prop_assert!(SCENE.service.verify(&spliced).is_err());
    }

    #[test]
    fn whatever_comes_is_refused_without_a_panic(text in "\\PC*", header in "\\PC{0,60}", said in "\\PC{0,60}") {
        prop_assert!(SCENE.service.verify(&text).is_err());
        for issuer in &SCENE.issuers {
            prop_assert!(SCENE.service.verify(&issuer.sign_text(&header, &said)).is_err());
            prop_assert!(SCENE.service.verify(&issuer.sign_text(&issuer.header().to_string(), &said)).is_err());
        }
    }
}
