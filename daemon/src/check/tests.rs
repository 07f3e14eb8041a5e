mod agreement;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Files, KubeletVolume, Leaf, PlainDirectory};

use super::report::{Judged, Kind};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn question() -> Question {
    Question { expectations: Expectations::default(), bundle: None, at: SystemTime::now(), until: None }
}

fn report(paths: &[PathBuf], question: &Question) -> Report {
    let written: Vec<_> = paths.iter().map(|path| path.clone().into_os_string()).collect();
    judge(&written, question, &|_| {}).unwrap()
}

fn only(path: PathBuf, question: &Question) -> Judged {
    let mut report = report(&[path], question);
    assert_eq!(report.inputs.len(), 1, "{report:?}");
    report.inputs.remove(0)
}

fn checks(judged: &Judged) -> Vec<&str> {
    judged.findings.iter().map(|told| &*told.finding.check).collect()
}

#[test]
fn a_file_is_taken_for_what_it_holds_and_judged_beside_its_bundle() {
    let ca = Authority::new("root");
    let issued = ca.issue_dns("a.example.org");
    let files = issued.files().with("both.pem", issued.combined_pem()).with("leaf.der", &issued.leaf_der);
    let files = files.with("anchors.pem", &issued.ca_pem).with("ca.crl", ca.crl(&[]).der).with("notes.pem", "none");
    let directory = PlainDirectory::new(&files);
    for (name, kind, verdict) in [
        ("both.pem", Kind::Identity, Verdict::Clean),
        ("tls.crt", Kind::Chain, Verdict::Clean),
        ("leaf.der", Kind::Chain, Verdict::Clean),
        ("tls.key", Kind::Key, Verdict::Clean),
        ("ca.crt", Kind::Bundle, Verdict::Clean),
        ("anchors.pem", Kind::Bundle, Verdict::Clean),
        ("ca.crl", Kind::Crls, Verdict::Clean),
        ("notes.pem", Kind::Unknown, Verdict::Unreadable),
        ("missing.pem", Kind::Unknown, Verdict::Unreadable),
    ] {
        let judged = only(directory.path().join(name), &question());
        assert_eq!((judged.kind, judged.verdict), (kind, verdict), "{name}: {:?}", judged.findings);
    }
    let others = Authority::new("other").issue_dns("a.example.org");
    fs::write(directory.path().join("ca.crt"), others.ca_pem).unwrap();
    let judged = only(directory.path().join("tls.crt"), &question());
    assert!(checks(&judged).contains(&"chain-untrusted"), "{judged:?}");
}

#[test]
fn a_file_that_could_be_a_chain_as_well_as_a_bundle_is_not_taken_for_one_without_a_word() {
    let ca = Authority::new("root");
    let issued = ca.issue_dns("a.example.org");
    let own = Authority::root(Leaf::for_dns("b.example.org")).own_pem();
    let files = Files::new().with("mixed.pem", issued.ca_pem.clone() + &issued.leaf_pem);
    let files = files.with("own.pem", &own).with("tls.crt", &own).with("ca.crt", own.clone() + &issued.leaf_pem);
    let directory = PlainDirectory::new(&files);
    for (name, kind, verdict, check) in [
        ("mixed.pem", Kind::Chain, Verdict::Rejected, "leaf-not-first"),
        ("own.pem", Kind::Bundle, Verdict::Clean, "leaf-is-ca"),
        ("tls.crt", Kind::Chain, Verdict::Rejected, "leaf-is-ca"),
        ("ca.crt", Kind::Bundle, Verdict::Warned, "anchor-unusable"),
    ] {
        let judged = only(directory.path().join(name), &question());
        assert_eq!((judged.kind, judged.verdict), (kind, verdict), "{name}: {:?}", judged.findings);
        assert!(checks(&judged).contains(&check), "{name}: {:?}", judged.findings);
    }
}

#[test]
fn a_pattern_and_a_directory_that_is_no_identitys_mean_what_is_in_them() {
    let issued = Authority::new("root").issue_dns("a.example.org");
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b", ".hidden"] {
        let _ = PlainDirectory::at(&root.path().join(name), &issued.files());
    }
    let _ = PlainDirectory::at(root.path(), &Files::new().with("c.pem", issued.combined_pem()).with("README", ""));
    let inputs = |path: PathBuf| -> Vec<_> {
        let report = report(&[path], &question());
        report
            .inputs
            .iter()
            .map(|judged| (judged.input.rsplit('/').next().unwrap().to_owned(), judged.verdict))
            .collect()
    };
    let clean = |names: &[&str]| -> Vec<_> { names.iter().map(|name| ((*name).to_owned(), Verdict::Clean)).collect() };
    assert_eq!(inputs(root.path().to_owned()), clean(&["a", "b", "c.pem"]));
    assert_eq!(inputs(root.path().join("?")), clean(&["a", "b"]));
    assert_eq!(inputs(root.path().join("*/tls.*")), clean(&["tls.crt", "tls.key", "tls.crt", "tls.key"]));
    assert_eq!(inputs(root.path().join("x*")), [("x*".to_owned(), Verdict::Unreadable)]);
    fs::create_dir(root.path().join("empty")).unwrap();
    assert_eq!(inputs(root.path().join("empty")), [("empty".to_owned(), Verdict::Rejected)]);
}

#[test]
fn what_is_asked_of_a_leaf_is_asked_of_every_input() {
    let issued = Authority::new("root").issue_dns("a.example.org");
    let directory = PlainDirectory::new(&issued.files());
    let mut asked = question();
    asked.expectations.dns_names = vec!["b.example.org".to_owned()];
    assert_eq!(checks(&only(directory.path().to_owned(), &asked)), ["name-missing"]);

    let other = directory.path().join("other.pem");
    fs::write(&other, Authority::new("other").own_pem()).unwrap();
    let judged = only(directory.path().to_owned(), &Question { bundle: Some(other), ..question() });
    assert_eq!((checks(&judged), judged.verdict), (vec!["chain-untrusted"], Verdict::Rejected));
}

#[test]
fn an_outlook_tells_what_fails_and_when_with_the_first_failure_first() {
    let now = SystemTime::now();
    let ca = Authority::new("root");
    let directory = |days: u32| {
        PlainDirectory::new(&ca.issue(Leaf::for_dns("a.example.org").valid(now - DAY, now + days * DAY)).files())
    };
    let (late, soon, never) = (directory(20), directory(10), directory(60));
    let asked = Question { until: Some(now + 30 * DAY), at: now, ..question() };
    let report = report(&[&late, &soon, &never].map(|directory| directory.path().to_owned()), &asked);
    let rejected: Vec<_> = report
        .changes()
        .into_iter()
        .filter(|(_, change)| change.verdict == Verdict::Rejected)
        .map(|(judged, change)| (judged.input.clone(), change.findings[0].finding.check.to_string()))
        .collect();
    let expired = |directory: &PlainDirectory| (directory.path().display().to_string(), "expired".to_owned());
    assert_eq!(rejected, [expired(&soon), expired(&late)]);
    assert_eq!((report.summary.clean, report.summary.failing_later), (3, 2));
    assert_eq!(report.verdict(), Verdict::Rejected);

    let asked = Question { at: now + 15 * DAY, ..question() };
    assert_eq!(only(soon.path().to_owned(), &asked).verdict, Verdict::Rejected);
    assert_eq!(only(late.path().to_owned(), &asked).verdict, Verdict::Warned, "its renewal is overdue");
}

#[test]
fn a_finding_names_the_line_and_the_certificate_that_it_is_about() {
    let now = SystemTime::now();
    let root = Authority::new("root");
    let issued = root.intermediate("between").issue(Leaf::for_dns("a.example.org").valid(now - 2 * DAY, now - DAY));
    let stray = Authority::new("stray").own_pem();
    let directory = PlainDirectory::new(&issued.files().with("tls.crt", issued.chain_pem.clone() + &stray));
    let judged = only(directory.path().to_owned(), &question());
    let line = |of: &str| {
        issued.chain_pem.lines().count() + 1 - if of == "stray" { 0 } else { issued.chain_pem.lines().count() }
    };
    let of = |check: &str| judged.findings.iter().find(|told| told.finding.check == check).unwrap();
    let (expired, order) = (of("expired"), of("chain-order"));
    assert_eq!(expired.line, Some(line("leaf")));
    assert_eq!(expired.certificate.as_ref().unwrap().subject, "CN=a.example.org");
    assert_eq!(order.line, Some(line("stray")));
    assert_eq!(order.certificate.as_ref().unwrap().subject, "CN=stray");
    assert_eq!(judged.findings[0].finding.check, "expired", "the worst is told first");
}

#[test]
fn a_folder_of_spiffe_credentials_is_one_identity_with_the_trust_that_the_daemon_finds_in_it() {
    let ca = Authority::new("root");
    let issued = ca.issue(Leaf::new("").uri("spiffe://example.org/a"));
    let files = Files::new()
        .with("credential-bundle.pem", issued.key_pem.clone() + &issued.chain_pem)
        .with("example.org.spiffe-trust-bundle.pem", &issued.ca_pem)
        .with("partner.example.org.spiffe-trust-bundle.pem", Authority::new("partner").own_pem());
    let (plain, volume) = (PlainDirectory::new(&files), KubeletVolume::new(&files));
    for directory in [plain.path(), volume.path()] {
        let judged = only(directory.to_owned(), &question());
        assert_eq!((judged.kind, judged.published, checks(&judged).as_slice()), (Kind::Identity, Some(true), &[][..]));
        assert_eq!(judged.certificates.len(), 3, "the leaf, and an anchor of each trust domain");
    }
    let stranger = Authority::new("other").own_pem();
    let directory = PlainDirectory::new(&files.with("example.org.spiffe-trust-bundle.pem", stranger));
    let judged = only(directory.path().to_owned(), &question());
    assert!(checks(&judged).contains(&"chain-untrusted"), "{judged:?}");
}

#[test]
fn a_certificate_without_a_subject_is_said_to_have_none() {
    let named = |subject: &str| {
        let certificate =
            report::CertificateName { subject: subject.to_owned(), serial: "0a".to_owned(), sha256: String::new() };
        certificate.to_string()
    };
    assert_eq!([named("CN=a"), named("")], ["CN=a, serial 0a", "(no subject), serial 0a"]);
}

#[test]
fn a_file_that_is_missing_is_told_with_what_to_do_whoever_asks() {
    let judged = only(PathBuf::from("/nonexistent/missing.pem"), &question());
    let sentence = &judged.findings[0].finding.sentence;
    assert!(sentence.contains("; put it there: whoever watches it reads it as soon as it appears"), "{sentence}");
}

#[test]
fn people_read_the_worst_first_without_colours_unless_they_are_asked_for() {
    let now = SystemTime::now();
    let ca = Authority::new("root");
    let good = PlainDirectory::new(&ca.issue_dns("a.example.org").files().without("ca.crt"));
    let expired =
        PlainDirectory::new(&ca.issue(Leaf::for_dns("b.example.org").valid(now - 2 * HOUR, now - HOUR / 2)).files());
    let report = report(&[&good, &expired].map(|directory| directory.path().to_owned()), &question());
    let plain = text(&report, Style::Plain);
    let heads: Vec<_> = plain.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(heads[0].contains("tls.crt:1: reject[expired] CN=b.example.org, serial "), "{plain}");
    assert!(heads[1].contains("tls.crt:1: info[no-bundle] CN=a.example.org, serial "), "{plain}");
    assert_eq!(heads[2..], ["2 checked: 1 rejected, 1 clean"]);
    assert!(!plain.contains('\u{1b}'));
    assert!(text(&report, Style::Coloured).contains("\u{1b}[1;31mreject\u{1b}[0m[expired]"));
}

#[test]
fn a_scanner_is_told_of_rules_and_of_files_relative_to_where_it_is() {
    let now = SystemTime::now();
    let issued = Authority::new("root").issue(Leaf::for_dns("b.example.org").valid(now - 2 * DAY, now - DAY));
    let root = tempfile::tempdir().unwrap();
    let _ = PlainDirectory::at(&root.path().join("a b"), &issued.files());
    let report = report(&[root.path().join("a b")], &question());
    let told = sarif(&report, root.path());
    let result = &told["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"expired".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/tls.crt");
    assert_eq!(place["region"]["startLine"], 1);
    let rules = told["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["id"] == "expired" && rule["help"]["text"] != ""));
    let elsewhere = sarif(&report, Path::new("/elsewhere"));
    let uri = &elsewhere["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert!(uri.as_str().unwrap().starts_with("file:///"), "{uri}");
}

#[test]
fn of_a_kubeconfig_every_context_is_judged_by_the_lines_of_its_certificates() {
    let now = SystemTime::now();
    let ca = Authority::new("kubernetes");
    let client = |name: &str| Leaf::new(name).extended_key_usages(&[ExtendedKeyUsagePurpose::ClientAuth]);
    let admin = ca.issue(client("admin").uri("spiffe://example.org/admin"));
    let old = ca.issue(client("old").uri("spiffe://example.org/old").valid(now - 2 * DAY, now - DAY));
    let directory = PlainDirectory::new(&old.files());
    let base64 = |pem: &str| {
        evercert_fixtures::pem("X", pem.as_bytes()).lines().filter(|line| !line.starts_with('-')).collect::<String>()
    };
    let text = format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: null\nclusters:\n- name: c\n  cluster:\n    server: https://10.0.0.1:6443\n    \
         certificate-authority-data: {ca}\nusers:\n- name: admin\n  user:\n    client-certificate-data: {chain}\n    client-key-data: {key}\n\
         - name: old\n  user:\n    client-certificate: tls.crt\n    client-key: tls.key\n- name: token\n  user:\n    exec:\n      command: x\n      env: null\n\
         contexts:\n- name: one\n  context: {{cluster: c, user: admin}}\n- name: two\n  context: {{cluster: c, user: old}}\n\
         - name: three\n  context: {{cluster: c, user: token}}\n",
        ca = base64(&ca.own_pem()),
        chain = base64(&admin.chain_pem),
        key = base64(&admin.key_pem),
    );
    let file = directory.path().join("config");
    fs::write(&file, &text).unwrap();
    let report = report(std::slice::from_ref(&file), &question());
    let told: Vec<_> = report
        .inputs
        .iter()
        .map(|judged| (judged.input.rsplit('/').next().unwrap(), judged.kind, judged.verdict))
        .collect();
    assert_eq!(
        told,
        [
            ("config (context one)", Kind::Identity, Verdict::Clean),
            ("config (context one)", Kind::Bundle, Verdict::Clean),
            ("config (context two)", Kind::Identity, Verdict::Rejected),
        ]
    );
    let lines: Vec<_> = report.inputs.iter().map(|judged| judged.certificates[0].line).collect();
    assert_eq!(lines, [Some(13), Some(9), Some(1)]);

    fs::write(
        &file,
        text.replace("client-certificate: tls.crt", "client-certificate-data: \"\"\n    client-certificate: tls.crt"),
    )
    .unwrap();
    assert_eq!(self::report(std::slice::from_ref(&file), &question()).inputs[2].certificates.len(), 1);

    fs::write(&file, text.replace("clusters:", "clusters: 7\nx:")).unwrap();
    let judged = only(file, &question());
    assert_eq!((checks(&judged), judged.verdict), (vec!["unparsable"], Verdict::Unreadable));
}

#[test]
fn a_kubeconfig_whose_contexts_lead_to_no_certificate_is_not_clean() {
    let ca = Authority::new("kubernetes").own_pem();
    let directory = PlainDirectory::new(&Files::new().with("ca.pem", &ca));
    let file = directory.path().join("config");
    let clusters = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {certificate-authority: ca.pem}}]\n";
    for (rest, verdict) in [
        ("users: null\ncontexts: [{name: one, context: {cluster: c}}]", Verdict::Clean),
        ("users: [{name: x, user: {token: x}}]\ncontexts: [{name: one, context: {user: x}}]", Verdict::Unreadable),
        ("users: null\ncontexts: null", Verdict::Unreadable),
    ] {
        fs::write(&file, format!("{clusters}{rest}\n")).unwrap();
        let judged = only(file.clone(), &question());
        assert_eq!(judged.verdict, verdict, "{rest}: {:?}", judged.findings);
    }
}

#[test]
fn a_context_that_names_what_is_not_there_is_not_clean_and_says_what_it_names() {
    let ca = Authority::new("kubernetes").own_pem();
    let directory = PlainDirectory::new(&Files::new().with("ca.pem", &ca));
    let file = directory.path().join("config");
    let text = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {certificate-authority: ca.pem}}]\n\
                users: [{name: x, user: {token: x}}]\ncontexts:\n\
                - {name: well, context: {cluster: c, user: x}}\n- {name: one, context: {cluster: c, user: y}}\n\
                - {name: two, context: {cluster: d, user: x}}\n";
    fs::write(&file, text).unwrap();
    let report = report(&[file], &question());
    let told: Vec<_> = report
        .inputs
        .iter()
        .map(|judged| (judged.input.rsplit('/').next().unwrap(), judged.verdict, judged.findings.first()))
        .collect();
    assert!(matches!(told[0], ("config (context well)", Verdict::Clean, None)), "{told:?}");
    for (told, context, named) in [(told[1], "one", "the user y"), (told[2], "two", "the cluster d")] {
        let (input, verdict, finding) = told;
        assert_eq!((input, verdict), (&*format!("config (context {context})"), Verdict::Unreadable));
        let sentence = &finding.unwrap().finding.sentence;
        assert!(sentence.starts_with(&format!("the context {context} of ")) && sentence.contains(named), "{sentence}");
    }
}

#[test]
fn however_many_files_are_beside_a_certificate_it_is_judged_or_said_to_be_one_of_too_many() {
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("a.pem");
    fs::write(&first, "none").unwrap();
    for number in 0..=inputs::INPUTS {
        fs::File::create(root.path().join(format!("{number}.log"))).unwrap();
    }
    for path in [root.path().to_owned(), root.path().join("*.pem")] {
        assert!(only(path, &question()).input.ends_with("a.pem"));
    }
    let too_many = judge(&[root.path().join("*").join("a.pem").into_os_string()], &question(), &|_| {});
    assert_eq!(too_many.map(|report| report.summary), Err(TooMany));
}
