//! The program, by what it prints and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use evercert_fixtures::{Authority, Leaf};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use tempfile::TempDir;

const POLICY: &str = r#"
name = "users"

[methods]
"/myapp.v1.UserService/GetUser" = ["user:read", "admin"]
"/myapp.v1.UserService/GetStatus" = "anyone"

[[allow]]
name = "gateway"
methods = ["/myapp.v1.UserService/DeleteUser"]
callers = { spiffe_ids = ["spiffe://example.org/ns/web/sa/gateway"], roles = ["admin"] }

[[deny]]
name = "not-from-tests"
methods = ["/*"]
callers = { namespaces = ["test"] }
dry_run = true
"#;

struct Home(TempDir);

impl Home {
    fn with(policy: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write("policy.toml", policy);
        let method = |name: &str| MethodDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
        let service = ServiceDescriptorProto {
            name: Some("UserService".to_owned()),
            method: ["GetUser", "DeleteUser", "ListUsers", "GetStatus"].map(method).into(),
            ..Default::default()
        };
        let file =
            FileDescriptorProto { package: Some("myapp.v1".to_owned()), service: vec![service], ..Default::default() };
        home.write("api.binpb", FileDescriptorSet { file: vec![file] }.encode_to_vec());
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// The exit status, stdout and stderr, without the name of the directory.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evercert-policy"));
        let output = command.current_dir(self.0.path()).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn a_check_says_what_an_operator_has_to_know() {
    let home = Home::with(POLICY);
    let expected = "policy \"users\": 4 rules\n\
        1 method has no rule, so that nobody may call:\n  \
          /myapp.v1.UserService/ListUsers\n\
        public, without a proof of who calls:\n  \
          /myapp.v1.UserService/GetStatus by rule \"/myapp.v1.UserService/GetStatus\"\n\
        told and not enforced, as a dry run:\n  \
          \"not-from-tests\"\n";
    let checked = home.run(&["check", "policy.toml", "--descriptors", "api.binpb"]);
    assert_eq!(checked, (0, expected.to_owned(), String::new()));
    let (status, out, _) = home.run(&["check", "policy.toml"]);
    assert_eq!(status, 0);
    assert!(out.contains("names of methods are not checked: no --descriptors were given\n"), "{out}");
}

#[test]
fn a_policy_in_yaml_is_checked_as_one_in_toml_is() {
    let home = Home::with(POLICY);
    let yaml = r#"name: users
methods:
  /myapp.v1.UserService/GetUser: [user:read, admin]
  /myapp.v1.UserService/GetStatus: anyone
allow:
  - name: gateway
    methods: [/myapp.v1.UserService/DeleteUser]
    callers: { spiffe_ids: ["spiffe://example.org/ns/web/sa/gateway"], roles: [admin] }
deny:
  - { name: not-from-tests, methods: ["/*"], callers: { namespaces: [test] }, dry_run: true }
"#;
    for name in ["x.yaml", "x.yml"] {
        home.write(name, yaml);
        let check = |file| home.run(&["check", file, "--descriptors", "api.binpb"]);
        assert_eq!(check(name), check("policy.toml"));
        home.write(name, yaml.replace("/GetUser", "/GetUsr"));
        let (status, out, err) = check(name);
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.starts_with(&format!("evercert-policy: {name}:3:3: ")) && err.contains("/GetUser?"), "{err}");
    }
}

#[test]
fn a_check_says_which_denials_are_escaped_by_showing_less() {
    let home = Home::with(&POLICY.replace("dry_run = true", ""));
    let (status, out, _) = home.run(&["check", "policy.toml"]);
    let expected = "denials that callers can escape by showing less:\n  rule \"not-from-tests\" denies by what a certificate says, and rule \
        \"/myapp.v1.UserService/GetStatus\" allows to callers who show none; unless the server requires client certificates, add \
        `certificate = true` there\n";
    assert!(status == 0 && out.contains(expected), "{out}");
}

#[test]
fn a_method_that_no_server_asks_about_is_explained_as_exempt() {
    let home = Home::with(POLICY);
    let (status, out, _) = home.run(&["check", "policy.toml", "--method", "/grpc.health.v1.Health/Check"]);
    assert_eq!(
        (status, out.as_str()),
        (0, "health checks are answered whoever asks, and no policy is asked about them\n")
    );
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let (status, out, _) = home.run(&["check", "policy.toml", "--method", reflection]);
    assert_eq!(status, 1);
    assert!(out.starts_with("a server asks the policy about reflection where it has Reflection::ByPolicy;"), "{out}");
}

#[test]
fn every_fault_is_on_a_line_of_its_own_with_its_place_and_what_was_meant() {
    let home = Home::with(&POLICY.replace("/GetUser", "/GetUsr").replace("/DeleteUser", "/RemoveUser"));
    let (status, out, err) = home.run(&["check", "policy.toml", "--descriptors", "api.binpb"]);
    assert_eq!((status, out.as_str()), (1, ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    let unknown = "there is no method /myapp.v1.UserService/GetUsr in the descriptors; did you mean /myapp.v1.UserService/GetUser?";
    assert!(lines[0].starts_with("evercert-policy: policy.toml:5:1: ") && lines[0].ends_with(unknown), "{err}");
    assert!(lines[1].starts_with("evercert-policy: policy.toml:9:8: rule \"gateway\": there is no method"), "{err}");
}

#[test]
fn a_decision_is_explained_by_each_rule_about_the_method() {
    let home = Home::with(POLICY);
    home.write("claims.json", r#"{ "iss": "https://issuer.example.org", "sub": "a", "roles": ["admin"] }"#);
    let delete = ["--method", "/myapp.v1.UserService/DeleteUser"];
    let gateway = ["--as", "spiffe://example.org/ns/web/sa/gateway"];
    let check = |more: &[&[&str]]| home.run(&[&["check", "policy.toml"], more.concat().as_slice()].concat());

    let (status, out, _) = check(&[&delete, &gateway]);
    assert_eq!(status, 1);
    let denied = "denied with UNAUTHENTICATED, by no rule of policy \"users\"\n  \
        rule \"not-from-tests\", which denies, does not fit: the namespace has to be \"test\", which is not enforced: a dry run\n  \
        rule \"gateway\", which allows, does not fit: there is not a token, and the role has to be \"admin\", in the claim roles\n";
    assert_eq!(out, denied);

    let (status, out, _) = check(&[&delete, &gateway, &["--claims", "claims.json"]]);
    assert_eq!(status, 0);
    assert!(out.starts_with("allowed, by rule \"gateway\" of policy \"users\"\n"), "{out}");

    let test = ["--as", "spiffe://example.org/ns/test/sa/a"];
    let (status, out, _) = check(&[&["--method", "/myapp.v1.UserService/GetStatus"], &test]);
    assert_eq!(status, 0);
    let but = "but for a dry run it would be denied, by rule \"not-from-tests\" of policy \"users\"\n";
    assert!(out.contains(but), "{out}");

    let (status, out, _) = check(&[&["--method", "myapp.v1.UserService/GetUser"]]);
    assert_eq!((status, out.lines().count()), (1, 2));
    assert!(out.ends_with("  no rule is about this method\n"), "{out}");
}

#[test]
fn a_caller_whom_no_server_would_take_is_refused() {
    let home = Home::with(POLICY);
    let get = ["check", "policy.toml", "--method", "/myapp.v1.UserService/GetUser"];
    let (status, _, err) = home.run(&[&get[..], &["--as", "spiffe://example.org"]].concat());
    assert!(status == 2 && err.contains("it has no path"), "{status} {err}");
    let by_claims = |claims: &str, more: &[&str]| {
        home.write("claims.json", claims);
        home.run(&[&get[..], &["--claims", "claims.json"], more].concat())
    };
    for (claims, more, expected) in [
        (
            r#"{ "iss": "i", "sub": "s", "roles": ["user"], "roles": ["admin"] }"#,
            &[][..],
            "a name is twice in one object",
        ),
        (r#"{ "sub": "s", "roles": ["admin"] }"#, &[], "its claim `iss` is no text"),
        (r#"{ "iss": "i", "roles": ["admin"] }"#, &[], "its claim `sub` is no text of a subject"),
        (r#"{ "iss": "i", "sub": "", "roles": ["admin"] }"#, &[], "its claim `sub` is no text of a subject"),
        (r#"{ "iss": "i", "sub": "s" }"#, &["--jwt-svid"], "its claim `sub` is no SPIFFE ID with a path"),
        (
            r#"{ "iss": "i", "sub": "spiffe://example.org" }"#,
            &["--jwt-svid"],
            "its claim `sub` is no SPIFFE ID with a path",
        ),
    ] {
        let (status, out, err) = by_claims(claims, more);
        assert_eq!((status, out.as_str()), (1, ""), "{claims}");
        assert!(err.starts_with("evercert-policy: claims.json: ") && err.contains(expected), "{err}");
    }
    assert_eq!(by_claims(r#"{ "iss": "i", "sub": "s", "roles": ["admin"] }"#, &[]).0, 0);
    assert_eq!(by_claims(r#"{ "sub": "spiffe://example.org/a", "roles": ["admin"] }"#, &["--jwt-svid"]).0, 0);
}

#[test]
fn a_certificate_is_read_as_pem_and_as_der() {
    let home = Home::with(POLICY);
    home.write("claims.json", r#"{ "iss": "i", "sub": "a", "roles": "admin" }"#);
    let leaf = Leaf::for_dns("gateway.example.org").uri("spiffe://example.org/ns/web/sa/gateway");
    let issued = Authority::new("root").issue(leaf);
    home.write("leaf.der", &issued.leaf_der);
    home.write("leaf.pem", &issued.chain_pem);
    for (file, expected) in [("leaf.pem", 0), ("leaf.der", 0), ("claims.json", 1)] {
        let (status, out, err) = home.run(&[
            "check",
            "policy.toml",
            "--method",
            "/myapp.v1.UserService/DeleteUser",
            "--claims",
            "claims.json",
            "--certificate",
            file,
        ]);
        assert_eq!(status, expected, "{file}: {out}{err}");
    }
}

#[test]
fn arguments_that_make_no_sense_end_in_two_and_help_teaches_by_examples() {
    let home = Home::with(POLICY);
    assert_eq!(home.run(&["check", "policy.toml", "--as", "spiffe://example.org/a"]).0, 2);
    assert_eq!(home.run(&["check", "policy.toml", "--method", "/a/B", "--as", "alice"]).0, 2);
    assert_eq!(home.run(&["check"]).0, 2);
    let (status, out, _) = home.run(&["--help"]);
    assert!(status == 0 && out.contains("evercert-policy check policy.toml --descriptors"), "{out}");
    let (status, _, err) = home.run(&["check", "missing.toml"]);
    assert_eq!(status, 1);
    assert!(err.starts_with("evercert-policy: missing.toml: cannot be read: "), "{err}");
}

#[test]
fn an_export_says_the_same_to_istio_and_names_the_rule_that_cannot_be_told() {
    let home = Home::with(POLICY);
    let (status, out, err) =
        home.run(&["export", "istio", "policy.toml", "--namespace", "web", "--label", "app=users"]);
    assert_eq!(
        (status, err.as_str()),
        (
            1,
            "evercert-policy: rule \"not-from-tests\" cannot be told to Istio: it denies by SPIFFE IDs, which are those of JWT-SVIDs too, and \
             those that are in doubt; Istio knows the one in a certificate alone. Name those who are allowed instead\n"
        ),
        "{out}"
    );
    home.write(
        "policy.toml",
        POLICY.replace("namespaces = [\"test\"]", "request_principals = [\"https://test.example.org/*\"]"),
    );
    let (status, out, err) =
        home.run(&["export", "istio", "policy.toml", "--namespace", "web", "--label", "app=users"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, include_str!("istio.yaml"), "{out}");
}
