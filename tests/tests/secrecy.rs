//! The traces of a key in a service once it is out of use.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::SocketAddr;
use std::process::Stdio;

use evercert_fixtures::wait::DEADLINE;
use evercert_fixtures::{Authority, Issued, KubeletVolume, wait};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::memory::copies_of_keys;
use evercert_tests::program;
use evercert_tests::side::leaf;
use evercert_tests::stranger;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

/// A service in a process of its own; it is killed when this is dropped.
struct Service {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_evercert-greeter"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Its next line.
    async fn says(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("a line within the deadline").unwrap();
        line.expect("a service that goes on")
    }

    /// Waits until it uses this certificate.
    async fn until_in_use(&mut self, issued: &Issued) {
        while self.says().await != issued.serial_number().to_string() {}
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

fn generations(authority: &Authority) -> Vec<Issued> {
    (0..6).map(|_| authority.issue(leaf())).collect()
}

/// Goes through the generations, with a handshake for each, and waits until the memory of the service holds none of the keys but the last.
async fn only_the_last_key_is_left(
    mut service: Service,
    volume: &KubeletVolume,
    authority: &Authority,
    generations: &[Issued],
) {
    let address: SocketAddr = service.says().await.parse().unwrap();
    for issued in generations {
        volume.swap(&issued.files());
        service.until_in_use(issued).await;
        let served = stranger::handshake(address, issued, &[authority]).await.unwrap();
        assert_eq!(served, issued.leaf_der);
    }
    let (last, former) = generations.split_last().unwrap();
    let left = || copies_of_keys(service.pid(), former);
    let wiped =
        wait::until("the former keys are wiped", || async { left().iter().all(|copies| *copies == 0).then_some(()) });
    assert!(timeout(DEADLINE / 2, wiped).await.is_ok(), "copies by generation: {:?}", left());
    assert_eq!(copies_of_keys(service.pid(), std::slice::from_ref(last)), [1], "of the one that is in use");
}

#[tokio::test]
async fn the_keys_of_former_generations_are_nowhere_in_a_subscribers_memory() {
    let authority = Authority::new("root.example.org");
    let generations = generations(&authority);
    let volume = KubeletVolume::new(&authority.issue(leaf()).files());
    let home = Home::new(|| program!());
    home.configure(&identity("a", volume.path()));
    let daemon = home.start().await;
    daemon.until("it is published", "a", |status| status.generation == 1).await;
    let service = Service::start(&["agent", home.agent_socket().to_str().unwrap(), "a"]);
    only_the_last_key_is_left(service, &volume, &authority, &generations).await;
}

#[tokio::test]
async fn the_keys_of_former_generations_are_nowhere_in_the_memory_of_a_service_with_a_mount() {
    let authority = Authority::new("root.example.org");
    let generations = generations(&authority);
    let volume = KubeletVolume::new(&authority.issue(leaf()).files());
    let service = Service::start(&["directory", volume.path().to_str().unwrap()]);
    only_the_last_key_is_left(service, &volume, &authority, &generations).await;
}
