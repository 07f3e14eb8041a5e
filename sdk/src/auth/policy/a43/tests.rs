use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::call::Caller;
use super::*;
use crate::auth::principal::Principal;
use crate::peer::PeerIdentity;
use crate::peer::test_leaf::{leaf, part};

const NOBODY: Caller<'_> = Caller::Plaintext;

fn policy(document: &Value) -> A43Policy {
    A43Policy::parse(document.to_string().as_bytes()).unwrap()
}

fn error(json: &str) -> String {
    A43Policy::parse(json.as_bytes()).unwrap_err().to_string()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(key, value): &(&str, &str)| {
        (HeaderName::from_bytes(key.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let mut headers = HeaderMap::new();
    pairs.iter().map(pair).for_each(|(key, value)| _ = headers.append(key, value));
    headers
}

/// The decision about a call: whether it is allowed, and by which rule.
fn decision<'a>(
    policy: &'a A43Policy,
    caller: Caller<'_>,
    path: &str,
    pairs: &[(&str, &str)],
) -> (bool, Option<&'a str>) {
    let A43Decision { allowed, rule } = policy.decide_about(&Call { path, headers: &headers(pairs), caller });
    (allowed, rule)
}

#[test]
fn what_is_denied_is_denied_whatever_allows_it_and_the_rest_is_denied_too() {
    let policy = policy(&json!({
        "name": "p",
        "deny_rules": [{ "name": "no", "request": { "paths": ["/a.B/Purge"] } }],
        "allow_rules": [{ "name": "yes", "request": { "paths": ["/a.B/*"] } }],
    }));
    assert_eq!(decision(&policy, NOBODY, "/a.B/Purge", &[]), (false, Some("p_no")));
    assert_eq!(decision(&policy, NOBODY, "/a.B/Get", &[]), (true, Some("p_yes")));
    assert_eq!(decision(&policy, NOBODY, "/a.C/Get", &[]), (false, None));
    assert_eq!(policy.rules().collect::<Vec<_>>(), ["p_no", "p_yes"]);
}

#[test]
fn a_path_that_names_no_method_is_refused_whatever_the_rules_are() {
    let policy = policy(&json!({ "name": "p", "allow_rules": [{ "name": "all" }] }));
    for path in ["", "*", "/", "/a", "a.B/Get"] {
        let headers = HeaderMap::new();
        let question = Question { path, headers: &headers, principal: None, is_tls: true };
        assert_eq!(policy.decide(&question), A43Decision::REFUSED, "{path:?}");
    }
}

#[test]
fn a_caller_is_known_by_its_certificate_under_tls_alone_and_one_with_an_odd_certificate_is_refused() {
    let principal = |names: &[(u8, &[u8])]| {
        let leaf = leaf(&[part(&[(&[0x55, 4, 3], 0x0c, b"a")])], &[names]);
        Principal::new(PeerIdentity::of_chain(&[leaf.into()]), None).unwrap()
    };
    let (till, odd) =
        (principal(&[(0x86, b"spiffe://example.org/till")]), principal(&[(0x86, b"spiffe://example.org:x/till")]));
    let policy = policy(&json!({
        "name": "p",
        "deny_rules": [{ "name": "nobody", "source": { "principals": [""] } }],
        "allow_rules": [{ "name": "till", "source": { "principals": ["spiffe://example.org/till"] } }, { "name": "all" }],
    }));
    for (principal, is_tls, expected) in [
        (Some(&till), true, (true, Some("p_till"))),
        (Some(&till), false, (true, Some("p_all"))),
        (None, true, (false, Some("p_nobody"))),
        (None, false, (true, Some("p_all"))),
        (Some(&odd), true, (false, None)),
    ] {
        let A43Decision { allowed, rule } =
            policy.decide(&Question { path: "/a/b", headers: &HeaderMap::new(), principal, is_tls });
        assert_eq!((allowed, rule), expected, "{principal:?}");
    }
}

#[test]
fn principals_are_for_tls_alone_and_without_a_certificate_the_empty_one_is() {
    let allowed = |pattern: &str, caller| {
        let rule = json!({ "name": "r", "source": { "principals": [pattern] } });
        decision(&policy(&json!({ "name": "p", "allow_rules": [rule] })), caller, "/a/b", &[]).0
    };
    let names = ["spiffe://example.org/a".to_owned(), "https://example.org".to_owned()];
    for (pattern, named, anonymous) in [
        ("*", true, false),
        ("", false, true),
        ("spiffe://example.org/*", true, false),
        ("*.org", true, false),
        ("https://example.org", true, false),
        ("https://example.or", false, false),
        ("**", false, false),
        ("*example*", false, false),
    ] {
        assert!(!allowed(pattern, NOBODY), "{pattern}");
        assert_eq!(allowed(pattern, Caller::Anonymous), anonymous, "{pattern}");
        assert_eq!(allowed(pattern, Caller::Named(&names)), named, "{pattern}");
    }
    assert!(!allowed("*", Caller::Named(&["CN=a\nb".to_owned()])));
}

#[test]
fn a_star_at_the_end_of_a_pattern_counts_before_one_at_its_beginning_and_no_other_is_one() {
    for (pattern, fitting, others) in [
        ("*a*", &["*a", "*ab"][..], &["a", "ba", "bab", "a*"][..]),
        ("**", &["*", "*a"], &["", "a", "a*"]),
        ("***", &["**", "**a"], &["", "*"]),
        ("*a", &["a", "ba", "*a"], &["", "ab"]),
        ("a*", &["a", "ab", "a*"], &["", "ba"]),
        ("a*b", &["a*b"], &["ab", "acb"]),
        ("", &[""], &["a"]),
    ] {
        let pattern = Pattern::of(pattern);
        assert!(fitting.iter().all(|text| pattern.fits(text.as_bytes())), "{pattern:?}");
        assert!(!others.iter().any(|text| pattern.fits(text.as_bytes())), "{pattern:?}");
    }
}

#[test]
fn a_header_is_looked_at_as_a_whole_and_has_to_be_there() {
    let allowed = |key: &str, value: &str, pairs: &[(&str, &str)]| {
        let rule = json!({ "name": "r", "request": { "headers": [{ "key": key, "values": [value] }] } });
        decision(&policy(&json!({ "name": "p", "allow_rules": [rule] })), NOBODY, "/a/b", pairs).0
    };
    assert!(allowed("X-Env", "dev", &[("x-env", "dev")]));
    assert!(allowed("x-env", "dev,prod", &[("x-env", "dev"), ("x-env", "prod")]));
    assert!(allowed("x-env", "*prod", &[("x-env", "dev"), ("x-env", "prod")]));
    assert!(!allowed("x-env", "prod", &[("x-env", "dev"), ("x-env", "prod")]));
    assert!(allowed("x-env", "", &[("x-env", "")]));
    assert!(!allowed("x-env", "*", &[("x-env", "")]));
    assert!(!allowed("x-env", "", &[]));
    assert!(allowed("x-bin", "a*", &[("x-bin", "YWI")]));
    assert!(allowed("x-bin", "ab,cd", &[("x-bin", "YWI="), ("x-bin", "Y2Q")]));
}

#[test]
fn a_header_of_bytes_that_cannot_be_decoded_denies_the_call_even_if_a_rule_would_have_denied_the_bytes() {
    let policy = policy(&json!({
        "name": "p",
        "deny_rules": [{ "name": "no", "request": { "headers": [{ "key": "x-bin", "values": ["*"] }] } }],
        "allow_rules": [{ "name": "yes" }],
    }));
    assert_eq!(decision(&policy, NOBODY, "/a/b", &[]), (true, Some("p_yes")));
    assert_eq!(decision(&policy, NOBODY, "/a/b", &[("x-bin", "YWI")]), (false, Some("p_no")));
    for value in ["YWI=,Y2Q=", "Y", "YQ=", "%%%%", "YWI=="] {
        assert_eq!(decision(&policy, NOBODY, "/a/b", &[("x-bin", value)]), (false, None), "{value}");
    }
}

#[test]
fn keys_are_read_in_any_case_and_a_null_stands_for_what_is_left_out() {
    let json = r#"{"NAME": "p", "deny_rules": null, "Allow_Rule\u017f": [{"name": "r", "Source": null, "re\u0071uest": {"PATHS": [null]}}]}"#;
    let policy = A43Policy::parse(json.as_bytes()).unwrap();
    assert_eq!(policy.rules().collect::<Vec<_>>(), ["p_r"]);
}

#[test]
fn errors_say_where_it_is_and_what_to_do() {
    let within = |rule: &str| error(&format!(r#"{{"name": "p", "allow_rules": [{{"name": "r", {rule}}}]}}"#));
    let header = |header: &str| within(&format!(r#""request": {{"headers": [{header}]}}"#));
    assert_eq!(error("{}"), "has no `name`: give it one");
    assert_eq!(error(r#"{"name": "p"}"#), "has no `allow_rules`: without one, no call is allowed");
    assert_eq!(
        error("{\n  \"nam\": \"p\"\n}"),
        "unknown field `nam`, expected one of `name`, `deny_rules`, `allow_rules`, `audit_logging_options` at line 2 column 7"
    );
    assert_eq!(error("{\"name\": \"p\",\n\"Name\": \"q\"}"), "duplicate field `name` at line 2 column 6");
    assert_eq!(error("{} x"), "trailing characters at line 1 column 4");
    assert!(error("[]").starts_with("invalid type: sequence, expected a policy, which is an object at line 1"));
    assert_eq!(
        error(r#"{"name": "p", "allow_rules": [{}]}"#),
        "allow_rules: rule 0, counted from 0, has no `name`: give it one"
    );
    assert_eq!(
        error(r#"{"name": "p", "allow_rules": [{"name": "r"}], "deny_rules": [{"name": "r"}, {"name": "r"}]}"#),
        "deny_rules: two rules are called r: give each a name of its own"
    );
    assert_eq!(header("{}"), "allow_rules: rule r: header 0, counted from 0, has no `key`");
    assert_eq!(
        header(r#"{"key": "Grpc-Timeout", "values": ["*"]}"#),
        "allow_rules: rule r: no rule may ask for the header Grpc-Timeout, which is not the caller's to choose"
    );
    assert_eq!(
        header(r#"{"key": "a b", "values": ["*"]}"#),
        "allow_rules: rule r: \"a b\" is not the key of any header"
    );
    assert_eq!(
        header(r#"{"key": "a"}"#),
        "allow_rules: rule r: the header a has no `values`: for any value, write \"*\""
    );
    let long = format!(r#"{{"name": "{}"}}"#, "p".repeat(DOCUMENT_LIMIT));
    assert_eq!(error(&long), format!("has {} bytes, and a policy may have {DOCUMENT_LIMIT}: split it", long.len()));
}

#[test]
fn audit_options_say_which_decisions_are_audited_and_by_what() {
    let audit = |options: &str| {
        let json = format!(r#"{{"name": "p", "allow_rules": [{{"name": "r"}}], "audit_logging_options": {options}}}"#);
        A43Policy::parse(json.as_bytes()).map(|policy| policy.audit().clone()).map_err(|error| error.to_string())
    };
    for (condition, on_allow, on_deny) in [
        ("", false, false),
        ("NONE", false, false),
        ("ON_DENY", false, true),
        ("ON_ALLOW", true, false),
        ("ON_DENY_AND_ALLOW", true, true),
    ] {
        let options = format!(
            r#"{{"audit_condition": "{condition}", "audit_loggers": [{{"name": "stdout_logger", "config": {{}}}}]}}"#
        );
        let audit = audit(&options).unwrap();
        assert_eq!((audit.concern(true), audit.concern(false)), (on_allow, on_deny), "{condition}");
    }
    let optional =
        audit(r#"{"audit_condition": "ON_DENY", "audit_loggers": [{"name": "other", "is_optional": true}]}"#);
    assert!(!optional.unwrap().concern(false));
    assert_eq!(
        audit(r#"{"audit_condition": "on_deny"}"#).unwrap_err(),
        "audit_logging_options: `audit_condition` is on_deny: use NONE, ON_DENY, ON_ALLOW or ON_DENY_AND_ALLOW"
    );
    assert_eq!(
        audit(r#"{"audit_loggers": [{"name": "other"}]}"#).unwrap_err(),
        "audit_logging_options: there is no logger other: use `stdout_logger`, or set `is_optional`"
    );
    for nameless in ["null", "{}", r#"{"name": "a/", "is_optional": true}"#] {
        let error = audit(&format!(r#"{{"audit_loggers": [{nameless}]}}"#)).unwrap_err();
        assert_eq!(error, "audit_logging_options: logger 0, counted from 0, has no `name`");
    }
    assert!(audit(r#"{"audit_loggers": [{"name": "stdout_logger", "config": {"a": {"b": 1, "b": 2}}}]}"#).is_err());
    assert!(audit(r#"{"audit_loggers": [{"name": "stdout_logger", "config": 1}]}"#).is_err());
}

#[test]
fn a_call_meets_the_rules_for_its_path_alone_however_many_there_are() {
    let rule = |nth: usize| {
        let paths = [format!("/a.S{nth}/Get"), format!("/a.S{nth}/Get/*"), format!("/b.S{nth}/*")];
        json!({ "name": nth.to_string(), "source": { "principals": ["*"] }, "request": { "paths": paths } })
    };
    for count in [10, 1_000] {
        let rules = (0..count).map(rule).collect::<Vec<_>>();
        let policy = policy(&json!({ "name": "p", "allow_rules": rules }));
        for (path, met) in [("/a.S7/Get", 1), ("/b.S7/Get", 1), ("/a.S7/Set", 0), ("/a.S7/Get/x", 1)] {
            assert_eq!(policy.allow.met_by(path), met, "{path} among {count}");
        }
    }
}

#[test]
fn what_headers_are_compared_with_is_not_shown() {
    let rule = json!({ "name": "r", "request": { "headers": [{ "key": "authorization", "values": ["Bearer abc"] }] } });
    let policy = policy(&json!({ "name": "p", "allow_rules": [rule] }));
    assert!(!format!("{policy:?}").contains("abc"));
}

/// What a rule says, as naively as can be.
fn fits(rule: &Value, caller: Caller<'_>, path: &str, headers: &HeaderMap) -> bool {
    let texts = |value: &Value| {
        let array = value.as_array().into_iter().flatten();
        array.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| naive(pattern, text));
    let principals = texts(&rule["source"]["principals"]);
    let is_principal = match caller {
        _ if principals.is_empty() => true,
        Caller::Plaintext => false,
        Caller::Anonymous => any(&principals, ""),
        Caller::Named(names) => names.iter().any(|name| any(&principals, name)),
    };
    let paths = texts(&rule["request"]["paths"]);
    let mut demands = rule["request"]["headers"].as_array().into_iter().flatten();
    let are_met = demands.all(|demand| {
        let values = headers.get_all(demand["key"].as_str().unwrap()).iter();
        let values = values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        !values.is_empty() && any(&texts(&demand["values"]), &values.join(","))
    });
    is_principal && (paths.is_empty() || any(&paths, path)) && are_met
}

fn naive(pattern: &str, text: &str) -> bool {
    match pattern.as_bytes() {
        b"*" => !text.is_empty() && !text.contains('\n'),
        [.., b'*'] => text.starts_with(&pattern[..pattern.len() - 1]),
        [b'*', ..] => text.ends_with(&pattern[1..]),
        _ => text == pattern,
    }
}

/// Texts that are often equal to, or the beginning or the end of, another one.
fn text() -> impl Strategy<Value = String> {
    "[ab/*\u{e9}]{0,4}"
}

fn rule() -> impl Strategy<Value = Value> {
    let header = ("[xy]", vec(text(), 1..3)).prop_map(|(key, values)| json!({ "key": key, "values": values }));
    (vec(text(), 0..3), vec(text().prop_map(|text| "/".to_owned() + &text), 0..4), vec(header, 0..2)).prop_map(
        |(principals, paths, headers)| {
            json!({ "source": { "principals": principals }, "request": { "paths": paths, "headers": headers } })
        },
    )
}

proptest! {
    #[test]
    fn the_first_rule_that_fits_decides_as_if_each_was_tried(
        mut deny in vec(rule(), 0..6),
        mut allow in vec(rule(), 1..12),
        names in vec(text(), 0..3),
        kind in 0_usize..3,
        path in text().prop_map(|text| "/".to_owned() + &text),
        pairs in vec(("[xy]", "[ab/*]{0,3}"), 0..4),
    ) {
        for rules in [&mut deny, &mut allow] {
            rules.iter_mut().enumerate().for_each(|(nth, rule)| rule["name"] = json!(nth.to_string()));
        }
        let caller = [Caller::Plaintext, Caller::Anonymous, Caller::Named(&names)][kind];
        let pairs = pairs.iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>();
        let headers = headers(&pairs);
        let first = |rules: &[Value]| rules.iter().position(|rule| fits(rule, caller, &path, &headers));
        let expected = match (first(&deny), first(&allow)) {
            (Some(nth), _) => (false, Some(format!("p_{nth}"))),
            (None, Some(nth)) => (true, Some(format!("p_{nth}"))),
            (None, None) => (false, None),
        };
        let policy = policy(&json!({ "name": "p", "deny_rules": deny, "allow_rules": allow }));
        let (is_allowed, rule) = decision(&policy, caller, &path, &pairs);
        prop_assert_eq!((is_allowed, rule.map(str::to_owned)), expected);
    }

    #[test]
    fn the_prefixes_of_a_text_are_those_that_it_begins_with(all in vec("[ab\u{e9}]{0,5}", 0..20), text in "[ab\u{e9}]{0,6}") {
        let all = all.into_iter().collect::<std::collections::BTreeSet<_>>();
        let prefixes = prefixes::Prefixes::new(all.iter().map(|prefix| (prefix.clone().into(), prefix.clone())));
        let mut expected = all.iter().filter(|prefix| text.starts_with(&***prefix)).collect::<Vec<_>>();
        expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        prop_assert_eq!(prefixes.of(&text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_that_is_read_panics(json in "[\\[\\]{}:,\"a-z_ ]{0,40}") {
        _ = A43Policy::parse(json.as_bytes());
    }
}
