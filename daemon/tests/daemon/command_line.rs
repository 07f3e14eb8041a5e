use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use evercert_fixtures::{Authority, KubeletVolume};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::home::{Home, evercertd, until};

#[test]
fn the_default_configuration_is_fine() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("evercertd.toml");
    fs::write(&file, evercertd().arg("config").output().unwrap().stdout).unwrap();
    assert!(evercertd().arg("config").arg("--check").arg(&file).output().unwrap().status.success());
}

#[test]
fn a_refused_configuration_ends_the_start_with_its_place_and_what_to_write() {
    let home = Home::new("[[identity]]\nname = \"a\"\npaht = \"/x\"\n");
    let line = fs::read_to_string(home.config()).unwrap().lines().count();
    let file = home.config().display().to_string();
    let sentence = format!(
        "evercertd: {file}:{line}:1: unknown key `paht`; did you mean `path`? Keys here are: name, path, chain, key, bundle, crls, \
         federated, overlap, usages, dns_names, ip_addresses, uris, admission, require_chain, renew_before, max_lifetime, clock_skew, severities, allow, serves\n"
    );
    for arguments in [["run", "--config", &file], ["config", "--check", &file]] {
        let output = evercertd().args(arguments).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), sentence);
        assert_eq!(output.status.code(), Some(78));
    }
    assert!(!home.agent().exists());
}

#[test]
fn a_status_of_several_pages_shows_every_identity_once_as_text_and_as_json() {
    let certificates = tempfile::tempdir().unwrap();
    let files = Authority::new("Test CA").issue_dns("x.example.org").files();
    let names: Vec<_> = (0..150).map(|number| format!("id-{number:03}")).collect();
    let _volumes: Vec<_> =
        names.iter().map(|name| KubeletVolume::at(&certificates.path().join(name), &files)).collect();
    let home = Home::new(&format!("[watch]\ndirectories = [\"{}/*\"]\n", certificates.path().display()));
    let daemon = home.start();
    until("every identity", || (daemon.get("/readyz").0 == 200).then_some(()), || daemon.log());
    let (code, json, error) = home.ask(&["status", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let told = status["identities"].as_array().unwrap().iter().map(|identity| identity["name"].as_str().unwrap());
    assert_eq!(told.collect::<Vec<_>>(), names);
    assert_eq!(status["schema"], 1);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/status.schema.json");
    let schema = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    jsonschema::validate(&schema, &status).unwrap();
    let (code, text, error) = home.ask(&["status"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        daemon
            .get("/readyz")
            .1
            .starts_with("ready: 150 of 150 identities served, 0 expired, 0 held back, 0 rejected\n")
    );
    assert!(text.contains("150 of 150 identities served, 0 expired, 0 held back, 0 rejected, started "), "{text}");
    for name in &names {
        let lines = text.lines().filter(|line| line.split_whitespace().any(|word| word.trim_end_matches(':') == name));
        assert_eq!(lines.count(), 1, "{name}: {text}");
    }
}

#[test]
fn a_configuration_that_is_named_has_to_be_there() {
    let output = evercertd().args(["run", "--config", "/nonexistent/evercertd.toml"]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "evercertd: cannot read the configuration /nonexistent/evercertd.toml: No such file or directory (os error 2); `evercertd config` \
         prints one to start from\n"
    );
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn memory_that_may_not_be_locked_ends_the_start_with_the_setting_that_helps() {
    let home = Home::new("[process]\nlock_memory = true\n");
    let own = home.command();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -l 64 && exec \"$@\"", "sh"]).arg(own.get_program()).args(own.get_args());
    // The bounding set is the thread's, and what it starts has it: not even root may then lock more than the limit.
    let output = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            remove_capability_from_bounding_set(CapabilitySet::IPC_LOCK).unwrap();
        }
        command.output().unwrap()
    });
    let output = output.join().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot lock memory: ") && error.contains("(RLIMIT_MEMLOCK: 65536 bytes)"), "{error}");
    assert!(error.contains("LimitMEMLOCK=infinity"), "{error}");
    assert_eq!(output.status.code(), Some(78));
    assert!(!home.agent().exists());
}

#[test]
#[ignore = "needs root, to be sure that memory may be locked"]
fn memory_that_is_to_be_locked_is_locked_where_that_is_permitted() {
    let home = Home::new("[process]\nlock_memory = true\n");
    let daemon = home.start();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    assert!(!locked.trim().starts_with("0 "), "{locked}");
}

#[test]
fn names_that_collide_are_told_alike_at_a_start_a_reload_and_by_whoever_checks() {
    let home = Home::new("");
    for name in ["x/a", "y/a", "y/b"] {
        fs::create_dir_all(home.path().join(name)).unwrap();
    }
    let at = home.path().display();
    home.configure(&format!(
        "[watch]\ndirectories = [\"{at}/x/*\", \"{at}/y/*\"]\n[[identity]]\nname = \"b\"\npath = \"/nonexistent\"\n"
    ));
    let sentences = [
        format!("two identities are named a: the one of {at}/x/a stays, and the directory {at}/y/a is left out"),
        format!(
            "two identities are named b: the one of /nonexistent/tls.crt stays, and the directory {at}/y/b is left out"
        ),
    ];
    let file = home.config().display().to_string();
    let check = evercertd().args(["config", "--check", &file]).output().unwrap();
    assert_eq!(check.status.code(), Some(0));
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(sentences.iter().all(|sentence| said.contains(&format!("warning: {sentence}"))), "{said}");

    let daemon = home.start();
    sentences.iter().for_each(|sentence| daemon.wait_for_log(sentence));
    let collisions =
        |page: &crate::metrics::Page| page.sum("evercert_identity_finding", &[("check", "name-collision")]);
    daemon.wait_for_metrics(|page| collisions(page) == 2.0);
    assert_eq!(home.ask(&["reload"]).0, Some(0));
    daemon.wait_for_metrics(|page| collisions(page) == 2.0);
}

#[test]
fn a_watched_directory_that_matches_nothing_makes_nobody_ready() {
    let ca = Authority::new("Test CA");
    let home = Home::new("");
    let certs = home.path().join("certs");
    home.configure(&format!("[watch]\ndirectories = [\"{}/*\"]\ntick = \"100ms\"\n", certs.display()));
    let check = evercertd().args(["config", "--check"]).arg(home.config()).output().unwrap();
    assert!(String::from_utf8(check.stderr).unwrap().contains("warning: no directory matches"));
    let daemon = home.start();
    let (status, body) = daemon.get("/readyz");
    assert!(status == 503 && body.contains("directory-unmatched: no directory matches"), "{status} {body}");
    let pattern = format!("{}/*", certs.display());
    assert_eq!(daemon.metrics().get("evercert_watched_directories", &[("pattern", &pattern)]), Some(0.0));
    let (status, stdout, _) = home.ask(&["status"]);
    assert!(status == Some(1) && stdout.contains("warn: directory-unmatched: "), "{stdout}");

    let _volume = KubeletVolume::at(&certs.join("a"), &ca.issue_dns("a").files());
    fs::create_dir(certs.join("not a name")).unwrap();
    daemon.wait_for_metrics(|page| {
        page.sum("evercert_identity_published", &[]) == 1.0
            && page.get("evercert_watched_directories_unusable", &[("pattern", &pattern)]) == Some(1.0)
    });
    let (status, body) = daemon.get("/readyz");
    assert!(
        status == 200
            && body.starts_with("ready: 1 of 1 identity served, 0 expired, 0 held back, 0 rejected\ndirectory-name: ")
            && body.contains("\"not a name\""),
        "{body}"
    );
}

#[test]
fn what_a_watched_directory_held_is_served_on_when_it_goes_away_whoever_reloads() {
    let ca = Authority::new("Test CA");
    let home = Home::new("");
    let certs = home.path().join("certs");
    let _volume = KubeletVolume::at(&certs.join("a"), &ca.issue_dns("a").files());
    home.configure(&format!("[watch]\ndirectories = [\"{}/*\"]\ntick = \"100ms\"\n", certs.display()));
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 1.0);
    let away = home.path().join("away");
    fs::rename(&certs, &away).unwrap();
    let is_away = |page: &crate::metrics::Page| {
        page.sum("evercert_identity_finding", &[("check", "directory-away")]) == 1.0
            && page.sum("evercert_watched_directories_away", &[]) == 1.0
            && page.get("evercert_identity_published", &[("identity", "a")]) == Some(1.0)
    };
    daemon.wait_for_metrics(is_away);
    assert_eq!(home.ask(&["reload"]).0, Some(0));
    daemon.wait_for_metrics(is_away);
    let (status, body) = daemon.get("/readyz");
    assert!(status == 503 && body.contains("directory-away: "), "{status} {body}");
    fs::rename(&away, &certs).unwrap();
    daemon.wait_for_metrics(|page| page.sum("evercert_watched_directories_away", &[]) == 0.0);
    assert_eq!(
        daemon.get("/readyz"),
        (200, "ready: 1 of 1 identity served, 0 expired, 0 held back, 0 rejected\n".to_owned())
    );
}

#[test]
fn a_metrics_port_that_is_taken_keeps_nothing_from_being_served_and_is_had_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new("");
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), text.replace("127.0.0.1:0", &address.to_string())).unwrap();
    let daemon = home.start();
    daemon.wait_for_log("metrics, liveness and readiness are not served: cannot listen on");
    let (status, stdout, _) = home.ask(&["status"]);
    assert!(
        status == Some(1)
            && stdout.contains(&format!(
                "warn: http-unavailable: metrics, liveness and readiness are not served: cannot listen on {address}"
            )),
        "{stdout}"
    );
    drop(taken);
    daemon.wait_for_log("the HTTP socket is open");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(home.ask(&["status"]).0, Some(0));
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let home = Home::new("[log]\nlevel = \"evercertd=loud\"\n");
    let output = home.command().output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("`level` is no log level"), "{error}");
    assert_eq!(output.status.code(), Some(78));

    let output = Home::new("").command().env("EVERCERT_LOG", "verbose").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("evercertd: EVERCERT_LOG is \"verbose\", no log level; write error"), "{error}");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn trust_that_nobody_retains_is_an_empty_list_and_an_unknown_identity_an_error() {
    let home = Home::new("[[identity]]\nname = \"a\"\npath = \"/nonexistent\"\n");
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_finding", &[("check", "file-missing")]) >= 1.0);
    let (status, stdout, stderr) = home.ask(&["trust", "list"]);
    assert_eq!((status, &*stdout, &*stderr), (Some(0), "no anchor is trusted that is not on disk\n", ""));
    let (status, stdout, _) = home.ask(&["trust", "list", "--json", "--identity", "a"]);
    assert_eq!((status, &*stdout), (Some(0), "{\n  \"identities\": []\n}\n"));
    let (status, _, stderr) = home.ask(&["trust", "list", "--identity", "b"]);
    assert_eq!((status, &*stderr), (Some(1), "evercertd: no identity is named \"b\"; there are a\n"));
}

#[test]
fn a_command_that_finds_no_daemon_behind_the_socket_says_where_to_look() {
    let home = Home::new("");
    let where_to_look = "`systemctl status evercertd` says whether it is up, `journalctl -u evercertd` why not, and `evercertd config --check`";
    let (status, _, stderr) = home.ask(&["status"]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("is not there") && stderr.contains(where_to_look), "{stderr}");

    // As the service manager holds it while the daemon does not start: connections wait, and in the end are closed.
    fs::create_dir_all(home.admin().parent().unwrap()).unwrap();
    let held = UnixListener::bind(home.admin()).unwrap();
    for arguments in [&["status"][..], &["trust", "list"], &["watch"]] {
        let (status, _, stderr) = home.ask(arguments);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(
            stderr.contains("did not answer within 5 s") && stderr.contains(where_to_look),
            "{arguments:?}: {stderr}"
        );
    }
    drop(held);
    let (status, _, stderr) = home.ask(&["reload"]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("nobody listens") && stderr.contains(where_to_look), "{stderr}");
}

#[test]
fn a_connection_that_is_closed_before_the_answer_says_where_to_look() {
    let home = Home::new("");
    fs::create_dir_all(home.admin().parent().unwrap()).unwrap();
    let held = UnixListener::bind(home.admin()).unwrap();
    let closing = thread::spawn(move || held.accept().map(drop));
    let (status, _, stderr) = home.ask(&["status"]);
    closing.join().unwrap().unwrap();
    assert_eq!(status, Some(2));
    assert!(stderr.contains("was closed before evercertd answered") && stderr.contains("config --check"), "{stderr}");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_of_every_command() {
    let home = Home::new("");
    let _daemon = home.start();
    let (admin, config) = (home.admin().display().to_string(), home.config().display().to_string());
    let commands: [&[&str]; 10] = [
        &["--version"],
        &["--help"],
        &["config"],
        &["config", "--check", &config],
        &["completions", "bash"],
        &["status", "--socket", &admin],
        &["status", "--json", "--socket", &admin],
        &["watch", "--socket", &admin],
        &["reload", "--socket", &admin],
        &["trust", "list", "--socket", &admin],
    ];
    for arguments in commands {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = evercertd().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot write to standard output: No space left on device"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_report_that_is_not_whole_and_an_outlook_into_the_past_are_no_judgements() {
    let volume = KubeletVolume::new(&Authority::new("Test CA").issue_dns("a").files());
    let path = volume.path().display().to_string();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let unwritten = evercertd().args(["check", &path]).stdout(full).output().unwrap();
    assert_eq!(unwritten.status.code(), Some(3), "1 is for warnings");

    let until = |time| evercertd().args(["check", &path, "--at", "+30d", "--until", time]).output().unwrap();
    let past = until("2020-01-01T00:00:00Z");
    assert_eq!(past.status.code(), Some(3));
    assert!(String::from_utf8(past.stderr).unwrap().contains("--until is before the time for which is judged"));
    assert_ne!(until("+0s").status.code(), Some(3));
}

#[test]
fn a_configuration_from_standard_input_is_checked_and_what_it_would_load_is_listed() {
    let volume = KubeletVolume::new(&Authority::new("Test CA").issue_dns("a").files());
    let path = volume.path().display();
    let text = format!(
        "[watch]\ndirectories = []\n[[identity]]\nname = \"a\"\npath = \"{path}\"\n\
         [[identity]]\nname = \"b\"\npath = \"/nowhere\"\ncrls = [\"/lists/ca.crl\"]\n"
    );
    let check = |text: &str| {
        let mut command = evercertd();
        command.args(["config", "--check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, listed, warnings) = check(&text);
    assert_eq!(status, Some(0), "{warnings}");
    assert!(listed.starts_with("standard input: fine, 2 identities now\n"), "{listed}");
    assert!(
        listed.contains(&format!("\n  a: {path}/ca.crl, {path}/ca.crt, {path}/tls.crt, {path}/tls.key\n")),
        "{listed}"
    );
    for missing in ["/lists/ca.crl", "/nowhere/tls.crt", "/nowhere/tls.key"] {
        assert!(warnings.contains(&format!("warning: identity b: {missing} is not there")), "{warnings}");
    }
    assert!(!warnings.contains("identity a") && !warnings.contains("/nowhere/ca.c"), "{warnings}");

    let (status, listed, errors) = check("[watch]\ntick = 3\n[http]\nlisten = \"x\"\n");
    assert_eq!((status, &*listed), (Some(78), ""));
    assert_eq!(errors.lines().count(), 2, "{errors}");
}
