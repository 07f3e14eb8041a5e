//! Policies and the servers they are for.

use std::sync::Arc;

use evercert_fixtures::wait;
use parking_lot::Mutex;

use super::*;
use crate::auth::exemption::{HEALTH, Reflection};
use crate::telemetry::{Event, Recorder};

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Of a server with certificates alone.
const BY_CERTIFICATE: Setting =
    Setting { takes_tokens: false, takes_jwt_svids: false, takes_certificates: true, reflection: Reflection::Off };

const BY_TOKEN: Setting = Setting { takes_tokens: true, takes_certificates: false, ..BY_CERTIFICATE };

fn allowing(callers: &str) -> String {
    format!("[[allow]]\nname = \"a\"\nmethods = [\"/a.B/C\"]\ncallers = {callers}\n")
}

/// A policy of gRPC's own form that denies or allows a path.
fn a43(list: &str, path: &str) -> Result<Policy, InvalidPolicy> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.json");
    let rule = |name: &str, path: &str| json!([{ "name": name, "request": { "paths": [path] } }]);
    let mut document = json!({ "name": "p", "allow_rules": rule("all", "/a.B/*") });
    document[list] = rule("r", path);
    std::fs::write(&file, document.to_string()).unwrap();
    MethodPolicy::file(&file).read()
}

#[test]
fn what_a_policy_asks_for_has_to_be_there() {
    let id = "{ spiffe_ids = [\"spiffe://example.org/a\"] }";
    let namespace = "{ when = [{ key = \"source.namespace\", values = [\"a\"] }], trust_domains = [\"example.org\"] }";
    let svids = Setting { takes_jwt_svids: true, ..BY_TOKEN };
    for (callers, setting, expected) in [
        ("[\"admin\"]", BY_CERTIFICATE, Err(Contradiction::Tokens)),
        (
            "{ when = [{ key = \"request.auth.claims[a]\", values = [\"b\"] }] }",
            BY_CERTIFICATE,
            Err(Contradiction::Tokens),
        ),
        ("[\"admin\"]", BY_TOKEN, Ok(())),
        ("\"authenticated\"", BY_TOKEN, Ok(())),
        ("{ certificate = true }", BY_TOKEN, Err(Contradiction::Certificates)),
        (id, BY_TOKEN, Err(Contradiction::Certificates)),
        (namespace, BY_TOKEN, Err(Contradiction::Certificates)),
        ("{ dns_names = [\"a.example.org\"] }", svids, Err(Contradiction::Certificates)),
        (id, svids, Ok(())),
        (namespace, svids, Ok(())),
        (id, BY_CERTIFICATE, Ok(())),
    ] {
        assert_eq!(parse(&allowing(callers)).unwrap().fits(setting), expected, "{callers} {setting:?}");
    }
}

#[test]
fn each_pattern_that_may_be_about_reflection_needs_it() {
    for method in [REFLECTION, "/grpc.reflection.v1.ServerReflection/*", "/grpc.reflection.v1alpha.ServerReflection/*"]
    {
        let deny = format!("{}[[deny]]\nname = \"d\"\nmethods = [\"{method}\"]\n", allowing("\"anyone\""));
        assert_eq!(parse(&deny).unwrap().fits(BY_CERTIFICATE), Err(Contradiction::Reflection), "{method}");
    }
    for list in ["deny_rules", "allow_rules"] {
        for path in
            [REFLECTION, "/grpc.reflection.*", "/grpc.reflection.v1alpha.ServerReflection/*", "*/ServerReflectionInfo"]
        {
            let policy = a43(list, path).unwrap();
            assert_eq!(policy.fits(BY_CERTIFICATE), Err(Contradiction::Reflection), "{list} {path}");
            let by_policy = Setting { reflection: Reflection::ByPolicy, ..BY_CERTIFICATE };
            assert_eq!(policy.fits(by_policy), Ok(()), "{list} {path}");
        }
        for path in ["*", "/*", "/grpc.reflection.v1.Other/*", "/a.B/C", "*/C"] {
            assert_eq!(a43(list, path).unwrap().fits(BY_CERTIFICATE), Ok(()), "{list} {path}");
        }
    }
    assert_eq!(MethodPolicy::any_authenticated().read().unwrap().fits(BY_CERTIFICATE), Ok(()));
}

#[test]
fn a_rule_about_health_checks_is_an_error_since_no_policy_is_asked_about_them() {
    for method in [HEALTH[0], HEALTH[1], "/grpc.health.v1.Health/*"] {
        let deny = format!("{}[[deny]]\nname = \"d\"\nmethods = [\"{method}\"]\n", allowing("\"anyone\""));
        for text in [deny, format!("[methods]\n\"{method}\" = [\"admin\"]\n")] {
            let error = error(&text);
            assert!(error.contains("health checks are answered whoever asks") && error.contains(method), "{error}");
            assert!(error.starts_with(char::is_numeric), "{error}");
        }
    }
    assert!(parse(&allowing("\"anyone\"").replace("/a.B/C", "/*")).is_ok());
    for path in [HEALTH[0], "/grpc.health.*", "/grpc.health.v1.Health/*", "*/Watch"] {
        let error = a43("deny_rules", path).unwrap_err().to_string();
        assert!(error.contains("health checks are answered whoever asks") && error.contains(path), "{error}");
        assert!(a43("allow_rules", path).is_ok(), "{path}");
    }
    for path in ["*", "/*", "/grpc.health.v1.Health/List", "/grpc.health.v1.HealthX/*"] {
        assert!(a43("deny_rules", path).is_ok(), "{path}");
    }
}

#[test]
fn what_is_exempt_is_explained_as_such() {
    let denied =
        format!("{}[[deny]]\nname = \"d\"\nmethods = [\"/*\"]\ncallers = \"authenticated\"\n", allowing("\"anyone\""));
    let policy = parse(&denied).unwrap();
    let id = "spiffe://example.org/a".parse().unwrap();
    for method in HEALTH {
        let explanation = policy.explain(&Supposed::call(method).by_spiffe_id(&id));
        assert!(explanation.decision().is_allowed() && explanation.is_exempt(), "{method}");
        assert!(explanation.exemption().unwrap().starts_with("health checks are answered whoever asks"));
    }
    let explanation = policy.explain(&Supposed::call(REFLECTION).by_spiffe_id(&id));
    assert!(!explanation.decision().is_allowed() && !explanation.is_exempt());
    assert!(explanation.exemption().unwrap().contains("Reflection::ByPolicy"));
    assert_eq!(policy.explain(&Supposed::call(GET)).exemption(), None);
}

/// Whether each reading of a file could be used.
#[derive(Default)]
struct Readings(Mutex<Vec<bool>>);

impl Recorder for Readings {
    fn record(&self, event: &Event<'_>) {
        if let Event::Reloaded { is_used, .. } = event {
            self.0.lock().push(*is_used);
        }
    }
}

#[test]
fn a_policy_that_does_not_go_with_its_server_leaves_the_last_good_one_when_it_is_read_again() {
    let good = allowing("\"anyone\"");
    let reflecting = good.replace("/a.B/C", REFLECTION);
    let by_id = allowing("{ spiffe_ids = [\"spiffe://example.org/a\"] }");
    for (setting, next) in [(BY_CERTIFICATE, allowing("[\"admin\"]")), (BY_CERTIFICATE, reflecting), (BY_TOKEN, by_id)]
    {
        let (_directory, path) = file(&good);
        let authorizer = MethodPolicy::file(&path).build_for(Setting { takes_certificates: true, ..setting }).unwrap();
        if !setting.takes_certificates {
            authorizer.without_certificates().unwrap();
        }
        let readings = Arc::new(Readings::default());
        authorizer.record_to(readings.clone());
        std::fs::write(&path, &next).unwrap();
        wait::blocking(|| (*readings.0.lock() == [false]).then_some(()), || format!("it is refused: {next}"));
        assert_eq!(authorizer.policy().public().len(), 1, "{next}");
        std::fs::write(&path, good.replace("/a.B/C", "/a.B/D")).unwrap();
        wait::blocking(|| (*readings.0.lock() == [false, true]).then_some(()), || "one that goes is used".to_owned());
    }
}

#[test]
fn one_that_does_not_go_with_its_server_is_an_error_at_start() {
    let (_directory, path) = file(&allowing("[\"admin\"]"));
    let built = MethodPolicy::file(&path).build_for(BY_CERTIFICATE);
    assert!(matches!(built, Err(InvalidPolicy::Contradiction(Contradiction::Tokens))));
    let built = MethodPolicy::text(allowing("[\"admin\"]")).build_for(BY_CERTIFICATE);
    assert!(matches!(built, Err(InvalidPolicy::Contradiction(Contradiction::Tokens))));
    let by_id = MethodPolicy::text(allowing("{ trust_domains = [\"example.org\"] }"))
        .build_for(Setting { takes_certificates: true, ..BY_TOKEN });
    assert_eq!(by_id.unwrap().without_certificates(), Err(Contradiction::Certificates));
}

#[test]
fn a_rule_of_grpcs_own_form_that_fits_callers_without_a_certificate_is_public() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let rule = |name: &str, principals: &[&str]| json!({ "name": name, "source": { "principals": principals } });
    let rules = [rule("all", &[]), rule("empty", &["spiffe://example.org/a", ""]), rule("known", &["*"])];
    std::fs::write(&path, json!({ "name": "p", "allow_rules": rules }).to_string()).unwrap();
    let policy = MethodPolicy::file(&path).read().unwrap();
    let public: Vec<_> = policy.public().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(public, ["p_all", "p_empty"]);
    assert_eq!(code(&policy, GET, None), Code::Ok);
}

#[test]
fn a_denial_that_is_escaped_by_showing_less_is_told() {
    let policy = |allow: &str, deny: &str| {
        parse(&format!("{}[[deny]]\nname = \"d\"\nmethods = [\"/*\"]\ncallers = {deny}\n", allowing(allow))).unwrap()
    };
    let (certificate, token) = ("{ dns_names = [\"a.example.org\"] }", "[\"intern\"]");
    let id = "{ spiffe_ids = [\"spiffe://example.org/a\"] }";
    let not = |key: &str| format!("{{ when = [{{ key = \"{key}\", not_values = [\"web\"] }}] }}");
    for (allow, deny, expected) in [
        ("\"authenticated\"", certificate, Some("by what a certificate says")),
        ("[\"admin\"]", certificate, Some("by what a certificate says")),
        ("[\"admin\"]", id, Some("by what a certificate says")),
        (id, token, Some("by what a token says")),
        ("[\"admin\", { certificate = true }]", token, Some("by what a token says")),
        ("\"anyone\"", "\"authenticated\"", Some("who have proven who they are")),
        (id, certificate, None),
        ("{ certificate = true, roles = [\"admin\"] }", certificate, None),
        ("[\"admin\"]", token, None),
        (id, "\"authenticated\"", None),
        ("[\"admin\"]", &not("source.namespace"), None),
        (id, &not("request.auth.claims[a]"), None),
        (id, "{ when = [{ key = \"request.headers[x]\", values = [\"y\"] }] }", None),
    ] {
        let policy = policy(allow, deny);
        let found = policy.escapes().first().map(ToString::to_string);
        assert_eq!(found.is_some(), expected.is_some(), "{allow} {deny} {found:?}");
        assert!(found.is_none_or(|found| found.contains(expected.unwrap())), "{allow} {deny}");
    }
    let elsewhere = format!(
        "{}[[deny]]\nname = \"d\"\nmethods = [\"/a.B/D\", \"/x.Y/*\"]\ncallers = {certificate}\n",
        allowing("[\"admin\"]")
    );
    assert!(parse(&elsewhere).unwrap().escapes().is_empty(), "it is about other methods");
    let dry = policy("\"authenticated\"", &format!("{certificate}\ndry_run = true"));
    assert!(dry.escapes().is_empty());
}
