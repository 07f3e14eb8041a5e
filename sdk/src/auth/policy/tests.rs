mod callers;
mod documents;
mod exported;
mod faults;
mod settings;
mod yaml;

use std::path::PathBuf;
use std::time::SystemTime;

use evercert_fixtures::{Authority, Leaf};
use http::HeaderMap;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::auth::claims::Claims;
use crate::auth::principal::Principal;
use crate::peer::PeerIdentity;

const GET: &str = "/myapp.v1.UserService/GetUser";
const DELETE: &str = "/myapp.v1.UserService/DeleteUser";
const EXPORT: &str = "/myapp.v1.DataService/Export";

/// The guide's table.
const SEED: &str = r#"
[methods]
"/myapp.v1.UserService/GetUser"    = ["user:read", "admin"]
"/myapp.v1.UserService/DeleteUser" = ["admin"]
"/myapp.v1.DataService/*"          = ["data:export", "admin"]
"#;

fn certificate(leaf: Leaf) -> PeerIdentity {
    let issued = Authority::new("root").issue(leaf);
    PeerIdentity::of_chain(&[CertificateDer::from(issued.leaf_der)]).unwrap()
}

fn workload(id: &str) -> Option<PeerIdentity> {
    Some(certificate(Leaf::for_dns("a.example.org").uri(id)))
}

fn claims(all: &Value) -> Option<Claims> {
    let text = |name: &str| all[name].as_str().unwrap_or_default().to_owned();
    let (issuer, subject) = (text("iss"), text("sub"));
    let all = all.as_object().unwrap().clone();
    Some(Claims::verified(issuer, subject, SystemTime::UNIX_EPOCH, None, all))
}

fn roles(roles: &[&str]) -> Option<Principal> {
    Principal::new(None, claims(&json!({ "iss": "https://issuer.example.org", "sub": "a", "roles": roles })))
}

fn ask<'a>(path: &'a str, headers: &'a HeaderMap, principal: Option<&'a Principal>) -> Question<'a> {
    Question { path, headers, principal, is_tls: true }
}

fn code(policy: &Policy, path: &str, principal: Option<&Principal>) -> Code {
    policy.decide(&ask(path, &HeaderMap::new(), principal)).code()
}

fn set(services: &[(&str, &[&str])]) -> Vec<u8> {
    let service = |(name, methods): &(&str, &[&str])| ServiceDescriptorProto {
        name: Some((*name).to_owned()),
        method: methods
            .iter()
            .map(|name| MethodDescriptorProto { name: Some((*name).to_owned()), ..MethodDescriptorProto::default() })
            .collect(),
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("myapp.v1".to_owned()),
        service: services.iter().map(service).collect(),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn known() -> Vec<u8> {
    set(&[("UserService", &["GetUser", "DeleteUser", "ListUsers"]), ("DataService", &["Export"])])
}

/// A policy in a file of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn parse(text: &str) -> Result<Policy, InvalidPolicy> {
    let (_directory, path) = file(text);
    MethodPolicy::file(path).read()
}

/// The error of a text, without the name of its file.
fn error(text: &str) -> String {
    let (_directory, path) = file(text);
    let error = MethodPolicy::file(&path).checked_against(&known()).read().unwrap_err().to_string();
    error.replace(&format!("{}:", path.display()), "")
}

#[test]
fn the_table_of_the_guide_decides_by_roles_in_toml_as_in_rust() {
    let written = MethodPolicy::builder()
        .method(GET, ["user:read", "admin"])
        .method(DELETE, ["admin"])
        .method("/myapp.v1.DataService/*", ["data:export", "admin"]);
    let policies = [parse(SEED).unwrap(), MethodPolicy::from(written).read().unwrap()];
    for policy in &policies {
        for (path, roles_of, expected) in [
            (GET, &["user:read"][..], Code::Ok),
            (GET, &["other", "admin"], Code::Ok),
            (GET, &["data:export"], Code::PermissionDenied),
            (GET, &[], Code::PermissionDenied),
            (DELETE, &["user:read"], Code::PermissionDenied),
            (DELETE, &["admin"], Code::Ok),
            (EXPORT, &["data:export"], Code::Ok),
            ("/myapp.v1.UserService/ListUsers", &["admin"], Code::PermissionDenied),
            ("/myapp.v1.DataServices/Export", &["admin"], Code::PermissionDenied),
        ] {
            assert_eq!(code(policy, path, roles(roles_of).as_ref()), expected, "{path} {roles_of:?}");
        }
        let decision = policy.decide(&ask(GET, &HeaderMap::new(), roles(&["admin"]).as_ref()));
        assert_eq!((decision.policy(), decision.rule()), ("policy", Some(GET)));
    }
}

#[test]
fn a_path_of_any_other_form_is_denied_to_everybody() {
    let everything = MethodPolicy::any_authenticated().read().unwrap();
    let admin = roles(&["admin"]);
    assert_eq!(code(&everything, GET, admin.as_ref()), Code::Ok);
    for path in [
        "myapp.v1.UserService/GetUser",
        "//myapp.v1.UserService/GetUser",
        "/myapp.v1.UserService//GetUser",
        "/myapp.v1.UserService/GetUser/",
        "/myapp.v1.UserService/Get%55ser",
        "/myapp.v1.UserService/*",
        "/*",
        "*",
        "",
    ] {
        assert_eq!(code(&everything, path, admin.as_ref()), Code::PermissionDenied, "{path}");
        assert_eq!(code(&everything, path, None), Code::Unauthenticated, "{path}");
    }
    let table = parse(SEED).unwrap();
    assert_eq!(code(&table, "/myapp.v1.userservice/GetUser", admin.as_ref()), Code::PermissionDenied);
}

#[test]
fn what_could_be_brought_is_unauthenticated_and_what_is_wrong_is_denied() {
    let policy = parse(
        r#"
        [[allow]]
        name = "both"
        methods = ["/myapp.v1.UserService/GetUser"]
        callers = { spiffe_ids = ["spiffe://example.org/ns/web/sa/gateway"], roles = ["admin"], certificate = true }
        [[allow]]
        name = "either"
        methods = ["/myapp.v1.DataService/Export"]
        callers = ["admin", { spiffe_ids = ["spiffe://example.org/ns/web/*"] }]
        "#,
    )
    .unwrap();
    let admin = || claims(&json!({ "iss": "i", "sub": "s", "roles": ["admin"] }));
    let user = || claims(&json!({ "iss": "i", "sub": "s", "roles": ["user"] }));
    let gateway = || workload("spiffe://example.org/ns/web/sa/gateway");
    let other = || workload("spiffe://example.org/ns/webs/sa/gateway");
    for (certificate, claims, both, either) in [
        (None, None, Code::Unauthenticated, Code::Unauthenticated),
        (gateway(), None, Code::Unauthenticated, Code::Ok),
        (None, admin(), Code::Unauthenticated, Code::Ok),
        (None, user(), Code::PermissionDenied, Code::Unauthenticated),
        (gateway(), user(), Code::PermissionDenied, Code::Ok),
        (other(), admin(), Code::PermissionDenied, Code::Ok),
        (other(), None, Code::PermissionDenied, Code::Unauthenticated),
        (other(), user(), Code::PermissionDenied, Code::PermissionDenied),
        (gateway(), admin(), Code::Ok, Code::Ok),
    ] {
        let principal = Principal::new(certificate, claims);
        assert_eq!(code(&policy, GET, principal.as_ref()), both, "both: {principal:?}");
        assert_eq!(code(&policy, EXPORT, principal.as_ref()), either, "either: {principal:?}");
        assert_ne!(code(&policy, DELETE, principal.as_ref()), Code::Ok);
    }
}

#[test]
fn a_method_that_does_not_exist_is_an_error_with_the_nearest_real_one_and_one_without_a_rule_is_listed() {
    let text = r#"
[methods]
"/myapp.v1.UserService/GetUsr" = ["admin"]
"/myapp.v1.UserServices/*" = ["admin"]
"/other.Thing/Do" = ["admin"]
"/grpc.health.v1.Health/List" = ["admin"]
"#;
    let found = error(text);
    for part in [
        r#"3:1: rule "/myapp.v1.UserService/GetUsr": there is no method /myapp.v1.UserService/GetUsr in the descriptors; did you mean /myapp.v1.UserService/GetUser?"#,
        r#"4:1: rule "/myapp.v1.UserServices/*": there is no service myapp.v1.UserServices in the descriptors; did you mean myapp.v1.UserService?"#,
        "there is no method /other.Thing/Do in the descriptors; write one that is there",
    ] {
        assert!(found.contains(part), "{found}");
    }
    assert!(!found.contains("Health"), "{found}");
    let (_directory, path) = file(SEED);
    let policy = MethodPolicy::file(path).checked_against(&known()).read().unwrap();
    assert_eq!(policy.unruled().unwrap(), ["/myapp.v1.UserService/ListUsers"]);
    assert_eq!(parse(SEED).unwrap().unruled(), None);
    let apart = [set(&[("UserService", &["GetUser", "DeleteUser"])]), set(&[("DataService", &["Export"])])];
    let policy = apart.iter().fold(MethodPolicy::file(file(SEED).1), |policy, set| policy.checked_against(set));
    assert!(policy.read().is_err(), "its directory is gone");
    assert!(MethodPolicy::any_authenticated().checked_against(b"\xff").build().is_err());
}

#[test]
fn a_methods_own_row_of_the_table_stands_in_place_of_its_services() {
    let text =
        "[methods]\n\"/myapp.v1.UserService/*\" = \"anyone\"\n\"/myapp.v1.UserService/DeleteUser\" = [\"admin\"]\n";
    let policy = parse(text).unwrap();
    assert_eq!(code(&policy, GET, None), Code::Ok);
    assert_eq!(code(&policy, DELETE, None), Code::Unauthenticated);
    assert_eq!(code(&policy, DELETE, roles(&["user"]).as_ref()), Code::PermissionDenied);
    assert_eq!(code(&policy, DELETE, roles(&["admin"]).as_ref()), Code::Ok);
    let resource = IstioResource { name: "x".to_owned(), ..IstioResource::default() };
    let exported = policy.to_istio(&resource).unwrap();
    let not_paths = "notPaths:\n              - \"/myapp.v1.UserService/DeleteUser\"\n            paths:\n              - \"/myapp.v1.UserService/*\"";
    assert!(exported.contains(not_paths), "{exported}");
    let rule = "[[allow]]\nname = \"a\"\nmethods = [\"/myapp.v1.UserService/*\"]\ncallers = [\"root\"]\n";
    let policy = parse(&format!("{text}{rule}")).unwrap();
    assert_eq!(code(&policy, DELETE, roles(&["root"]).as_ref()), Code::Ok, "a rule with a name allows besides");
}
