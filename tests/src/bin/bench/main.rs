//! Benchmarks: each scenario prints one JSON object with its settings and figures. Run with `--release`. One that holds a promise says
//! in `kept` whether it was; where it was not, this program ends with 1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on has failed"
)]

mod auth;
mod blocks;
mod burst;
mod calls;
mod chains;
mod check;
mod door;
mod expiry;
mod flood;
mod greeter;
mod growth;
mod handshakes;
mod herd;
mod latencies;
mod leaks;
mod mounts;
mod outage;
mod process;
mod resumption;
mod rotation;
mod scrape;
mod security;
mod servers;
mod soak;
mod stage;
mod subscribers;
mod tell;

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};

/// The hidden first argument with which this program is the daemon.
const DAEMON: &str = "evercertd";

/// Measures evercert on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// From the rename of ..data to the first handshake with the new leaf, through daemon and socket
    Rotation(rotation::Args),
    /// From the rename of ..data to a set that is rejected, to each place that tells it
    Tell(tell::Args),
    /// Calls under rotations, and throughput against tonic's own TLS
    Calls(calls::Args),
    /// mTLS handshakes against a server with a static rustls config
    Handshakes(handshakes::Args),
    /// Chains of strangers that are made to cost a server as much as they can, and handshakes of others meanwhile
    Chains(chains::Args),
    /// `evercertd check` of many files
    Check(check::Args),
    /// The daemon with many mounted sets: until all are published, memory, idle CPU
    Mounts(mounts::Args),
    /// What thousands of sets and subscribers cost a rotation, and all of them renewed at once
    Growth(growth::Args),
    /// Scrapes of the metrics of many identities, as plain text and with gzip
    Scrape(scrape::Args),
    /// Rotations and CA rollovers of both sides under full load
    Soak(soak::Args),
    /// Leaves that expire and CAs that are removed under live streams
    Expiry(expiry::Args),
    /// Memory, descriptors and tasks over thousands of rotations
    Leaks(leaks::Args),
    /// How many of a thousand clients come back in one second
    Herd(herd::Args),
    /// Thousands of channels that connect at once
    Burst(burst::Args),
    /// Silent peers, floods of streams, and a server without descriptors
    Flood(flood::Args),
    /// Many channels while their server is away, and when it is back
    Outage(outage::Args),
    /// Sessions that outlive what their peer was verified by, against our server, our channels and plain rustls
    Resumption(resumption::Args),
    /// What a call costs that is authenticated, limited and authorised
    Auth(auth::Args),
    /// Every kind of call and caller while certificates, keys and a policy change every second
    Security(security::Args),
    /// Calls, handshakes, streams and memory of our server and channels, tonic's own and grpc-go's
    Servers(servers::Args),
    /// Cost of thousands of subscribers to the daemon, and of one rotation for all of them
    Subscribers(subscribers::Args),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|first| first == DAEMON) {
        // A benchmark that is ended from outside, or by its watchdog, can end nobody, so the kernel does.
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
        return evercertd::main_from(args);
    }
    if args.peek().is_some_and(|first| first == greeter::GREETER) {
        return greeter::serve(args.nth(1));
    }
    if args.peek().is_some_and(|first| first == servers::SERVER) {
        return servers::serve(args.skip(1));
    }
    if args.peek().is_some_and(|first| first == servers::CHANNELS) {
        return servers::have(args.skip(1));
    }
    if args.peek().is_some_and(|first| first == subscribers::CLIENT) {
        return subscribers::be_client(args.skip(1));
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let figures = runtime.block_on(async {
        match cli.scenario {
            Scenario::Rotation(args) => rotation::run(args).await,
            Scenario::Tell(args) => tell::run(args).await,
            Scenario::Calls(args) => calls::run(args).await,
            Scenario::Handshakes(args) => handshakes::run(args).await,
            Scenario::Chains(args) => chains::run(args).await,
            Scenario::Check(args) => check::run(&args),
            Scenario::Mounts(args) => mounts::run(args).await,
            Scenario::Growth(args) => growth::run(args).await,
            Scenario::Scrape(args) => scrape::run(args).await,
            Scenario::Soak(args) => soak::run(args).await,
            Scenario::Expiry(args) => expiry::run(args).await,
            Scenario::Leaks(args) => leaks::run(args).await,
            Scenario::Herd(args) => herd::run(args).await,
            Scenario::Burst(args) => burst::run(args).await,
            Scenario::Flood(args) => flood::run(args).await,
            Scenario::Outage(args) => outage::run(args).await,
            Scenario::Resumption(args) => resumption::run(args).await,
            Scenario::Auth(args) => auth::run(args).await,
            Scenario::Security(args) => security::run(args).await,
            Scenario::Servers(args) => servers::run(args).await,
            Scenario::Subscribers(args) => subscribers::run(args).await,
        }
    });
    println!("{figures:#}");
    match figures["kept"] {
        serde_json::Value::Bool(false) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Ends this program with 3 after `limit`: a benchmark that hangs has failed. A thread of its own, since what hangs may be the runtime.
fn watchdog(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("bench: not finished within {limit:?}");
        std::process::exit(3);
    });
}

/// This program as the daemon.
fn daemon() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(DAEMON);
    command
}
