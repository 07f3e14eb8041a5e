//! Whatever path is called, and whatever patterns the rules of a policy have for it, one in each line after the path: the first one that
//! fits decides, as if each was tried. And a path names a method in one way or not at all.
#![no_main]

use evercert::auth::policy::A43Policy;
use evercert::auth::{Method, Question};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The most patterns that are tried.
const PATTERNS: usize = 256;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let path = lines.next().unwrap_or_default();
    if let Some(method) = Method::of_path(path) {
        assert_eq!(format!("/{}/{}", method.service(), method.name()), path);
        assert!(path.is_ascii() && path.matches('/').count() == 2);
    }
    let patterns = lines.take(PATTERNS).collect::<Vec<_>>();
    if patterns.is_empty() {
        return;
    }
    let rules = patterns.iter().enumerate();
    let rules = rules.map(|(nth, pattern)| json!({ "name": nth.to_string(), "request": { "paths": [pattern] } }));
    let policy = json!({ "name": "p", "allow_rules": rules.collect::<Vec<_>>() });
    let policy = A43Policy::parse(policy.to_string().as_bytes()).expect("a policy of any patterns is one");
    let headers = HeaderMap::new();
    let decision = policy.decide(&Question { path, headers: &headers, principal: None, is_tls: true });
    let names_a_method = path.starts_with('/') && path[1..].contains('/');
    let first = patterns.iter().position(|pattern| fits(pattern, path)).filter(|_| names_a_method);
    assert_eq!(decision.rule, first.map(|nth| format!("p_{nth}")).as_deref(), "{path:?} by {patterns:?}");
    assert_eq!(decision.allowed, first.is_some());
});

fn fits(pattern: &str, path: &str) -> bool {
    match pattern.as_bytes() {
        b"*" => !path.is_empty(),
        [.., b'*'] => path.starts_with(&pattern[..pattern.len() - 1]),
        [b'*', ..] => path.ends_with(&pattern[1..]),
        _ => path == pattern,
    }
}
