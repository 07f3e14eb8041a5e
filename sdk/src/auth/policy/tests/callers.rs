//! Whom a rule fits.

use super::*;

/// Whether a policy of one rule with these callers lets this principal call.
fn allows(callers: &str, principal: Option<&Principal>) -> bool {
    let text = format!("[[allow]]\nname = \"a\"\nmethods = [\"/*\"]\ncallers = {callers}\n");
    code(&parse(&text).unwrap(), GET, principal) == Code::Ok
}

/// Whether one that denies these keeps it from doing so, where everybody else may.
fn denies(callers: &str, principal: Option<&Principal>) -> bool {
    let text = format!(
        "[[allow]]\nname = \"a\"\nmethods = [\"/*\"]\ncallers = \"anyone\"\n[[deny]]\nname = \"d\"\nmethods = [\"/*\"]\ncallers = {callers}\n"
    );
    let policy = parse(&text).unwrap();
    let decision = policy.decide(&ask(GET, &HeaderMap::new(), principal));
    assert_eq!(decision.rule(), Some(if decision.is_allowed() { "a" } else { "d" }));
    !decision.is_allowed()
}

fn by_token(all: Value) -> Option<Principal> {
    Principal::new(None, claims(&all))
}

fn by_id(id: &str) -> Option<Principal> {
    Principal::new(workload(id), None)
}

/// A caller with a certificate of this ID, if any, and a JWT-SVID of that one.
fn by_svid(certificate: Option<&str>, token: &str) -> Option<Principal> {
    let claims = Claims::verified(
        String::new(),
        token.to_owned(),
        SystemTime::UNIX_EPOCH,
        Some(token.parse().unwrap()),
        serde_json::Map::new(),
    );
    Principal::new(certificate.and_then(workload), Some(claims))
}

#[test]
fn roles_are_whole_texts_and_scopes_are_words() {
    for (claim, is_role, is_scope) in [
        (json!(["admin"]), true, true),
        (json!("admin"), true, true),
        (json!("billing admin"), false, true),
        (json!(["billing admin"]), false, false),
        (json!("administrator"), false, false),
        (json!({ "admin": true }), false, false),
        (json!([["admin"]]), false, false),
        (json!(null), false, false),
        (json!("Admin"), false, false),
    ] {
        let principal = by_token(json!({ "roles": claim, "scope": claim }));
        assert_eq!(allows("[\"admin\"]", principal.as_ref()), is_role, "{claim}");
        assert_eq!(allows("{ roles = [\"admin\"] }", principal.as_ref()), is_role, "{claim}");
        assert_eq!(allows("{ scopes = [\"admin\"] }", principal.as_ref()), is_scope, "{claim}");
    }
}

#[test]
fn roles_and_scopes_are_where_the_settings_say() {
    let text = "[claims]\nroles = \"realm_access.roles\"\n[methods]\n\"/myapp.v1.UserService/*\" = [\"admin\"]\n";
    let policy = parse(text).unwrap();
    let keycloak = by_token(json!({ "realm_access": { "roles": ["admin"] } }));
    assert_eq!(code(&policy, GET, keycloak.as_ref()), Code::Ok);
    assert_eq!(code(&policy, GET, roles(&["admin"]).as_ref()), Code::PermissionDenied);
    let policy = parse(&text.replace("realm_access.roles", "scope")).unwrap();
    assert_eq!(code(&policy, GET, by_token(json!({ "scope": "user admin" })).as_ref()), Code::Ok);
}

#[test]
fn spiffe_ids_are_exact_or_beneath_a_segment_of_a_path() {
    let exact = "{ spiffe_ids = [\"spiffe://example.org/ns/web/sa/a\"] }";
    let beneath = "{ spiffe_ids = [\"spiffe://example.org/ns/web/*\"] }";
    let domain = "{ trust_domains = [\"example.org\"] }";
    let namespaces = "{ trust_domains = [\"example.org\"], namespaces = [\"web\"] }";
    for (id, expected) in [
        ("spiffe://example.org/ns/web/sa/a", [true, true, true, true]),
        ("spiffe://example.org/ns/web/sa/b", [false, true, true, true]),
        ("spiffe://example.org/ns/web", [false, false, true, false]),
        ("spiffe://example.org/ns/website/sa/a", [false, false, true, false]),
        ("spiffe://example.org/ns/web/sa/a/b", [false, true, true, false]),
        ("spiffe://other.org/ns/web/sa/a", [false, false, false, false]),
    ] {
        let principal = by_id(id);
        let found = [exact, beneath, domain, namespaces].map(|callers| allows(callers, principal.as_ref()));
        assert_eq!(found, expected, "{id}");
    }
    let anonymous = [exact, beneath, domain, namespaces].map(|callers| allows(callers, None));
    assert_eq!(anonymous, [false; 4]);
    assert!(allows(exact, by_svid(None, "spiffe://example.org/ns/web/sa/a").as_ref()), "a JWT-SVID has one too");
    let with_certificate = exact.replace(" }", ", certificate = true }");
    assert!(!allows(&with_certificate, by_svid(None, "spiffe://example.org/ns/web/sa/a").as_ref()));
}

#[test]
fn every_spiffe_id_that_is_proven_may_deny_and_so_does_one_that_is_anyones_guess() {
    let (good, evil) = ("spiffe://example.org/ns/web/sa/a", "spiffe://example.org/ns/evil/sa/a");
    for callers in [
        "{ spiffe_ids = [\"spiffe://example.org/ns/evil/*\"] }",
        "{ namespaces = [\"evil\"] }",
        "{ when = [{ key = \"source.namespace\", values = [\"evil\"] }] }",
        "{ when = [{ key = \"source.namespace\", not_values = [\"web\"] }] }",
    ] {
        assert!(!denies(callers, by_id(good).as_ref()), "{callers}");
        assert!(denies(callers, by_id(evil).as_ref()), "{callers}");
        assert!(denies(callers, by_svid(Some(good), evil).as_ref()), "{callers}");
        let two = certificate(Leaf::for_dns("a.example.org").uri(good).uri(evil));
        assert!(denies(callers, Principal::new(Some(two), None).as_ref()), "{callers}");
        let other = certificate(Leaf::for_dns("a.example.org").uri("https://a.example.org"));
        let is_negated = callers.contains("not_values");
        assert_eq!(denies(callers, Principal::new(Some(other), None).as_ref()), is_negated, "{callers}");
    }
}

#[test]
fn dns_names_are_whole_and_of_a_certificate() {
    let callers = "{ dns_names = [\"A.example.org\"] }";
    let peer = |name: &str| Principal::new(Some(certificate(Leaf::for_dns(name))), None);
    assert!(allows(callers, peer("a.example.org").as_ref()));
    for name in ["b.a.example.org", "*.example.org", "aa.example.org"] {
        assert!(!allows(callers, peer(name).as_ref()), "{name}");
    }
}

#[test]
fn a_request_principal_is_an_issuer_and_a_subject_that_nothing_else_can_spell() {
    let token = |issuer: &str, subject: &str| by_token(json!({ "iss": issuer, "sub": subject }));
    let (one, all) =
        ("{ request_principals = [\"https://a.org/b/c\"] }", "{ request_principals = [\"https://a.org/*\"] }");
    for (issuer, subject, expected, denied) in [
        ("https://a.org/b", "c", [true, false], [true, true]),
        ("https://a.org", "b/c", [false, true], [true, true]),
        ("https://a.org", "d", [false, true], [false, true]),
        ("https://a.org.evil", "d", [false, false], [false, false]),
        ("", "https://a.org/b/c", [false, false], [false, false]),
    ] {
        let principal = token(issuer, subject);
        assert_eq!([one, all].map(|callers| allows(callers, principal.as_ref())), expected, "{issuer} {subject}");
        assert_eq!([one, all].map(|callers| denies(callers, principal.as_ref())), denied, "{issuer} {subject}");
    }
}

#[test]
fn a_demand_on_a_claim_that_is_missing_or_unclear_allows_nobody_and_denies() {
    let values = "{ when = [{ key = \"request.auth.claims[a.b]\", values = [\"x\", \"1\", \"true\"] }] }";
    let not_values = &values.replace("values", "not_values");
    let (yes, no) = ([true, false], [false, true]);
    for (claims, allowed, denied) in [
        (json!({ "a": { "b": "x" } }), yes, yes),
        (json!({ "a.b": "x" }), yes, yes),
        (json!({ "a": { "b": ["y", "x"] } }), yes, yes),
        (json!({ "a": { "b": 1 } }), yes, yes),
        (json!({ "a": { "b": true } }), yes, yes),
        (json!({ "a": { "b": "y" } }), no, no),
        (json!({ "a": { "b": "x y" } }), no, no),
        (json!({ "a": { "b": [] } }), no, no),
        (json!({ "a": { "b": 1.0 } }), [false, false], [true, true]),
        (json!({ "a": { "b": { "x": 1 } } }), [false, false], [true, true]),
        (json!({ "a": { "b": ["x", {}] } }), [false, false], [true, true]),
        (json!({ "a": { "b": null } }), [false, false], no),
        (json!({}), [false, false], no),
    ] {
        let principal = by_token(claims.clone());
        assert_eq!([values, not_values].map(|callers| allows(callers, principal.as_ref())), allowed, "{claims}");
        assert_eq!([values, not_values].map(|callers| denies(callers, principal.as_ref())), denied, "{claims}");
    }
    assert_eq!([values, not_values].map(|callers| allows(callers, None)), [false, false]);
    assert_eq!([values, not_values].map(|callers| denies(callers, None)), [false, true]);
}

#[test]
fn a_header_that_is_there_twice_allows_nothing_and_denies() {
    let text = |effect: &str| {
        format!(
            "[[allow]]\nname = \"all\"\nmethods = [\"/myapp.v1.DataService/*\"]\ncallers = \"anyone\"\n[[{effect}]]\nname = \"h\"\nmethods = [\"/*\"]\ncallers = {{ when = [{{ key = \"request.headers[x-tenant]\", values = [\"a\"] }}] }}\n"
        )
    };
    let (allow, deny) = (parse(&text("allow")).unwrap(), parse(&text("deny")).unwrap());
    for (values, allowed, denied) in [
        (&[][..], false, false),
        (&["a"][..], true, true),
        (&["b"], false, false),
        (&["a", "b"], false, true),
        (&["a", "a"], false, true),
        (&["\u{e9}"], false, true),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-tenant", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        assert_eq!(allow.decide(&ask(GET, &headers, None)).is_allowed(), allowed, "{values:?}");
        assert_eq!(deny.decide(&ask(EXPORT, &headers, None)).is_allowed(), !denied, "{values:?}");
    }
}

#[test]
fn public_methods_are_public_by_their_own_words_alone_and_are_listed() {
    let policy = parse(
        "[methods]\n\"/myapp.v1.UserService/GetUser\" = \"anyone\"\n\"/myapp.v1.DataService/*\" = \"authenticated\"\n",
    )
    .unwrap();
    assert_eq!(code(&policy, GET, None), Code::Ok);
    assert_eq!(code(&policy, EXPORT, None), Code::Unauthenticated);
    assert_eq!(code(&policy, EXPORT, by_id("spiffe://example.org/a").as_ref()), Code::Ok);
    assert_eq!(code(&policy, EXPORT, roles(&[]).as_ref()), Code::Ok);
    assert_eq!(policy.public(), [(GET, vec![GET.to_owned()])]);
}

#[test]
fn a_denied_dns_name_may_be_written_with_a_dot_or_a_wildcard_and_an_allowed_one_may_not() {
    let callers = "{ dns_names = [\"a.test.example.org\"] }";
    for (name, is_allowed, is_denied) in [
        ("a.test.example.org", true, true),
        ("A.test.Example.org", true, true),
        ("a.test.example.org.", false, true),
        ("*.test.example.org", false, true),
        ("*.Test.example.org.", false, true),
        ("*.example.org", false, false),
        ("b.test.example.org", false, false),
        ("test.example.org", false, false),
    ] {
        let principal = Principal::new(Some(certificate(Leaf::for_dns(name))), None);
        assert_eq!(allows(callers, principal.as_ref()), is_allowed, "{name}");
        assert_eq!(denies(callers, principal.as_ref()), is_denied, "{name}");
    }
}
