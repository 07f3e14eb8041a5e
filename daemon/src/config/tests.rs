use evercert_core::document;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/evercert/evercertd.toml"), text)
}

fn error(text: &str) -> String {
    parse(text).map(|config| format!("{config:?}")).unwrap_err().to_string()
}

/// The default configuration with its examples uncommented.
fn uncommented() -> String {
    let example =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
    DEFAULT
        .lines()
        .map(|line| if example(&line) { &line[1..] } else { line })
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn the_default_configuration_says_what_holds_without_one() {
    assert_eq!(Config { file: None, ..parse(DEFAULT).unwrap() }, Config::defaults().unwrap());
}

#[test]
fn a_default_may_be_written() {
    let written = "[http]\nclient_certificates = false\nprobes = \"off\"";
    assert_eq!(parse(written).unwrap().http, Config::defaults().unwrap().http);
}

#[test]
fn the_examples_of_the_default_configuration_hold() {
    let config = parse(&uncommented()).unwrap();
    assert_eq!(config.identities.len(), 1);
    assert_eq!(config.identities[0].expectations.usages.len(), 2);
}

#[test]
fn the_default_configuration_documents_every_key() {
    let known = |section: &str| {
        let text = format!("[{section}]\nno_such_key = 1\n")
            .replace("[]\n", "")
            .replace("[[identity]]\n", "[[identity]]\nname = \"a\"\n");
        match parse(&text).unwrap_err() {
            ConfigError::Invalid { mut problems, .. } => match problems.remove(0).problem {
                Problem::Document(document::Problem::UnknownKey { known, .. }) => known,
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        }
    };
    let document: toml::Table = toml::from_str(&uncommented()).unwrap();
    for section in known("") {
        assert!(document.contains_key(&section), "{section} is not documented");
        let (keys, table) = match &document[&section] {
            // A key beside the sections.
            toml::Value::String(_) => continue,
            toml::Value::Array(tables) => (known(&format!("[{section}]")), tables[0].as_table().unwrap()),
            table => (known(&section), table.as_table().unwrap()),
        };
        assert!(!keys.is_empty());
        // What is known so that it is told why it cannot be said there is no setting.
        for key in keys.into_iter().filter(|key| (section.as_str(), key.as_str()) != ("pods", "serves")) {
            assert!(table.contains_key(&key), "{section}.{key} is not documented");
        }
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_key_that_was_meant() {
    assert_eq!(
        error("[watch]\n  tikc = \"30s\"\n"),
        "/etc/evercert/evercertd.toml:2:3: unknown key `tikc`; did you mean `tick`? Keys here are: directories, tick"
    );
    assert_eq!(
        error("[http]\nzzz = 1\n"),
        "/etc/evercert/evercertd.toml:2:1: unknown key `zzz`; keys here are: listen, identity, client_certificates, probes, metrics_limit, page"
    );
    assert!(
        error("[[identity]]\nname = \"a\"\ndns-names = []\n")
            .contains("3:1: unknown key `dns-names`; did you mean `dns_names`?")
    );
    assert!(error("[sokets]\n").contains("1:2: unknown key `sokets`; did you mean `sockets`?"));
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = "mode = \"both\"\n\
                [[identity]]\nname = \"a\"\npath = \"x\"\nusages = [\"serve\"]\noverlap = \"25h\"\n\
                [[identity]]\nname = \"a\"\npath = 5\nno_such = 1\n\
                [[identity]]\npath = \"/y\"\n\
                [[identity]]\nname = \"b\"\npath = \"/b\"\nallow = []\n\
                [http]\nlisten = \":1\"\nidentity = \"c\"\nprobes = \"off\"\n\
                [limits]\nstreams = 0\nzzz = 1\n\
                [watch]\ntick = \"1ms\"\ndirectories = [\"x\", \"/x/[ab]\", \"/x/**\", \"/x/{a,b}/*\", \"/etc/evercert/certs\"]\n";
    let all = error(text);
    let told: Vec<_> = all.lines().map(|line| line.strip_prefix("/etc/evercert/evercertd.toml:").unwrap()).collect();
    let expected = [
        "1:8: `mode`: expected `publisher` or `observer`",
        "4:8: `path` is a relative path",
        "5:11: `usages`: unknown usage",
        "6:11: `overlap` is out of range",
        "9:8: `path`: expected",
        "10:1: unknown key `no_such`; keys here are",
        "11:1: `name` is missing; write it",
        "14:8: `allow` is empty",
        "18:10: `listen` is no address",
        "23:1: unknown key `zzz`",
        "25:8: `tick` is out of range",
        "26:16: `directories` holds a relative path",
        "26:21: `directories` holds a path with `[`, `{` or `**`",
        "26:32: `directories` holds a path with `[`, `{` or `**`",
        "26:41: `directories` holds a path with `[`, `{` or `**`",
        "26:55: `directories` holds a path without a wildcard",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not: {expected}");
    }
    assert_eq!(told.len(), expected.len(), "{all}");
    assert_eq!(
        error("[watch\n[http]\nlisten = \n[log]\nlevel = \"info\"\n").lines().count(),
        2,
        "of what is no TOML, too"
    );
}

#[test]
fn what_contradicts_itself_is_refused_with_what_to_write() {
    let identity = |rest: &str| error(&format!("[[identity]]\nname = \"a\"\n{rest}\n"));
    for (text, place, sentence) in [
        (
            "path = \"/x/a.pem\"\nchain = \"b\"\nkey = \"c\"",
            "4:9",
            "remove `chain`, or let `path` be the directory of both",
        ),
        ("path = \"/x\"\nkey = \"k\"", "4:7", "`key` is set without `chain`; set both"),
        ("chain = \"/x/c\"", "3:9", "`chain` is set without `key`"),
        ("path = \"/x\"\nchain = \"/y/c\"\nkey = \"k\"", "4:9", "they contradict each other; keep `path`"),
        ("path = \"/x\"\nchain = \"../c\"\nkey = \"k\"", "4:9", "write the name of one file in it"),
        ("path = \"x\"", "3:8", "`path` is a relative path; write an absolute one"),
        ("bundle = \"ca.crt\"", "3:10", "there is no `path` it could be in"),
        ("", "2:8", "names no file; set `path`"),
        ("bundle = \"/x/ca\"\nusages = [\"server auth\"]", "4:11", "only has a `bundle`"),
        ("path = \"/x\"\nusages = [\"serve\"]", "4:11", "unknown usage; usages are cert-manager's words"),
        ("path = \"/x\"\nip_addresses = [\"1.2.3\"]", "4:17", "no IP address"),
        ("path = \"/x\"\ndns_names = [\"\"]", "4:14", "`dns_names` holds a name that is empty"),
        ("path = \"/x\"\nallow = [\"readers\", \"uid:x\"]", "4:21", "`allow`: this rule names no number"),
        ("path = \"/x\"\nallow = [\"all\"]", "4:10", "`allow`: this is no rule; there are \"readers\""),
        ("path = \"/x\"\nallow = [\"uid:1\", \"uid:01\"]", "4:19", "`allow` holds this rule twice; remove one"),
        ("path = \"/x\"\nallow = []", "2:8", "nobody could use"),
        ("path = \"/x\"\nclock_skew = \"25h\"", "4:14", "from 0s to 24h"),
        ("path = \"/x\"\noverlap = \"25h\"", "4:11", "`overlap` is out of range; write a value from 0s to 24h"),
        ("path = \"/x\"\ncrls = [\"a\", \"../a\"]", "4:14", "write the name of one file in it, such as \"ca.crl\""),
        ("path = \"/x\"\ncrls = [\"a\", \"/x/a\"]", "4:14", "`crls` holds this file twice"),
        ("bundle = \"none\"", "2:8", "names no file; set `path`"),
        ("path = \"/x\"\nbundle = \"none\"\ncrls = [\"a\"]", "5:9", "this identity trusts nobody; add a `bundle`"),
        ("bundle = \"/x/ca\"\ncrls = [\"a\"]", "4:9", "there is no `path` it could be in"),
        (
            "chain = \"/x/c\"\nkey = \"/x/k\"\nbundle = \"/x/b\"\ncrls = [\"a\"]",
            "6:9",
            "there is no `path` it could be in",
        ),
        ("chain = \"/x/c\"\nkey = \"/x/k\"\ncrls = [\"/x/a\"]", "5:9", "this identity trusts nobody; add a `bundle`"),
        (
            "path = \"/x\"\nfederated = { \"A.org\" = \"/y\" }",
            "4:15",
            "`federated` holds a name that is no trust domain",
        ),
        ("path = \"/x\"\nfederated = { \"spiffe://a.org\" = \"/y\" }", "4:15", "no trust domain"),
        ("path = \"/x\"\nfederated = { \"a.org\" = \"y\" }", "4:25", "`federated` is a relative path"),
        (
            "path = \"/x\"\nuris = [\"spiffe://a.org/x\"]\nfederated = { \"a.org\" = \"/y\" }",
            "5:15",
            "this identity's own trust domain",
        ),
        ("path = \"/x\"\n\n[state]\ndirectory = \"state\"", "6:13", "`directory` is a relative path"),
        ("path = \"/x\"\nrenew_before = \"soon\"", "4:16", "`renew_before`: this is no span of time"),
        ("path = \"/x\"\nrenew_before = \"0s\"", "4:16", "`renew_before` is out of range"),
        ("path = \"/x\"\nmax_lifetime = \"5m\"", "4:16", "`max_lifetime` is out of range"),
        ("bundle = \"/x/ca\"\nrenew_before = \"never\"", "4:16", "only has a `bundle`"),
        ("path = \"/x\"\nseverities = { long-live = \"warn\" }", "4:16", "names no check; did you mean `long-lived`?"),
        ("path = \"/x\"\nseverities = { zzz = \"warn\" }", "4:16", "`evercertd check --list` has them all"),
        ("path = \"/x\"\nseverities = { long-lived = \"error\" }", "4:29", "expected `info` or `warn` or `reject`"),
        ("path = \"/x\"\nseverities = { key-mismatch = \"warn\" }", "4:31", "key-mismatch always rejects, since no"),
        ("path = \"/x\"\nseverities = { crl-stale = \"reject\" }", "4:28", "write \"info\" or \"warn\""),
        ("path = \"/x\"\nseverities = { name-collision = \"info\" }", "4:33", "not judged for one identity"),
        ("path = \"/x\"\nadmission = \"lax\"", "4:13", "`admission`: expected `enforce` or `observe`"),
        ("path = \"/x\"\nrequire_chain = \"yes\"", "4:17", "`require_chain`: expected a boolean"),
        ("path = \"/x\"\n\n[[identity]]\nname = \"a\"\npath = \"/y\"", "6:8", "used twice, first on line 2"),
        ("path = \"/x\"\n\n[watch]\ntick = \"1ms\"", "6:8", "`tick` is out of range; write a value from 100ms to 1h"),
        ("path = \"/x\"\n\n[watch]\ndirectories = [\"/x/*/y\"]", "6:16", "one entry for each parent"),
        ("path = \"/x\"\n\n[sockets]\nagent = \"a.sock\"", "6:9", "`agent` is a relative path"),
        ("path = \"/x\"\n\n[http]\nlisten = \":9793\"", "6:10", "an IP address and a port"),
        (
            "path = \"/x\"\n\n[http]\nidentity = \"b\"\nprobes = \"off\"\n[watch]\ndirectories = []",
            "6:12",
            "`identity` of [http] names no identity of this file",
        ),
        ("bundle = \"/x\"\n\n[http]\nidentity = \"a\"\nprobes = \"off\"", "6:12", "an identity that only trusts"),
        ("path = \"/x\"\n\n[http]\nidentity = \"a\"", "6:12", "set `probes` to an address for them"),
        ("path = \"/x\"\n\n[http]\nclient_certificates = true", "6:23", "there is none without `identity`"),
        (
            "path = \"/x\"\nbundle = \"none\"\n\n[http]\nidentity = \"a\"\nclient_certificates = true\nprobes = \"off\"",
            "8:23",
            "`client_certificates` needs a bundle",
        ),
        ("path = \"/x\"\n\n[http]\nprobes = \"9794\"", "6:10", "`probes` is no address"),
        ("path = \"/x\"\n\n[http]\nprobes = \"127.0.0.1:9793\"", "6:10", "`probes` and `listen` are the same address"),
        ("path = \"/x\"\n\n[http]\npage = \"on\"", "6:8", "set `identity` and `client_certificates = true`"),
        (
            "path = \"/x\"\n\n[http]\nidentity = \"a\"\nprobes = \"off\"\npage = \"on\"",
            "8:8",
            "shows what there is to whoever connects",
        ),
        ("path = \"/x\"\n\n[watch]\ntick = 30", "6:8", "`tick`: this is no span of time; write one such as \"30s\""),
        ("path = \"/x\"\n\n[log]\nlevel = \"info,a=b=c\"", "6:9", "write error, warn, info, debug, trace"),
        // To the log's filter, a word that is no level is the name of a module: nothing would be logged but what it says.
        ("path = \"/x\"\n\n[log]\nlevel = \"verbose\"", "6:9", "`level` is no log level"),
        (
            "path = \"/x\"\n\n[limits]\nconnections = 5",
            "6:15",
            "`connections_per_caller` is 1024, more than the 5 of `connections`; lower it, or raise `connections`",
        ),
        ("path = \"/x\"\n\n[limits]\nstreams_per_caller = 0", "6:22", "out of range; write a value from 1 to 1000000"),
        (
            "path = \"/x\"\n\n[limits]\nrequests_per_second_per_caller = 9999",
            "6:34",
            "more than the 5000 of `requests_per_second`",
        ),
    ] {
        let error = identity(text);
        assert!(error.starts_with(&format!("/etc/evercert/evercertd.toml:{place}: ")), "{text}: {error}");
        assert!(error.contains(sentence), "{text}: {error}");
    }
    assert!(error("[[identity]]\nname = \"a b\"\n").contains("`name` is no identity name"));
    assert!(
        error("[[identity]]\nname = \"a/b\"\n")
            .contains("2:8: `name` holds a '/', as only the names of directories in volumes")
    );
    assert!(error("[[identity]]\npath = \"/x\"\n").contains("`name` is missing"));
    assert!(error("[identity]\nname = \"a\"\n").ends_with("1:1: `[identity]` is one of a list; write [[identity]]"));
    let long = error(&format!("[sockets]\nagent = \"/{}\"\n", "x".repeat(107)));
    assert!(long.contains("2:9: `agent` has 108 bytes, too many for a socket's path"), "{long}");
    assert!(error("[watch\n").starts_with("/etc/evercert/evercertd.toml:1:"));
}

#[test]
fn a_value_of_another_type_is_answered_with_what_is_expected() {
    for (text, expected) in [
        ("mode = 3", "1:8: `mode`: expected `publisher` or `observer`"),
        ("[sockets]\nagent = 3", "2:9: `agent`: expected a string"),
        ("[limits]\nstreams = -3", "2:11: `streams`: expected a positive whole number"),
        ("[limits]\nstreams = 0xffffffffffffffffff", "2:11: `streams`: expected a positive whole number"),
        ("[limits]\nstreams = 1.5", "2:11: `streams`: expected a positive whole number"),
        ("[kubelet]\ncsi_drivers = \"a\"", "2:15: `csi_drivers`: expected a list"),
        ("[process]\ndumpable = 1979-05-27", "2:12: `dumpable`: expected a boolean"),
        ("[pods]", "1:1: `[pods]` is one of a list; write [[pods]]"),
        ("[[watch]]", "1:1: `watch`: expected a table"),
        ("[watch]\ndirectories = [{ path = 3 }]", "2:25: `directories`: expected a string"),
        ("[watch]\ndirectories = [{ allow = [] }]", "2:16: `path` is missing; write it"),
        // The elements of a list are no fields, whatever their order.
        ("http = [\"127.0.0.1:1\"]", "1:8: `http`: expected a table"),
    ] {
        assert_eq!(error(text), format!("/etc/evercert/evercertd.toml:{expected}"), "{text}");
    }
    assert_eq!(parse("[limits]\nstreams = 0x1000").unwrap(), parse("[limits]\nstreams = 4_096").unwrap());
}

#[test]
fn an_identity_says_where_its_files_are() {
    let files = |rest: &str| {
        let config = parse(&format!("[[identity]]\nname = \"a\"\n{rest}\n")).unwrap();
        let files = config.identities[0].files.clone();
        let credential = files.credential.map(|files| {
            if files.chain() == files.key() {
                format!("{}", files.chain().display())
            } else {
                format!("{} {}", files.chain().display(), files.key().display())
            }
        });
        format!("{credential:?} {:?}", files.bundle)
    };
    for (text, expected) in [
        ("path = \"/x\"", "Some(\"/x/tls.crt /x/tls.key\") Some(OfCredential(\"/x/ca.crt\"))"),
        ("path = \"/x/a.pem\"", "Some(\"/x/a.pem\") Some(OfCredential(\"/x/ca.crt\"))"),
        ("path = \"/x/a.CRT\"", "Some(\"/x/a.CRT\") Some(OfCredential(\"/x/ca.crt\"))"),
        ("path = \"/x\"\nbundle = \"none\"", "Some(\"/x/tls.crt /x/tls.key\") None"),
        ("chain = \"/x/c\"\nkey = \"/x/c\"\nbundle = \"none\"", "Some(\"/x/c\") None"),
        ("path = \"/x/a.pem/\"", "Some(\"/x/a.pem/tls.crt /x/a.pem/tls.key\") Some(OfCredential(\"/x/a.pem/ca.crt\"))"),
        ("path = \"/x\"\nbundle = \"/y/ca\"", "Some(\"/x/tls.crt /x/tls.key\") Some(Dedicated(\"/y/ca\"))"),
        (
            "path = \"/x\"\nchain = \"c\"\nkey = \"k\"\nbundle = \"b\"",
            "Some(\"/x/c /x/k\") Some(OfCredential(\"/x/b\"))",
        ),
        ("path = \"/x\"\nchain = \"c\"\nkey = \"c\"", "Some(\"/x/c\") Some(OfCredential(\"/x/ca.crt\"))"),
        ("chain = \"/x/c\"\nkey = \"/y/k\"", "Some(\"/x/c /y/k\") None"),
        ("bundle = \"/x/ca.crt\"", "None Some(Dedicated(\"/x/ca.crt\"))"),
    ] {
        assert_eq!(files(text), expected, "{text}");
    }
}

#[test]
fn an_identity_says_who_is_revoked_whom_it_trusts_besides_and_for_how_long() {
    let spec = |rest: &str| parse(&format!("[[identity]]\nname = \"a\"\n{rest}\n")).unwrap().identities.remove(0);
    for (text, expected) in [
        ("path = \"/x\"", "[OfCredential(\"/x/ca.crl\")]"),
        ("path = \"/x/a.pem\"", "[OfCredential(\"/x/ca.crl\")]"),
        ("path = \"/x\"\ncrls = []", "[]"),
        ("path = \"/x\"\nbundle = \"none\"", "[]"),
        ("path = \"/x\"\ncrls = [\"/y/b\"]", "[Dedicated(\"/y/b\"), OfCredential(\"/x/ca.crl\")]"),
        ("path = \"/x\"\ncrls = [\"/x/ca.crl\"]", "[Dedicated(\"/x/ca.crl\")]"),
        ("path = \"/x\"\ncrls = [\"ca.crl\", \"/y/b\"]", "[OfCredential(\"/x/ca.crl\"), Dedicated(\"/y/b\")]"),
        ("chain = \"/x/c\"\nkey = \"/y/k\"\nbundle = \"/z/b\"", "[OfCredential(\"/x/ca.crl\")]"),
        ("chain = \"/x/c\"\nkey = \"/y/k\"\nbundle = \"/z/b\"\ncrls = []", "[]"),
        (
            "chain = \"/x/c\"\nkey = \"/y/k\"\nbundle = \"/z/b\"\ncrls = [\"/y/b\"]",
            "[Dedicated(\"/y/b\"), OfCredential(\"/x/ca.crl\")]",
        ),
        ("chain = \"/x/c\"\nkey = \"/y/k\"", "[]"),
        ("bundle = \"/x/ca.crt\"", "[]"),
        ("bundle = \"/x/ca.crt\"\ncrls = [\"/x/ca.crl\"]", "[Dedicated(\"/x/ca.crl\")]"),
    ] {
        assert_eq!(format!("{:?}", spec(text).files.crls), expected, "{text}");
    }
    assert_eq!(spec("path = \"/x\"").overlap, Duration::from_secs(24 * 3600));
    assert_eq!(spec("path = \"/x\"\noverlap = \"0s\"").overlap, Duration::ZERO);
    let federated = spec("path = \"/x\"\nfederated = { \"b.org\" = \"/b\", \"a_1-x\" = \"/a\" }").files.federated;
    assert_eq!(federated, [("a_1-x".parse().unwrap(), "/a".into()), ("b.org".parse().unwrap(), "/b".into())].into());
}

#[test]
fn an_identity_says_who_may_have_it_and_is_for_readers_where_it_does_not() {
    let policy = |rest: &str| {
        let config = parse(&format!("[[identity]]\nname = \"a\"\npath = \"/x\"\n{rest}\n")).unwrap();
        let rules = config.policies[&config.identities[0].id].0.iter().map(ToString::to_string).collect::<Vec<_>>();
        rules.join(" ")
    };
    assert_eq!(policy(""), "readers");
    let all = "readers uid:1001 user:payments gid:7 group:tls unit:payments.service pod:shop/payments-0";
    assert_eq!(policy(&format!("allow = [\"{}\"]", all.replace(' ', "\", \""))), all);
    assert_eq!(policy("allow = [\"uid:5\"]"), "uid:5");
}

#[test]
fn what_is_said_of_pods_makes_sense_or_is_refused_with_what_to_write() {
    for (text, place, sentence) in [
        ("[kubelet]\ndirectory = \"pods\"", "2:13", "`directory` is a relative path"),
        ("[kubelet]\nlogs = \"logs\"", "2:8", "`logs` is a relative path"),
        ("[kubelet]\ncsi_drivers = [\"\"]", "2:16", "`csi_drivers` holds a name that is empty"),
        ("[[pods]]\nbundle = \"ca.crt\"", "2:10", "`bundle` is no file of a volume; write a file of another volume"),
        ("[[pods]]\nbundle = \"trust/../ca.crt\"", "2:10", "such as \"trust/ca.crt\""),
        ("[[pods]]\nbundle = \"../ca.crt\"", "2:10", "such as \"trust/ca.crt\""),
        ("[[pods]]\nusages = [\"sing\"]", "2:11", "`usages`: unknown usage"),
        ("[[pods]]\noverlap = \"2d\"", "2:11", "`overlap` is out of range"),
        ("[[pods]]\nnamespace = \"\"", "2:13", "`namespace` holds a name that is empty"),
        ("[[pods]]\nserves = [\"localhost:443\"]", "2:10", "`serves` is for an [[identity]]"),
        ("[[pods]]\nignore = true\nusages = [\"server auth\"]", "2:10", "`ignore = true` and `usages` contradict"),
        ("[[pods]]\nseverities = { expired = \"info\" }", "2:26", "expired always rejects"),
        ("[[pods]]\nignore = true\nseverities = { expired = \"reject\" }", "2:10", "`severities` contradict"),
        ("[[pods]]\nvolumes = \"a\"", "2:1", "did you mean `volume`?"),
    ] {
        let error = error(text);
        assert!(error.starts_with(&format!("/etc/evercert/evercertd.toml:{place}: ")), "{text}: {error}");
        assert!(error.contains(sentence), "{text}: {error}");
    }
    let config = parse("[kubelet]\ndirectory = \"\"\n[[pods]]\nvolume = \"tls/*\"\nignore = true\n").unwrap();
    assert_eq!(config.kubelet, Kubelet { directory: PathBuf::new(), ..Kubelet::default() });
    assert!(config.pods[0].means("tls", Some("server")) && !config.pods[0].means("tls", None));
    assert_eq!(config.pods[0].settings(), None);
    let config = parse("[[pods]]\nbundle = \"none\"\n").unwrap();
    assert_eq!(config.pods[0].settings().unwrap().bundle, Some(PodBundle::Nobody));
}

/// Pieces of a key that a configuration might hold in some place.
const PIECES: [&str; 6] = [
    "MHcCAQEEIBxHIkuw8nHbhHvyX9sPq0uKzXQpZgIuCkR1sYw3vOoAoGCCqGSM49",
    "AwEHoUQDQgAE7Zq0bT+PfP/Lq8e9xUv2yWk3nTjRrM6cVdXhYb5QaNsZgIuCkR",
    "abcdefghijklmnop",
    "ABCDEFGHIJKLMNOP",
    "1234567890123456",
    "xHIkuw8nHb==",
];

#[test]
fn nothing_of_what_a_configuration_holds_is_quoted() {
    // Every value and every name of the default configuration is a place in which a piece of a key may stand.
    let text = uncommented();
    let places: Vec<_> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && line.contains('='))
        .flat_map(|(number, line)| {
            let (key, value) = line.split_once('=').unwrap();
            [(number, format!("{key}= \"@\"")), (number, format!("{key}= [\"@\"]")), (number, format!("@ ={value}"))]
                .into_iter()
                .chain([
                    (number, "@".to_owned()),
                    (number, format!("{key}= @")),
                    (number, format!("{key}= {{ @ = 1 }}")),
                ])
                .chain([
                    (number, format!("{line}\n@")),
                    (number, format!("[@]\n{line}")),
                    (number, format!("{line} # @")),
                ])
                .chain([
                    (number, format!("{key}= \"\"\"\n-----BEGIN EC PRIVATE KEY-----\n@\n\"\"\"")),
                    (number, format!("{line}@")),
                ])
        })
        .collect();
    assert!(places.len() > 300, "{}", places.len());
    for (number, with) in places {
        for piece in PIECES {
            let line = |(i, line): (usize, &str)| if i == number { with.replace('@', piece) } else { line.to_owned() };
            let text = text.lines().enumerate().map(line).fold(String::new(), |all, line| all + &line + "\n");
            let Err(error) = parse(&text) else { continue };
            let said = format!("{error} {error:?}");
            let shown = piece.as_bytes().windows(6).map(|window| std::str::from_utf8(window).unwrap());
            for shown in shown {
                assert!(!said.contains(shown), "{with}: {said}");
            }
        }
    }
}

#[test]
fn a_key_file_is_no_configuration_and_is_told_so() {
    let key = format!("-----BEGIN EC PRIVATE KEY-----\n{}\n{}\n-----END EC PRIVATE KEY-----\n", PIECES[0], PIECES[1]);
    let sentence = "this is a certificate or key and not a configuration; `evercertd config` prints one to start from";
    assert!(error(&key).ends_with(sentence), "{}", error(&key));
    for lost in [key.replace('\n', ""), key.replace('\n', " "), key.replace('\n', "\\n")] {
        assert!(error(&lost).ends_with("prints one to start from"), "{}", error(&lost));
    }
}
