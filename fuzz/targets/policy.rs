//! Whatever a policy says: it is refused, or decides as it explains, and lets through nothing that names no method.
#![no_main]

use evercert::auth::MethodPolicy;
use evercert::auth::policy::{IstioResource, Policy, Supposed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    for policy in [MethodPolicy::text(text), MethodPolicy::yaml(text)] {
        match policy.read() {
            Ok(policy) => holds(&policy),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn holds(policy: &Policy) {
    _ = policy.to_istio(&IstioResource::default());
    let claims = br#"{ "iss": "https://a.org", "sub": "b", "roles": ["admin"], "scope": "a b" }"#;
    let id = "spiffe://example.org/ns/web/sa/a".parse().expect("an ID");
    for path in ["/a.B/C", "/myapp.v1.UserService/GetUser", "a.B/C", "//a.B/C", "/a.B/C/", "/*", ""] {
        let call = Supposed::call(path);
        let by_both = call.clone().by_spiffe_id(&id).by_claims(claims).expect("claims");
        for call in [call.clone(), call.by_spiffe_id(&id), by_both] {
            let explanation = policy.explain(&call);
            let decision = explanation.decision();
            let names_a_method = path.starts_with("/a.B/C") && path.len() == 6 || path.starts_with("/my");
            assert!(names_a_method || !decision.is_allowed());
            let fits = |rule: &str| {
                explanation.considered().iter().any(|considered| considered.is_fitting && considered.name == rule)
            };
            assert!(decision.rule().is_none_or(fits));
        }
    }
}
