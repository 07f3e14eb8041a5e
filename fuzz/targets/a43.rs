//! Whatever an authorisation policy in gRPC's form says: it is read or refused without a panic, and a call that it allows is allowed by a
//! rule of its own.
#![no_main]

use evercert::auth::Question;
use evercert::auth::policy::A43Policy;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let policy = match A43Policy::parse(json) {
        Ok(policy) => policy,
        Err(error) => return assert!(!error.to_string().chars().any(char::is_control), "{error:?}"),
    };
    assert!(!policy.name().is_empty());
    let rules = policy.rules().collect::<Vec<_>>();
    let mut headers = HeaderMap::new();
    for (key, value) in
        [("x-env", "dev"), ("x-env", ""), ("x-bin", "YWI"), ("authorization", "Bearer a"), ("x-odd-bin", "Y")]
    {
        headers.append(HeaderName::from_static(key), HeaderValue::from_static(value));
    }
    for path in ["/pay.v1.Pay/Charge", "/a/b", "//", "/", "a/b", ""] {
        for is_tls in [false, true] {
            let decision = policy.decide(&Question { path, headers: &headers, principal: None, is_tls });
            assert!(
                !decision.allowed || path.matches('/').count() > 1 && decision.rule.is_some(),
                "{path}: {decision:?}"
            );
            assert!(decision.rule.is_none_or(|rule| rules.contains(&rule)), "{decision:?}");
        }
    }
});
