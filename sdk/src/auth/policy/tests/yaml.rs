//! Policies in YAML.

use proptest::prelude::*;

use super::*;

/// The same in both languages, with all that a document may say.
const TOML: &str = r#"
name = "users"
audit = "on-deny"

[claims]
roles = "realm_access.roles"
scopes = "scope"

[methods]
"/myapp.v1.UserService/GetUser" = ["user:read", "admin"]
"/myapp.v1.UserService/DeleteUser" = ["admin", { scopes = ["users:delete"], spiffe_ids = ["spiffe://example.org/ns/web/*"] }]
"/myapp.v1.Status/Get" = "anyone"

[[allow]]
name = "gateway"
methods = ["/myapp.v1.DataService/*"]
callers = { certificate = true, trust_domains = ["example.org"], when = [{ key = "request.headers[x-env]", not_values = ["1"] }] }

[[deny]]
name = "not-from-tests"
methods = ["/*"]
callers = { namespaces = ["test"] }

[[deny]]
name = "told"
methods = ["/myapp.v1.UserService/*"]
dry_run = true
"#;

const YAML: &str = r#"
# A comment.
name: users
audit: on-deny
claims:
  roles: realm_access.roles
  scopes: scope
methods:
  /myapp.v1.UserService/GetUser: [user:read, admin]
  /myapp.v1.UserService/DeleteUser:
    - admin
    - scopes: [users:delete]
      spiffe_ids: ["spiffe://example.org/ns/web/*"]
  "/myapp.v1.Status/Get": 'anyone'
allow:
  - name: gateway
    methods: [ "/myapp.v1.DataService/*" ]
    callers:
      certificate: true
      trust_domains:
      - example.org
      when: [{ key: "request.headers[x-env]", not_values: ["1"] }]
deny:
- name: not-from-tests
  methods: ["/*"]
  callers: { namespaces: [test] }
- { name: told, methods: [/myapp.v1.UserService/*], dry_run: true }
"#;

fn yaml(text: &str) -> Result<Policy, InvalidPolicy> {
    MethodPolicy::yaml(text).read()
}

/// What is wrong with a text, which is refused.
fn fault(text: &str) -> String {
    yaml(text).expect_err("it is refused").to_string()
}

#[test]
fn a_policy_decides_alike_in_both_languages() {
    let (toml, yaml) = (parse(TOML).unwrap(), yaml(YAML).unwrap());
    assert_eq!((toml.name(), toml.rule_count()), (yaml.name(), yaml.rule_count()));
    let token = |roles: &[&str], scope: &str| {
        claims(&json!({ "iss": "i", "sub": "s", "realm_access": { "roles": roles }, "scope": scope }))
    };
    let peers =
        ["spiffe://example.org/ns/web/sa/a", "spiffe://example.org/ns/test/sa/a", "spiffe://other.org/ns/web/sa/a"];
    let mut decided = [0, 0];
    for path in [GET, DELETE, EXPORT, "/myapp.v1.Status/Get", "/myapp.v1.Status/Set", "/*"] {
        for peer in peers.map(Some).into_iter().chain([None]) {
            for claims in
                [None, token(&["admin"], ""), token(&["user:read"], "users:delete"), token(&[], "users:delete")]
            {
                let principal = Principal::new(peer.and_then(workload), claims);
                for header in [None, Some("1"), Some("2")] {
                    let headers = header.into_iter().map(|value| ("x-env".parse().unwrap(), value.parse().unwrap()));
                    let headers: HeaderMap = headers.collect();
                    let question = ask(path, &headers, principal.as_ref());
                    let (one, other) = (toml.decide(&question), yaml.decide(&question));
                    assert_eq!(format!("{one:?}"), format!("{other:?}"), "{question:?}");
                    decided[usize::from(one.is_allowed())] += 1;
                }
            }
        }
    }
    assert!(decided.iter().all(|count| *count > 20), "{decided:?}");
}

#[test]
fn what_is_written_wrong_is_refused_with_its_place() {
    for (text, error) in [
        ("method: {}\n", "line 1, column 1: unknown key `method`; did you mean `methods`?"),
        ("methods:\n  /a.B/C: admin\n", "line 2, column 11: `methods`: expected a list of roles, a table"),
        ("methods:\n  /a.B/C: []\n", "line 2, column 11: rule \"/a.B/C\": `callers` is empty"),
        ("methods:\n  /a.B/C: [1]\n", "line 2, column 12: it may be a text, a number"),
        ("methods:\n  /a.B/C: [a]\n  /a.B/C: [b]\n", "line 3, column 3: duplicate key"),
        ("methods:\n  /a.B/C: [a]\n  \"\\x2fa.B/C\": [b]\n", "line 3, column 3: duplicate key"),
        ("methods: {}\nmethods: {}\n", "line 2, column 1: duplicate key"),
        ("methods:\n  /a.B/C: [{ roles: [a], roles: [b] }]\n", "line 2, column 26: duplicate key"),
        ("allow:\n  name: a\n", "line 2, column 3: `allow`: expected a list"),
        ("[a]", "line 1, column 1: expected a table"),
        ("a", "line 1, column 1: expected a table"),
        ("", "line 1, column 1: no rule allows anything"),
        ("# nothing\n", "line 1, column 1: no rule allows anything"),
        ("---\n", "there is no value"),
        ("methods:\n  /a.B/C:\n", "there is no value; write one, or leave the key out"),
        ("methods:\n  /a.B/C: ~\n", "line 2, column 11: there is no value"),
        ("methods:\n  /a.B/C: [a\n", "line 2, column 11: unclosed bracket"),
        ("methods:\n\t/a.B/C: [a]\n", "line 2, column "),
        ("methods: {/a.B/C: [a]}}", "line 1, column 23: "),
        ("methods:\n  /a.B/C: @a\n", "line 2, column 11: unexpected character"),
    ] {
        assert!(fault(text).contains(error), "{text:?}: {}", fault(text));
    }
}

#[test]
fn what_readers_differ_about_is_refused() {
    for word in [
        "1",
        "-1",
        "+1",
        "0x1f",
        "0o7",
        "017",
        "1_000",
        "1.5",
        ".5",
        "1e3",
        "12:30",
        "2026-01-01",
        "2026-01-01T10:00:00Z",
        ".inf",
        "-.inf",
        ".NaN",
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "N",
        "Null",
        "TRUE",
        "False",
    ] {
        let text = format!("methods:\n  /a.B/C: [{word}]\n");
        assert!(fault(&text).starts_with("line 2, column 12: it may be a text"), "{word}: {}", fault(&text));
        let as_key = format!("methods:\n  {word}: [a]\n");
        assert!(fault(&as_key).starts_with("line 2, column 3: it may be a text"), "{word}: {}", fault(&as_key));
        for quoted in [format!("\"{word}\""), format!("'{word}'")] {
            let policy = yaml(&format!("methods:\n  /a.B/C: [{quoted}]\n")).unwrap();
            assert_eq!(code(&policy, "/a.B/C", roles(&[word]).as_ref()), Code::Ok, "{quoted}");
        }
    }
    assert!(fault("dry_run: yes\n").contains("it may be a text"));
    assert!(fault("dry_run: \"true\"\n").contains("expected a boolean"));
    for (text, word) in [
        ("methods: &a {}\n", "anchors and aliases are not read"),
        ("methods: *a\n", "anchors and aliases are not read"),
        ("methods:\n  /a.B/C: &r [a]\n  /a.B/D: *r\n", "anchors and aliases are not read"),
        ("methods:\n  <<: { /a.B/C: [a] }\n", "an unknown key"),
        ("methods:\n  /a.B/C: [!!str 1]\n", "tags are not read"),
        ("methods: !x {}\n", "tags are not read"),
        ("%YAML 1.2\n---\nmethods: {}\n", "directive"),
        ("methods: {/a.B/C: [a]}\n---\nmethods: {/a.B/C: [b]}\n", "a second document is not read"),
        ("? [a]\n: b\n", "a key has to be a text"),
        ("true: b\n", "a key has to be a text"),
    ] {
        assert!(fault(text).contains(word), "{text:?}: {}", fault(text));
    }
}

#[test]
fn a_short_text_that_means_a_long_one_is_refused_at_once() {
    let mut bomb = "a0: &a0 [admin, admin, admin, admin, admin, admin, admin, admin, admin]\n".to_owned();
    for level in 1..30 {
        let nine = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{nine}]\n");
    }
    assert!(fault(&bomb).starts_with("line 1, column "), "{}", fault(&bomb));
    assert!(fault(&bomb).contains("anchors and aliases are not read"), "{}", fault(&bomb));
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[{a: ", "}]")] {
        for depth in [100, 50_000] {
            let deep = format!("methods:\n {}a{}\n", open.repeat(depth), close.repeat(depth));
            let error = fault(&deep);
            assert!(error.contains("nested too deep") || error.contains("a key has to be"), "{open} {depth}: {error}");
        }
    }
    assert!(fault(&format!("#{}", " ".repeat(DOCUMENT_LIMIT))).contains("has more than 1048576 bytes"));
}

#[test]
fn a_file_in_yaml_includes_and_is_followed_as_one_in_toml_is() {
    let (directory, _) = file("");
    let mesh = r#"{ "name": "mesh", "allow_rules": [{ "name": "web", "source": { "principals": ["spiffe://example.org/ns/web/*"] } }] }"#;
    std::fs::write(directory.path().join("mesh.json"), mesh).unwrap();
    for name in ["policy.yaml", "policy.yml"] {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("include:\n- file: mesh.json\nmethods:\n  {GET}: authenticated\n")).unwrap();
        let policy = MethodPolicy::file(&path).checked_against(&known()).read().unwrap();
        let by = |id| Principal::new(workload(id), None);
        assert_eq!(code(&policy, GET, by("spiffe://example.org/ns/web/sa/a").as_ref()), Code::Ok);
        assert_eq!(code(&policy, GET, by("spiffe://example.org/ns/b/sa/a").as_ref()), Code::PermissionDenied);
        std::fs::write(&path, "methods:\n  /myapp.v1.UserService/GetUsr: [a]\n").unwrap();
        let error = MethodPolicy::file(&path).checked_against(&known()).read().unwrap_err().to_string();
        assert!(error.contains(&format!("{name}:2:3: ")) && error.contains("did you mean"), "{error}");
    }
    assert!(
        fault("include: [{file: mesh.json}]\nmethods: {/a.B/C: [a]}\n").contains("`include` is for policies in files")
    );
}

proptest! {
    #[test]
    fn whatever_text_it_is_it_is_read_or_refused(text in "([ -~\n\t]|é|: |- |\n  ){0,60}") {
        _ = yaml(&text);
    }

    /// What is written in quotes is what is read.
    #[test]
    fn a_role_in_quotes_is_that_role(role in "[ -~]{1,20}") {
        let text = format!("methods:\n  /a.B/C: [{}]\n", serde_json::to_string(&role).unwrap());
        if !["anyone", "authenticated"].contains(&&*role) {
            let policy = yaml(&text).unwrap();
            prop_assert_eq!(code(&policy, "/a.B/C", roles(&[&role]).as_ref()), Code::Ok);
        }
    }
}
