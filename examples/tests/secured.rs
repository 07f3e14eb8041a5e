//! The secured greeter, as its guide has it run: each command says what the guide says that it does.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server as a process; killed when the test is over.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_secured-server"))
            .args(arguments)
            .arg("127.0.0.1:0")
            .current_dir(directory)
            .env("EVERCERT_DIR", directory.join("tls"))
            .env("EVERCERT_OBSERVE", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = BufReader::new(process.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let address = line.strip_prefix("greeting on ").unwrap().to_owned();
        Self { process, address }
    }

    /// The first line that a client prints.
    fn asked(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_secured-client"))
            .args(arguments)
            .arg(format!("https://{}", self.address))
            .current_dir(directory)
            .env("EVERCERT_DIR", directory.join("tls"))
            .env("EVERCERT_OBSERVE", "off")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A directory with a certificate in `tls`, keys and tokens in `tokens`, and the example's policy.
fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let made = Command::new(program).args(arguments).current_dir(&directory).stdout(Stdio::null()).status();
        assert!(made.unwrap().success(), "{program}");
    };
    run(env!("CARGO_BIN_EXE_make-pki"), &["tls"]);
    run(env!("CARGO_BIN_EXE_make-tokens"), &["tokens", "caller=greeter:call", "admin=admin"]);
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy.toml");
    std::fs::copy(policy, directory.path().join("policy.toml")).unwrap();
    directory
}

#[test]
fn over_tls_alone_whoever_trusts_the_server_is_greeted() {
    let directory = prepared();
    let server = Server::start(directory.path(), &["--client-certificates", "none"]);
    assert_eq!(server.asked(directory.path(), &["--no-certificate"]), "OK Hello world!");
}

#[test]
fn over_mutual_tls_a_certificate_is_needed() {
    let directory = prepared();
    let server = Server::start(directory.path(), &[]);
    assert_eq!(server.asked(directory.path(), &[]), "OK Hello world!");
    assert!(server.asked(directory.path(), &["--no-certificate"]).starts_with("Unavailable"));
}

#[test]
fn where_tokens_are_taken_one_is_needed_but_for_health() {
    let directory = prepared();
    let server = Server::start(directory.path(), &["--client-certificates", "none", "--jwks", "tokens/jwks.json"]);
    let asked = |arguments: &[&str]| server.asked(directory.path(), &[&["--no-certificate"], arguments].concat());
    assert!(asked(&[]).starts_with("Unauthenticated"));
    assert_eq!(asked(&["--token-file", "tokens/caller"]), "OK Hello world!");
    assert_eq!(asked(&["--method", "Check"]), "OK SERVING");
}

#[test]
fn the_policy_says_which_role_may_call_what() {
    let directory = prepared();
    let arguments =
        ["--client-certificates", "optional", "--jwks", "tokens/jwks.json", "--policy", "policy.toml", "--web-origin"];
    let server = Server::start(directory.path(), &[&arguments[..], &["https://app.example.org"]].concat());
    let asked = |token: &str, method: &str| {
        server.asked(directory.path(), &["--token-file", &format!("tokens/{token}"), "--method", method])
    };
    assert_eq!(asked("caller", "SayHello"), "OK Hello world!");
    assert!(asked("caller", "KeepGreeting").starts_with("PermissionDenied"));
    assert_eq!(asked("admin", "KeepGreeting"), "OK 3 replies");
}
