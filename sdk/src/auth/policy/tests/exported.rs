//! What is told to Istio.

use super::*;

fn export(callers: &str, effect: &str) -> Result<String, String> {
    let allow = "[[allow]]\nname = \"all\"\nmethods = [\"/a.B/C\"]\ncallers = \"authenticated\"\n";
    let text =
        format!("{allow}[[{effect}]]\nname = \"r\"\nmethods = [\"/myapp.v1.UserService/*\"]\ncallers = {callers}\n");
    let resource = IstioResource { name: "x".to_owned(), ..IstioResource::default() };
    parse(&text).unwrap().to_istio(&resource).map_err(|error| error.to_string())
}

#[test]
fn what_istio_can_be_told_is_no_wider_than_the_policy() {
    let domain = "trust_domains = [\"example.org\"]";
    for (callers, expected) in [
        ("{ certificate = true }", &["principals:\n              - \"*\""][..]),
        ("{ token = true }", &["requestPrincipals:\n              - \"*\""]),
        ("{ spiffe_ids = [\"spiffe://example.org/ns/web/*\"] }", &["- \"example.org/ns/web/*\""]),
        (&format!("{{ {domain} }}"), &["- \"example.org/*\""]),
        (&format!("{{ {domain}, namespaces = [\"web\"] }}"), &["- \"example.org/ns/web/sa/*\""]),
        (
            &format!("{{ {domain}, spiffe_ids = [\"spiffe://a.org/x\", \"spiffe://example.org/x\"] }}"),
            &["principals:\n              - \"example.org/x\"\n      to"],
        ),
        (
            "{ request_principals = [\"https://a.org/*\"] }",
            &["- \"https://a.org/*\"", "key: \"request.auth.claims[iss]\""],
        ),
        (
            "{ when = [{ key = \"request.auth.claims[a][b]\", not_values = [\"x\"] }] }",
            &[
                "key: \"request.auth.claims[a][b]\"\n          notValues:\n            - \"x\"\n          values:\n            - \"*\"",
            ],
        ),
    ] {
        let text = export(callers, "allow").unwrap();
        for part in expected {
            assert!(text.contains(part), "{callers}\n{text}\n{part}");
        }
    }
}

#[test]
fn what_istio_cannot_be_told_is_an_error_that_names_the_rule() {
    for (callers, effect, expected) in [
        ("{ dns_names = [\"a.example.org\"] }", "allow", "Istio knows no DNS names"),
        ("{ roles = [\"a*\"] }", "allow", "which is a pattern in Istio"),
        (
            "{ when = [{ key = \"request.auth.claims[a]\", values = [\"x\"] }] }",
            "deny",
            "it denies by a claim or header",
        ),
        ("{ namespaces = [\"web\"] }", "deny", "it denies by SPIFFE IDs"),
        ("{ spiffe_ids = [\"spiffe://example.org/a\"] }", "deny", "it denies by SPIFFE IDs"),
        ("{ trust_domains = [\"example.org\"] }", "deny", "it denies by SPIFFE IDs"),
        ("{ when = [{ key = \"source.namespace\", values = [\"a\"] }] }", "deny", "it denies by SPIFFE IDs"),
        ("[\"intern\"]", "deny", "it denies by roles or scopes"),
        ("{ scopes = [\"trial\"] }", "deny", "it denies by roles or scopes"),
    ] {
        let error = export(callers, effect).unwrap_err();
        assert!(error.starts_with("rule \"r\" cannot be told to Istio: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn what_denies_by_a_tokens_subject_does_so_however_the_text_could_be_read() {
    let text = export("{ request_principals = [\"https://a.org/b/c\"] }", "deny").unwrap();
    let (denied, _) = text.split_once("---").unwrap();
    assert!(denied.contains("\"DENY\"") && denied.contains("- \"https://a.org/b/c\""), "{text}");
    assert!(!denied.contains("request.auth.claims[iss]"), "{text}");
}

#[test]
fn a_policy_that_is_a_dry_run_as_a_whole_is_not_told_since_it_holds_those_who_prove_nothing() {
    let policy = parse(&format!("dry_run = true\n{SEED}")).unwrap();
    let error = policy.to_istio(&IstioResource::default()).unwrap_err();
    assert!(matches!(error, NotExpressible::DryRun), "{error}");
}
