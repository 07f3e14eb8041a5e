//! Thousands of subscribers of one identity, from several processes: what each costs the daemon, and one rotation for all of them.
//!
//! Memory, and that every subscriber comes to serve what was mounted, decide whether the promise was kept; how long that takes
//! depends on the machine and is reported in `promises`.

mod client;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use evercert_fixtures::KubeletVolume;
use evercert_tests::daemon::{Daemon, Home, identity};
use serde_json::{Value, json};

use crate::latencies::Latencies;
use crate::process::{self, Process};
use crate::stage;
pub(crate) use client::{CLIENT, run as be_client};

/// The daemon's budget for a subscriber, in KiB.
const MEMORY: f64 = 40.0;
/// How long a rotation may take until all serve it.
const PROMISE: Duration = Duration::from_secs(2);
/// How many descriptors the daemon has besides its connections, at most.
const SPARE: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many subscribers there are, each with a connection of its own
    #[arg(long, default_value_t = 5_000)]
    subscribers: usize,
    /// How many processes they are in
    #[arg(long, default_value_t = 5)]
    processes: usize,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 120)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    process::raise_descriptor_limit();
    let issued = stage::certificates(2);
    let volume = KubeletVolume::new(&issued[0].files());
    let home = Home::new(crate::daemon);
    home.configure(&(limits(args.subscribers) + &identity(stage::IDENTITY, volume.path())));
    let daemon = home.start().await;
    daemon.until("it is published", stage::IDENTITY, |status| status.generation == 1).await;
    let resident = || process::memory(daemon.pid(), "VmRSS");

    let before = resident();
    let start = Instant::now();
    let mut clients: Vec<_> = (0..args.processes)
        .map(|n| args.subscribers / args.processes + usize::from(n < args.subscribers % args.processes))
        .map(|subscribers| Client::start(&home.agent_socket(), stage::IDENTITY, subscribers))
        .collect();
    for client in &mut clients {
        client.until_connected();
    }
    let connected = start.elapsed();
    let with_all = resident();
    until_all_current(&daemon, args.subscribers).await;

    let start = client::now();
    volume.swap(&issued[1].files());
    let (mut delivery, mut failed) = (Latencies::new(), 0);
    for client in &mut clients {
        let (arrived, lost) = client.until_rotated();
        arrived.into_iter().for_each(|at| delivery.record(at.saturating_sub(start)));
        failed += lost;
    }
    until_all_current(&daemon, args.subscribers).await;
    let current = client::now().saturating_sub(start);
    let after = resident();

    let each = |resident: f64| ((resident - before) * 1024.0 / args.subscribers as f64 * 10.0).round() / 10.0;
    json!({
        "scenario": "subscribers",
        "kept": each(with_all) <= MEMORY && failed == 0,
        "settings": { "subscribers": args.subscribers, "processes": args.processes },
        "connected_ms": connected.as_millis() as u64,
        "rss_before_mib": before,
        "rss_with_all_mib": with_all,
        "rss_after_rotation_mib": after,
        "kib_per_subscriber": each(with_all),
        "kib_per_subscriber_after_rotation": each(after),
        "delivery_ms": delivery.figures(),
        "all_current_ms": current.as_millis() as u64,
        "failed": failed,
        "promises": { "all_current_within_2_s": current <= PROMISE },
    })
}

/// Room for so many subscribers of one user.
pub(crate) fn limits(subscribers: usize) -> String {
    let connections = subscribers + SPARE;
    let keys = ["connections", "connections_per_caller", "streams", "streams_per_caller"];
    let requests = ["requests_per_second", "requests_per_second_per_caller"].map(|key| format!("{key} = 100000\n"));
    keys.iter().fold("[limits]\n".to_owned(), |text, key| text + &format!("{key} = {connections}\n"))
        + &requests.concat()
}

/// Waits until the daemon says that it has so many subscribers, and that all serve what is published.
async fn until_all_current(daemon: &Daemon<'_>, count: usize) {
    daemon.until_current(stage::IDENTITY, count).await;
}

/// A process of subscribers.
pub(crate) struct Client {
    process: Process,
    stdout: BufReader<ChildStdout>,
    /// It ends when this is closed.
    _stdin: ChildStdin,
}

impl Client {
    /// So many of this identity.
    pub(crate) fn start(socket: &Path, identity: &str, subscribers: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(CLIENT).arg(socket).arg(identity).arg(subscribers.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        Self { _stdin: process.0.stdin.take().unwrap(), stdout, process }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("process {} said {line:?}", self.process.0.id()))
    }

    /// Waits until all its subscribers have the first generation.
    pub(crate) fn until_connected(&mut self) {
        assert_eq!(self.line(), json!("connected"));
    }

    /// When the next generation arrived at each of its subscribers, by the monotonic clock, and how many it did not reach.
    fn until_rotated(&mut self) -> (Vec<Duration>, u64) {
        let said = self.line();
        let arrived = said["arrived_us"].as_array().unwrap().iter();
        (arrived.map(|at| Duration::from_micros(at.as_u64().unwrap())).collect(), said["failed"].as_u64().unwrap())
    }
}
