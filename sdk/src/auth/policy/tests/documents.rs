//! Documents that include others, dry runs, and what is looked at.

use proptest::prelude::*;

use super::*;
use crate::auth::method::Method;
use crate::auth::policy::condition::Effect;

const A43: &str = r#"{
    "name": "mesh",
    "deny_rules": [{ "name": "no-export", "request": { "paths": ["/myapp.v1.DataService/*"] } }],
    "allow_rules": [{ "name": "web", "source": { "principals": ["spiffe://example.org/ns/web/*"] } }],
    "audit_logging_options": { "audit_condition": "ON_DENY", "audit_loggers": [{ "name": "stdout_logger", "config": {} }] }
}"#;

fn including(a43: &str, include: &str, text: &str) -> Result<Policy, InvalidPolicy> {
    let (directory, path) = file(&format!("include = [{include}]\n{text}"));
    std::fs::write(directory.path().join("mesh.json"), a43).unwrap();
    MethodPolicy::file(path).checked_against(&known()).read()
}

fn admin_of(namespace: &str) -> Option<Principal> {
    let claims = claims(&json!({ "iss": "i", "sub": "s", "roles": ["admin"] }));
    Principal::new(workload(&format!("spiffe://example.org/ns/{namespace}/sa/a")), claims)
}

#[test]
fn an_included_document_has_to_allow_too() {
    let policy = including(A43, "{ file = \"mesh.json\" }", SEED).unwrap();
    let decide = |path, principal: Option<Principal>| {
        let decision = policy.decide(&ask(path, &HeaderMap::new(), principal.as_ref()));
        (decision.code(), decision.policy().to_owned(), decision.rule().map(ToOwned::to_owned), decision.is_audited())
    };
    let mesh = |code, rule: Option<&str>| (code, "mesh".to_owned(), rule.map(ToOwned::to_owned), true);
    assert_eq!(decide(GET, admin_of("web")), (Code::Ok, "policy".to_owned(), Some(GET.to_owned()), false));
    assert_eq!(decide(GET, admin_of("other")), mesh(Code::PermissionDenied, None));
    assert_eq!(decide(EXPORT, admin_of("web")), mesh(Code::PermissionDenied, Some("mesh_no-export")));
    let only_mesh = Principal::new(workload("spiffe://example.org/ns/web/sa/a"), None);
    assert_eq!(decide(GET, only_mesh), (Code::Unauthenticated, "policy".to_owned(), None, true));
    assert_eq!(policy.rule_count(), 5);
    let without = Setting { takes_certificates: false, ..Setting::UNKNOWN };
    assert_eq!(policy.fits(without), Err(Contradiction::Certificates));
}

#[test]
fn an_included_document_in_a_dry_run_is_told_and_not_enforced() {
    let policy = including(A43, "{ file = \"mesh.json\", dry_run = true }", SEED).unwrap();
    let decision = policy.decide(&ask(GET, &HeaderMap::new(), admin_of("other").as_ref()));
    assert!(decision.is_allowed());
    let dry_run = decision.dry_run().unwrap();
    assert_eq!((dry_run.is_allowed(), dry_run.policy(), dry_run.rule()), (false, "mesh", None));
    assert_eq!(policy.dry_runs(), ["mesh"]);
    assert_eq!(policy.decide(&ask(GET, &HeaderMap::new(), admin_of("web").as_ref())).dry_run(), None);
}

#[test]
fn a_document_of_grpcs_own_form_is_read_as_it_is_and_its_methods_are_checked() {
    let (directory, _) = file("");
    let path = directory.path().join("mesh.json");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        MethodPolicy::file(&path).checked_against(&known()).read()
    };
    let policy = read(A43).unwrap();
    let decision = policy.decide(&ask(GET, &HeaderMap::new(), admin_of("web").as_ref()));
    assert_eq!((decision.is_allowed(), decision.policy(), decision.rule()), (true, "mesh", Some("mesh_web")));
    assert_eq!(code(&policy, GET, None), Code::PermissionDenied, "as grpc-go answers");
    assert!(policy.unruled().unwrap().is_empty());
    let unknown = read(&A43.replace("DataService", "DateService")).unwrap_err().to_string();
    assert!(
        unknown.ends_with(
            "there is no service myapp.v1.DateService in the descriptors; did you mean myapp.v1.DataService?"
        ),
        "{unknown}"
    );
    for paths in ["\"/myapp.v1.UserService/Ge*\"", "\"*/GetUser\"", "\"*\"", "\"/grpc.health.v1.Health/List\""] {
        assert!(read(&A43.replace("\"/myapp.v1.DataService/*\"", paths)).is_ok(), "{paths}");
    }
    for paths in ["\"/myapp.v1.UserService/Gat*\"", "\"*/getUser\"", "\"myapp.v1.UserService/GetUser\""] {
        let error = read(&A43.replace("\"/myapp.v1.DataService/*\"", paths)).unwrap_err().to_string();
        assert!(error.contains("there is no method for the path"), "{error}");
    }
    let narrow = A43.replace("\"source\"", "\"request\": { \"paths\": [\"*/GetUser\"] }, \"source\"");
    assert_eq!(
        read(&narrow).unwrap().unruled().unwrap(),
        ["/myapp.v1.DataService/Export", "/myapp.v1.UserService/DeleteUser", "/myapp.v1.UserService/ListUsers"]
    );
}

#[test]
fn an_included_document_that_is_missing_broken_or_there_twice_is_an_error_that_names_it() {
    let missing = including(A43, "{ file = \"other.json\" }", SEED).unwrap_err().to_string();
    assert!(missing.contains("other.json: cannot be read"), "{missing}");
    let broken = including("{}", "{ file = \"mesh.json\" }", SEED).unwrap_err().to_string();
    assert!(broken.contains("mesh.json: "), "{broken}");
    let twice = including(A43, "{ file = \"mesh.json\" }, { file = \"mesh.json\" }", SEED).unwrap_err().to_string();
    assert!(twice.contains(":1:45: `include` names two policies that are called \"mesh\""), "{twice}");
}

#[test]
fn a_rule_in_a_dry_run_is_told_where_it_would_decide_otherwise() {
    let text = format!(
        "{SEED}\n[[deny]]\nname = \"d\"\nmethods = [\"/myapp.v1.UserService/*\"]\ndry_run = true\n[[allow]]\nname = \"w\"\nmethods = [\"/myapp.v1.UserService/*\"]\ncallers = \"anyone\"\ndry_run = true\n"
    );
    let policy = parse(&text).unwrap();
    let decide = |principal: Option<Principal>| {
        let decision = policy.decide(&ask(GET, &HeaderMap::new(), principal.as_ref()));
        let dry_run = decision.dry_run().map(|dry| (dry.is_allowed(), dry.rule().unwrap().to_owned()));
        (decision.is_allowed(), dry_run)
    };
    assert_eq!(decide(roles(&["admin"])), (true, Some((false, "d".to_owned()))));
    assert_eq!(decide(roles(&["other"])), (false, None), "it would be denied either way");
    let without_deny = parse(
        &text.replace("name = \"d\"\nmethods = [\"/myapp.v1.UserService/*\"]", "name = \"d\"\nmethods = [\"/a.B/C\"]"),
    )
    .unwrap();
    let decision = without_deny.decide(&ask(GET, &HeaderMap::new(), None));
    assert_eq!((decision.code(), decision.dry_run().unwrap().rule()), (Code::Unauthenticated, Some("w")));
    assert!(policy.public().is_empty(), "what is not enforced makes nothing public");
}

#[test]
fn a_whole_policy_in_a_dry_run_lets_through_whoever_has_proven_who_they_are_and_nobody_else() {
    let policy = parse(&format!("dry_run = true\n{SEED}")).unwrap();
    let other = roles(&["other"]);
    let decision = policy.decide(&ask(GET, &HeaderMap::new(), other.as_ref()));
    assert!(decision.is_allowed() && decision.dry_run().is_some_and(|dry| !dry.is_allowed()));
    assert_eq!(code(&policy, GET, None), Code::Unauthenticated);
    assert_eq!(code(&policy, "GetUser", other.as_ref()), Code::PermissionDenied);
    assert_eq!(policy.decide(&ask(GET, &HeaderMap::new(), roles(&["admin"]).as_ref())).dry_run(), None);
}

#[test]
fn a_decision_is_audited_as_the_policy_wants() {
    for (audit, allowed, denied) in
        [("none", false, false), ("on-deny", false, true), ("on-allow", true, false), ("on-deny-and-allow", true, true)]
    {
        let policy = parse(&format!("audit = \"{audit}\"\n{SEED}")).unwrap();
        let is_audited = |role| policy.decide(&ask(GET, &HeaderMap::new(), roles(&[role]).as_ref())).is_audited();
        assert_eq!((is_audited("admin"), is_audited("other")), (allowed, denied), "{audit}");
    }
}

#[test]
fn a_decision_looks_at_the_rules_about_its_method_however_many_others_there_are() {
    let rows = |count| (0..count).map(|row| format!("\"/a.B{row}/C\" = [\"a\"]\n")).collect::<String>();
    for count in [10, 1000] {
        let policy = parse(&format!("[methods]\n{}{}", rows(count), SEED.replace("[methods]", ""))).unwrap();
        let rules = policy.rules.as_ref().unwrap();
        let considered = |effect| rules.about(Method::of_path(GET).unwrap(), effect).count();
        assert_eq!((considered(Effect::Allow), considered(Effect::Deny)), (1, 0), "{count}");
    }
}

proptest! {
    /// The index against a walk over all rules in the order of the document.
    #[test]
    fn the_index_decides_as_a_walk_over_all_rules_would(
        rules in prop::collection::vec((any::<bool>(), 0..7_usize, "[a-c]{1,2}"), 1..12),
        held in "[a-c]{1,2}",
        called in 0..4_usize,
    ) {
        const PATTERNS: [&str; 7] = ["/a.S/M", "/a.S/N", "/a.T/M", "/a.T/N", "/a.S/*", "/a.T/*", "/*"];
        let path = PATTERNS[called];
        let mut builder = MethodPolicy::builder()
            .allow(Rule::named("some").methods(["/x.Y/Z"]).caller(Caller::authenticated()));
        for (number, (is_deny, pattern, role)) in rules.iter().enumerate() {
            let rule = Rule::named(format!("r{number}")).methods([PATTERNS[*pattern]]);
            let rule = rule.caller(Caller::authenticated().roles([role.as_str()]));
            builder = if *is_deny { builder.deny(rule) } else { builder.allow(rule) };
        }
        let policy = MethodPolicy::from(builder).read().unwrap();
        let fits = |(_, pattern, role): &&(bool, usize, String)| {
            let pattern = PATTERNS[*pattern];
            let is_about = pattern == path || pattern.strip_suffix('*').is_some_and(|start| path.starts_with(start));
            is_about && *role == held
        };
        let is_denied = rules.iter().filter(|rule| rule.0).any(|rule| fits(&rule));
        let is_allowed = rules.iter().filter(|rule| !rule.0).any(|rule| fits(&rule));
        let found = policy.decide(&ask(path, &HeaderMap::new(), roles(&[&held]).as_ref()));
        prop_assert_eq!(found.is_allowed(), is_allowed && !is_denied);
        prop_assert_eq!(found.rule().is_some(), is_allowed || is_denied);
    }
}

#[test]
fn what_a_builder_is_given_again_is_added_and_replaces_nothing() {
    let caller = || Caller::authenticated().roles(["reader"]).roles(["admin"]);
    let rule = |name: &str, other: &str| Rule::named(name).methods([GET]).methods([other]).caller(caller());
    let code_of = |policy: &Policy, role: &str, method: &str| code(policy, method, roles(&[role]).as_ref());
    let allowing = MethodPolicy::from(MethodPolicy::builder().allow(rule("a", DELETE))).read().unwrap();
    let everybody = Rule::named("all").methods(["/*"]).caller(Caller::authenticated());
    let denying = MethodPolicy::builder().allow(everybody).deny(rule("d", DELETE));
    let denying = MethodPolicy::from(denying).read().unwrap();
    for (role, method) in [("reader", GET), ("reader", DELETE), ("admin", GET), ("admin", DELETE)] {
        assert_eq!(code_of(&allowing, role, method), Code::Ok, "{role} {method}");
        assert_eq!(code_of(&denying, role, method), Code::PermissionDenied, "{role} {method}");
    }
    assert_eq!(code_of(&allowing, "guest", GET), Code::PermissionDenied);
    assert_eq!(code_of(&denying, "guest", GET), Code::Ok);
}
