//! What a policy gets wrong, and what it is told.

use super::*;

/// A rule that allows, with these lines in it.
fn rule(lines: &str) -> String {
    format!("[[allow]]\nname = \"a\"\nmethods = [\"/myapp.v1.UserService/GetUser\"]\n{lines}\n")
}

#[test]
fn what_is_written_wrong_is_refused_with_its_place_and_what_to_write() {
    let cases = [
        ("[method]\n".to_owned(), "1:2: unknown key `method`; did you mean `methods`?"),
        ("[methods]\n\"/a.B/C\" = \"admin\"\n".to_owned(), "2:12: `methods`: expected a list of roles, a table"),
        ("[methods]\n\"/a.B/C\" = []\n".to_owned(), "2:12: rule \"/a.B/C\": `callers` is empty"),
        ("[methods]\n\"/a.B/C\" = [\"anyone\"]\n".to_owned(), "2:13: rule \"/a.B/C\": \"anyone\" is a word of its own"),
        ("[methods]\n\"/a.B/C\" = {}\n".to_owned(), "2:12: rule \"/a.B/C\": it is not said who may call"),
        ("[methods]\n\"/*\" = [\"a\"]\n".to_owned(), "2:1: the table `methods` holds /*"),
        ("[methods]\n\"a.B/C\" = [\"a\"]\n".to_owned(), "2:1: this is no method: write /package.Service/Method"),
        ("[methods]\n\"/a.B/C*\" = [\"a\"]\n".to_owned(), "2:1: this is no method"),
        ("[methods]\n\"/a.*/C\" = [\"a\"]\n".to_owned(), "2:1: this is no method"),
        ("[methods]\n\"/a.B/C\" = [\"a\"]\n\"/a.B/C\" = [\"b\"]\n".to_owned(), "3:1: duplicate key"),
        (
            "[methods]\n\"/a.B/C\" = [{ role = [\"a\"] }]\n".to_owned(),
            "2:15: unknown key `role`; did you mean `roles`?",
        ),
        ("audit = \"always\"\n".to_owned(), "1:9: `audit`: expected `none` or `on-deny` or"),
        ("[claims]\nroles = \"a..b\"\n".to_owned(), "2:9: `roles` is no path to a claim"),
        (
            "name = \"\"\n[methods]\n\"/myapp.v1.UserService/*\" = [\"a\"]".to_owned(),
            "1:8: this is no name: write 1 to 256 bytes",
        ),
        (String::new(), "1:1: no rule allows anything"),
        (rule("callers = [\"a\"]\ndry_run = true"), "1:1: no rule allows anything"),
        ("[allow]\nname = \"a\"\n".to_owned(), "`[allow]` is one of a list; write [[allow]]"),
        (rule(""), "2:8: rule \"a\": it is not said who may call"),
        (rule("callers = [\"\"]"), "4:12: rule \"a\": `roles` holds a text that is empty"),
        (rule("callers = { roles = [] }"), "4:21: rule \"a\": `roles` is empty"),
        (rule("callers = { spiffe_ids = [\"example.org/a\"] }"), "is not a SPIFFE ID: write spiffe://"),
        (rule("callers = { spiffe_ids = [\"spiffe://example.org/a*\"] }"), "is not a SPIFFE ID"),
        (rule("callers = { spiffe_ids = [\"spiffe://example.org\"] }"), "`spiffe_ids` holds a trust domain alone"),
        (
            rule("callers = { spiffe_ids = [\"spiffe://a.org/x\"], trust_domains = [\"b.org\"] }"),
            "`trust_domains` allows none of the `spiffe_ids` beside it",
        ),
        (
            rule("callers = { namespaces = [\"web\"] }"),
            "4:11: rule \"a\": a namespace means something within its trust domain",
        ),
        (
            rule("callers = { when = [{ key = \"source.namespace\", values = [\"web\"] }] }"),
            "a namespace means something within its trust domain",
        ),
        (rule("callers = { dns_names = [\"*.example.org\"] }"), "`dns_names` holds what is no DNS name"),
        (
            rule("callers = { request_principals = [\"alice\"] }"),
            "`request_principals` holds what is no ISSUER/SUBJECT",
        ),
        (
            rule("callers = { when = [{ key = \"source.ip\", values = [\"a\"] }] }"),
            "`when` has a key that there is not",
        ),
        (
            rule("callers = { when = [{ key = \"request.headers[authorization]\", values = [\"a\"] }] }"),
            "`when` has a key that there is not",
        ),
        (rule("callers = { when = [{ key = \"request.auth.claims[a]\" }] }"), "either `values` or `not_values`"),
        (
            rule("callers = [\"a\"]").replace("GetUser\"", "GetUser\", \"/myapp.v1.UserService/GetUser\""),
            "twice; remove one",
        ),
        ("[[allow]]\nname = \"a\"\nmethods = []\ncallers = \"anyone\"\n".to_owned(), "`methods` is empty"),
        ("[[allow]]\nname = \"a\"\ncallers = \"anyone\"\n".to_owned(), "2:8: rule \"a\": the rule names no method"),
        (
            format!("{}{}", rule("callers = [\"a\"]"), rule("callers = [\"b\"]")),
            "6:8: two rules are called \"a\", the first on line 2",
        ),
        (
            format!("{}[[deny]]\nname = \"b\"\nmethods = [\"/myapp.v1.UserService/*\"]\n", rule("callers = [\"a\"]")),
            "2:8: /myapp.v1.UserService/GetUser can never be allowed: rule \"b\" denies it to everybody",
        ),
        (
            format!("include = [{{ file = \"a.toml\" }}]\n{}", rule("callers = [\"a\"]")),
            "`include` names what does not end in .json",
        ),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(text, expected)| (text, error(text), expected))
        .filter(|(_, found, expected)| !found.contains(*expected))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_written_wrong_in_rust_is_refused_too_without_a_place() {
    let refused = |policy: PolicyBuilder| policy.build().unwrap_err().to_string();
    assert_eq!(refused(MethodPolicy::builder()), "no rule allows anything, so that all calls would be denied; add one");
    let twice = MethodPolicy::builder().method(GET, ["a"]).method(GET, ["b"]);
    assert_eq!(refused(twice), format!("two rules are called \"{GET}\"; rename or remove one"));
    let nobody = MethodPolicy::builder().allow(Rule::named("a").methods([GET]));
    assert!(refused(nobody).starts_with("rule \"a\": it is not said who may call"));
    let namespace = Caller::authenticated().namespaces(["web"]);
    let namespace = MethodPolicy::builder().allow(Rule::named("a").methods([GET]).caller(namespace));
    assert!(refused(namespace).contains("a namespace means something within its trust domain alone"));
}

#[test]
fn a_file_that_is_none_or_too_large_or_of_another_kind_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content, expected) in [
        ("policy.yaml", &b"\xff"[..], "is no text; write TOML or YAML, in UTF-8"),
        ("policy", b"", "its name ends neither in .toml"),
        ("policy.toml", b"\xff", "is no text; write TOML or YAML, in UTF-8"),
        ("policy.json", b"{", "EOF while parsing an object at line 1 column 1"),
        ("large.toml", &vec![b' '; DOCUMENT_LIMIT + 1], "has more than 1048576 bytes, which is more than is read"),
        ("large.yaml", &vec![b' '; DOCUMENT_LIMIT + 1], "has more than 1048576 bytes, which is more than is read"),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = MethodPolicy::file(&path).build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains(expected), "{error}");
    }
    let error = MethodPolicy::file(directory.path().join("missing.toml")).build().unwrap_err().to_string();
    assert!(error.contains("missing.toml: cannot be read: "), "{error}");
}

#[test]
fn more_rules_or_documents_than_are_read_are_an_error() {
    let row = |number| format!("\"/a.B/C{number}\" = [\"a\"]\n");
    let table = |rows| format!("[methods]\n{}", (0..rows).map(row).collect::<String>());
    assert!(parse(&table(RULES_LIMIT)).is_ok());
    assert!(parse(&table(RULES_LIMIT + 1)).unwrap_err().to_string().contains("there are more than 10000 rules"));
    let included = "{ file = \"a.json\" },".repeat(INCLUDES_LIMIT + 1);
    assert!(error(&format!("include = [{included}]\n{SEED}")).contains("`include` names more than 16 documents"));
}

#[test]
fn a_text_that_a_program_has_with_it_is_a_policy_without_includes() {
    assert!(MethodPolicy::text(SEED).checked_against(&known()).build().is_ok());
    let refused = |text: String| MethodPolicy::text(text).build().unwrap_err().to_string();
    assert!(
        refused(format!("include = [{{ file = \"a.json\" }}]\n{SEED}"))
            .starts_with("line 1, column 12: `include` is for policies in files")
    );
    assert!(refused(" ".repeat(DOCUMENT_LIMIT + 1)).contains("has more than 1048576 bytes"));
}

#[test]
fn a_fault_of_a_document_of_grpcs_own_form_has_its_line_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let document = |rule: &str| {
        format!("{{\n  \"name\": \"p\",\n  \"allow_rules\": [\n    {{ \"name\": \"all\" }},\n    {rule}\n  ]\n}}\n")
    };
    for (rule, place, expected) in [
        ("{ \"name\": \"all\" }", "5:15", "two rules are called"),
        ("{ }", "3:3", "has no `name`"),
        (
            "{ \"name\": \"x\", \"request\": { \"headers\": [{ \"key\": \"Host\", \"values\": [\"a\"] }] } }",
            "5:54",
            "no rule may ask for the header",
        ),
        ("{ \"name\": \"x\", \"request\": { \"headers\": [{ \"values\": [\"a\"] }] } }", "5:15", "has no `key`"),
        (
            "{ \"name\": \"x\", \"request\": { \"paths\": [\"/myapp.v1.UserService/GetUsr\"] } }",
            "5:43",
            "did you mean /myapp.v1.UserService/GetUser?",
        ),
    ] {
        std::fs::write(&path, document(rule)).unwrap();
        let error = MethodPolicy::file(&path).checked_against(&known()).read().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:{place}: ", path.display())) && error.contains(expected), "{error}");
    }
}
