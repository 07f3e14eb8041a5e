//! Policies in files as a kubelet swaps them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evercert::auth::policy::{Policy, Supposed};
use evercert::auth::{Authorizer, MethodPolicy, Question};
use evercert_fixtures::{Files, KubeletVolume, wait};
use http::HeaderMap;

const GET: &str = "/myapp.v1.UserService/GetUser";
const WEB: &str = "spiffe://example.org/ns/web/sa/a";

/// A policy of this name, whose one rule is called as it is and allows this namespace.
fn policy(name: &str, namespace: &str) -> String {
    format!(
        "name = \"{name}\"\n[[allow]]\nname = \"rule of {name}\"\nmethods = [\"/myapp.v1.UserService/*\"]\n\
         callers = {{ trust_domains = [\"example.org\"], namespaces = [\"{namespace}\"] }}\n"
    )
}

fn is_allowed(policy: &Policy, id: &str) -> bool {
    policy.explain(&Supposed::call(GET).by_spiffe_id(&id.parse().unwrap())).decision().is_allowed()
}

fn wait_for(authorizer: &Authorizer, what: &str, mut is_so: impl FnMut(&Policy) -> bool) {
    wait::blocking(|| is_so(&authorizer.policy()).then_some(()), || what.to_owned());
}

#[test]
fn a_policy_that_is_swapped_decides_and_one_that_is_broken_leaves_the_last_good_one() {
    let volume = KubeletVolume::new(&Files::new().with("policy.toml", policy("a", "web")));
    let authorizer = MethodPolicy::file(volume.file("policy.toml")).build().unwrap();
    assert!(is_allowed(&authorizer.policy(), WEB));

    volume.swap(&Files::new().with("policy.toml", policy("b", "other")));
    wait_for(&authorizer, "the second policy decides", |policy| policy.name() == "b");
    assert!(!is_allowed(&authorizer.policy(), WEB));

    volume.swap(&Files::new().with("policy.toml", "[[allow]\n"));
    // It is read at the first look and told at the second, so after three it was read.
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        assert_eq!(authorizer.policy().name(), "b");
        thread::sleep(Duration::from_millis(50));
    }
    volume.swap(&Files::new().with("policy.toml", policy("c", "web")));
    wait_for(&authorizer, "the third policy decides", |policy| policy.name() == "c");
    assert!(is_allowed(&authorizer.policy(), WEB));
}

#[test]
fn a_document_that_is_included_is_followed_too() {
    let a43 = |principal: &str| {
        format!(
            r#"{{ "name": "mesh", "allow_rules": [{{ "name": "m", "source": {{ "principals": ["{principal}"] }} }}] }}"#
        )
    };
    let including = format!("include = [{{ file = \"mesh.json\" }}]\n{}", policy("a", "web"));
    let files = |principal| Files::new().with("policy.toml", &including).with("mesh.json", a43(principal));
    let volume = KubeletVolume::new(&files("spiffe://example.org/*"));
    let authorizer = MethodPolicy::file(volume.file("policy.toml")).build().unwrap();
    assert!(is_allowed(&authorizer.policy(), WEB));
    volume.swap(&files("spiffe://example.org/ns/other/*"));
    wait_for(&authorizer, "the included document closes", |policy| !is_allowed(policy, WEB));
    volume.swap(&files("*"));
    wait_for(&authorizer, "the included document opens", |policy| is_allowed(policy, WEB));
}

#[test]
fn every_decision_is_made_by_one_version_of_a_policy() {
    let public = |name: &str| {
        policy(name, "web")
            .replace("callers = { trust_domains = [\"example.org\"], namespaces = [\"web\"] }", "callers = \"anyone\"")
    };
    let volume = KubeletVolume::new(&Files::new().with("policy.toml", public("a")));
    let authorizer = MethodPolicy::file(volume.file("policy.toml")).build().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let deciding = scope.spawn(|| {
            let headers = HeaderMap::new();
            let question = Question { path: GET, headers: &headers, principal: None, is_tls: true };
            let mut seen = std::collections::BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let decision = authorizer.decide(&question);
                assert!(decision.is_allowed());
                assert_eq!(decision.rule().unwrap(), format!("rule of {}", decision.policy()));
                seen.insert(decision.policy().to_owned());
            }
            seen
        });
        for name in ["b", "c"] {
            volume.swap(&Files::new().with("policy.toml", public(name)));
            wait_for(&authorizer, "the next policy decides", |policy| policy.name() == name);
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = deciding.join().unwrap();
        assert!(seen.contains("a") && seen.contains("b"), "{seen:?}");
    });
}

#[test]
fn descriptors_as_protoc_writes_them_are_understood() {
    let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
    let policy = |method: &str| MethodPolicy::builder().method(method, ["a"]).checked_against(health).build();
    let error = policy("/grpc.health.v1.Health/Chek").unwrap_err().to_string();
    assert!(error.ends_with("did you mean /grpc.health.v1.Health/Check?"), "{error}");
    assert!(policy("/grpc.health.v1.Health/List").is_ok());
}
