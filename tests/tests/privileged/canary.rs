//! A key that is looked for wherever the daemon leaves anything.

use std::fs;
use std::path::Path;

use evercert_fixtures::wait::until;
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::memory::{copies_of_keys, secret};
use prost::bytes::Bytes;
use rustix::process::Signal;

use crate::actor::Actor;
use crate::caller::{ask_one, key};
use crate::daemon::{self, cli, counted, get};
use crate::room::Room;

const READER: u32 = 70_004;

/// The ways in which a key may be written: the body of its PEM, and its secret number in hexadecimal and as Rust prints bytes in
/// one way and the other.
fn forms(issued: &Issued) -> Vec<String> {
    let body: Vec<_> = issued.key_pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let secret = secret(issued);
    let hex = |separator: &str| secret.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator);
    let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut forms: Vec<_> = body.iter().map(ToString::to_string).collect();
    forms.extend([hex(""), hex("").to_uppercase(), hex(":"), hex(" "), list]);
    // As `Bytes` shows itself.
    forms.push(format!("{:?}", Bytes::copy_from_slice(secret)).trim_start_matches('b').trim_matches('"').to_owned());
    forms
}

fn assert_without(canary: &[String], what: &str, text: &str) {
    for form in canary {
        let line = text.lines().position(|line| line.contains(form));
        assert_eq!(line, None, "a form of the key is in this line of {what}");
    }
    assert!(!text.contains("PRIVATE KEY-----\\nM") && !text.contains("PRIVATE KEY-----\nM"), "a PEM is in {what}");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn no_copy_of_a_key_is_left_in_memory_once_its_last_subscriber_is_gone() {
    let room = Room::enter();
    let authority = Authority::new("root.example.org");
    let generations: Vec<_> = (0..5).map(|_| authority.issue(Leaf::for_dns("a"))).collect();
    let volume = KubeletVolume::at(&room.directory("etc/tls/a"), &generations[0].files());
    let home = Home::open_to_all(room.path(), || daemon::program(&[]));
    home.configure(&identity("a", volume.path()));
    let running = home.start().await;
    for (number, issued) in (1..).zip(&generations) {
        if number > 1 {
            volume.swap(&issued.files());
        }
        running.until("it is published", "a", |status| status.generation == number).await;
        for _ in 0..4 {
            assert!(key(&ask_one(&room, &Actor::user(READER), &home.agent_socket(), "a").await) > 0);
        }
    }
    running.until("the subscribers are gone", "a", |status| status.subscribers.is_empty()).await;
    let left = || copies_of_keys(running.pid(), &generations);
    let settled = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while left().iter().any(|copies| *copies > 0) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    assert!(settled.await.is_ok(), "copies by generation: {:?}", left());
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_key_is_in_no_log_error_metric_status_or_core_and_no_other_user_reads_the_process() {
    let room = Room::enter();
    let authority = Authority::new("root.example.org");
    let (issued, other) = (authority.issue(Leaf::for_dns("a")), authority.issue(Leaf::for_dns("b")));
    let canary: Vec<_> = [&issued, &other].into_iter().flat_map(forms).collect();
    let volume = KubeletVolume::at(&room.directory("etc/tls/a"), &issued.files());
    let cores = room.directory("cores");
    let home = Home::open_to_all(room.path(), {
        let cores = cores.clone();
        move || {
            // The kernel is let write a core by its parent, and it is the daemon that takes that back.
            let mut command = daemon::program(&["prlimit", "--core=unlimited:unlimited"]);
            command.env("EVERCERT_LOG", "trace").env("RUST_BACKTRACE", "full").current_dir(&cores);
            command
        }
    });
    home.configure(&identity("a", volume.path()));
    let running = home.start().await;
    running.until("it is published", "a", |status| status.generation == 1).await;
    let socket = home.agent_socket();
    assert!(key(&ask_one(&room, &Actor::user(READER), &socket, "a").await) > 0, "the key crosses the socket");
    let read = || counted(home.http().unwrap(), "evercert_identity_reloads_total", &[]);
    for files in [
        issued.files().with("tls.key", &other.key_pem),
        issued.files().with("tls.key", issued.key_pem.replace("PRIVATE", "PRIVATF")),
        issued.files().with("tls.key", &issued.key_pem[..issued.key_pem.len() / 2]),
        issued.files().with("tls.key", issued.key_pem.replacen("\nM", "\n!", 1)),
        issued.files().with("tls.key", &issued.key_der),
        issued.files().with("tls.crt", &issued.key_pem),
        issued.files().with("ca.crt", &issued.key_pem),
    ] {
        let before = read();
        volume.swap(&files);
        until("the files are read", || async { (read() > before).then_some(()) }).await;
        let status = format!("{:?}", running.status().await);
        assert_without(&canary, "the status of a mutilated set", &status);
    }
    volume.swap(&other.files());
    running.until("it is good again", "a", |status| status.generation >= 2 && status.findings.is_empty()).await;
    for name in ["b", "../a"] {
        let answer = ask_one(&room, &Actor::user(READER), &socket, name).await;
        assert_without(&canary, "a denial", &answer.to_string());
    }
    let traced = home.log();
    let environment = fs::read(format!("/proc/{}/environ", running.pid())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("EVERCERT_LOG=trace"), "the log is let say all it has");
    assert_without(&canary, "the log", &traced);
    assert_without(&canary, "the metrics", &get(home.http().unwrap(), "/metrics").1);
    for arguments in [&["status"][..], &["status", "--long"], &["status", "--json"], &["trust"]] {
        assert_without(&canary, &arguments.join(" "), &cli(&home, arguments));
    }

    let process = format!("/proc/{}", running.pid());
    for file in ["mem", "maps", "environ", "auxv", "smaps", "stack", "syscall"] {
        let read = Actor::user(READER)
            .command(Path::new("head"))
            .args(["-c1", &format!("{process}/{file}")])
            .output()
            .unwrap();
        assert!(!read.status.success(), "{file} is read by another user: {:?}", read.stdout);
    }
    let command = fs::read(format!("{process}/cmdline")).unwrap();
    assert_without(&canary, "the command line", &String::from_utf8_lossy(&command));
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    running.signal(Signal::ABORT);
    until("it ends", || async { (!Path::new(&process).join("exe").exists()).then_some(()) }).await;
    assert_eq!(fs::read_dir(&cores).unwrap().count(), 0, "no core");
}
