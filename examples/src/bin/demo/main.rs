//! The main path, live: a mounted Secret rotates, the daemon publishes it, and a tonic server and its clients swap it without a
//! failed call. Everything it needs it makes in a temporary directory; the daemon is this program once more, as a child.
//!
//! ```text
//! conductor ── swap ──→ volume ──→ evercertd (child) ──→ socket ──→ server, 8 clients
//!     ↑ probe: which leaf does a handshake see?   status: who is behind?  ↓ counts
//!     └──────────────────────────── scene ──→ screen ────────────────────┘
//! ```

mod conductor;
mod daemon;
mod probe;
mod screen;
mod summary;
mod traffic;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::conductor::Conductor;
use crate::screen::Screen;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The exit status of a process that SIGINT ended, as shells count.
const INTERRUPTED: u8 = 130;

/// Rotates a mounted certificate under load, breaks it once, and counts what fails.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo")]
struct Args {
    /// How often to rotate the certificate
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rotations: u32,

    /// How long to wait between rotations
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    every: Duration,

    /// How many clients call the server
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,

    /// Print only the summary, as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if let Some(exit) = daemon::run_if_child() {
        return exit;
    }
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        // Ending the demo's future drops the daemon's handle and the temporary directory, which ends and removes them.
        tokio::select! {
            result = run(args) => result.unwrap_or_else(|error| fail(&*error)),
            () = interrupted() => ExitCode::from(INTERRUPTED),
        }
    })
}

async fn run(args: Args) -> Result<ExitCode> {
    let (json, rotations) = (args.json, args.rotations);
    let (mut conductor, scene) = Conductor::set_up(args).await?;
    let screen = Screen::start(scene, json);
    let played = conductor.play().await;
    screen.end().await;
    if let Err(error) = played {
        eprint!("{}", conductor.daemon_log());
        return Err(error);
    }
    let summary = conductor.finish().await;
    if json {
        println!("{}", summary.to_json()?);
    } else {
        println!("{summary}");
    }
    Ok(if summary.is_good(rotations) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for Ctrl-C, or for what else ends a process politely.
async fn interrupted() {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .collect::<Vec<_>>();
    let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(any).await;
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}
