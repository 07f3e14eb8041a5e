//! A daemon with a thousand identities, for a browser to look at: of every length of life and in every state, some with names that would be
//! markup, turn a line around or fill the page. Its first line says where the page is. Then it does what each line that it reads asks for
//! and answers when that is done: `rotate` and `break` an identity, `remove` one, `stop` the daemon and `start` it again.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario that cannot go on has failed, and whoever started it reads what it says"
)]

use std::io::{BufRead as _, stdin};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use clap::Parser;
use evercert_api::v1::{Deliver, IdentityStatus};
use evercert_fixtures::{Authority, DAY, Files, HOUR, Leaf, PlainDirectory};
use evercert_tests::daemon::Home;
use evercert_tests::subscriber::Subscriber;
use rustix::process::Signal;

/// How many identities there are that are well.
const WELL: u32 = 1000;

/// What certificates last: from the hour of a token to the decade of a device.
const LIVES: [Duration; 6] = [
    HOUR,
    DAY.saturating_mul(6),
    DAY.saturating_mul(47),
    DAY.saturating_mul(90),
    DAY.saturating_mul(365),
    DAY.saturating_mul(3650),
];

#[derive(Parser)]
struct Args {
    /// The daemon's program
    daemon: PathBuf,
}

#[tokio::main]
async fn main() {
    let Args { daemon: program } = Args::parse();
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    let authority = Authority::new("Page CA");
    let keep = |name: &str, files: &Files| PlainDirectory::at(&certificates.join(name), files);
    let now = SystemTime::now();
    for number in 0..WELL {
        let life = LIVES[number as usize % LIVES.len()];
        // Each at another point of its life, all before the last third, in which renewal is due.
        let passed = life.mul_f64(f64::from(number * 7 % 60) / 100.0);
        let name = format!("service-{number:04}");
        let leaf = Leaf::for_dns(&format!("{name}.example.org")).valid(now - passed, now + (life - passed));
        keep(&name, &authority.issue(leaf).files());
    }
    let fresh = |name: &str| authority.issue_dns(&format!("{name}.example.org")).files();
    let hostile =
        Leaf::new(&format!("<img src=x onerror=document.title='hacked'>\u{202e}gpj.exe\u{2066}{}", "W".repeat(10_000)))
            .dns("<script>document.title='hacked'</script>")
            .dns(&format!("{}.example.org", "x".repeat(10_000)))
            .uri("javascript:document.title='hacked'");
    keep("hostile", &authority.issue(hostile).files());
    let names = (0..200).fold(Leaf::new("many names"), |leaf, number| leaf.dns(&format!("name-{number}.example.org")));
    keep("many-names", &authority.issue(names).files());
    let overdue = Leaf::for_dns("overdue.example.org").valid(now - 80 * DAY, now + 10 * DAY);
    keep("overdue", &authority.issue(overdue).files());
    let [rotating, breaking, removed] = ["rotating", "breaking", "removed"].map(|name| keep(name, &fresh(name)));
    let followed = keep("followed", &fresh("followed"));
    keep("mismatched", &fresh("mismatched").with("tls.key", fresh("other").content("tls.key").unwrap()));
    let short = Leaf::for_dns("expired.example.org").valid(now - HOUR, now + Duration::from_secs(20));
    keep("expired", &authority.issue(short).files());

    let home = Home::open_to_all(directory.path(), move || Command::new(&program));
    // The section [watch] is the configuration's last one, and is written without directories.
    home.configure("");
    let config = std::fs::read_to_string(home.config()).unwrap();
    let pattern = certificates.join("*");
    std::fs::write(home.config(), config.replace("directories = []", &format!("directories = [{pattern:?}]"))).unwrap();
    let mut daemon = Some(home.start().await);
    let running = daemon.as_ref().unwrap();
    running.until("everything was read", "service-0999", is_published).await;
    running.until_finding("mismatched", "key-mismatch").await;
    // It never says what it does with what it is told.
    let mut straggler = Subscriber::open_for(Deliver::Digest, home.agent_socket(), "followed").await.unwrap();
    straggler.message().await.unwrap();
    followed.replace(&fresh("followed"));
    println!("http://{}/", home.http().unwrap());

    // The other threads of the runtime go on while this one waits for an order.
    for line in stdin().lock().lines().map(Result::unwrap) {
        match (line.as_str(), &daemon) {
            ("rotate", _) => rotating.replace(&fresh("rotating")),
            ("break", _) => breaking.write(&Files::new().with("tls.crt", "no certificate")),
            // A directory that goes between two reloads may be back in a moment, and costs nobody an identity.
            ("remove", Some(daemon)) => {
                std::fs::remove_dir_all(removed.path()).unwrap();
                daemon.signal(Signal::HUP);
            }
            ("stop", Some(_)) => _ = daemon.take().unwrap().terminate().await,
            ("start", None) => {
                daemon = Some(home.start().await);
                daemon.as_ref().unwrap().until("everything was read", "service-0999", is_published).await;
            }
            (other, _) => panic!("{other} is none of the orders"),
        }
        println!("{line}");
    }
    drop(straggler);
}

fn is_published(status: &IdentityStatus) -> bool {
    status.generation > 0
}
