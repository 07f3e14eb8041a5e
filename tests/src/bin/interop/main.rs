//! A peer that is not ours, against our server or our client, while certificates and trust rotate. The peer is a program that is given
//! as the command; `foreign.rs` has what is asked of it. Prints one JSON object, and ends with 1 if a call failed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a scenario that cannot go on has failed"
)]

mod cases;
mod client;
mod foreign;
mod server;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::Value;

/// How long a run may take: far more than it does on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a foreign peer through rotations and a CA rollover.
#[derive(Debug, Parser)]
#[command(name = "interop")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// We serve, and drain what is superseded; the command is a client
    Server(Settings),
    /// We call; the command is a server
    Client(Settings),
    /// The official cases: we serve; the command is a client
    CasesServer(cases::Settings),
    /// The official cases: we call; the command is a server
    CasesClient(cases::Settings),
    /// The official cases that are not run, and why
    CasesLeftOut,
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// How many rotations
    #[arg(long, default_value_t = 20)]
    rotations: u32,
    /// How many CA rollovers of both sides follow
    #[arg(long, default_value_t = 1)]
    rollovers: u32,
    /// How many calls are made from one change to the next
    #[arg(long, default_value_t = 500)]
    calls: u64,
    /// The foreign peer
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let good = runtime.block_on(async {
        let run = async {
            match cli.role {
                Role::Server(settings) => shown(&server::run(settings).await),
                Role::Client(settings) => shown(&client::run(settings).await),
                Role::CasesServer(settings) => cases::serve(settings).await,
                Role::CasesClient(settings) => cases::call(settings).await,
                Role::CasesLeftOut => cases::left_out(),
            }
        };
        tokio::time::timeout(LIMIT, run).await.expect("the run ends within its limit")
    });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the figures of a run; whether nothing failed.
fn shown(figures: &Value) -> bool {
    println!("{figures:#}");
    figures["failed"] == 0
}
