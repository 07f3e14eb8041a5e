//! A greeter, for scenarios to look at from outside. It says where it listens, and then for each generation that it has begun
//! to use the serial number of the leaf, until it is ended.
#![allow(clippy::print_stdout, reason = "whoever started it reads what it says")]

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use evercert::Identity;
use evercert::source::{AgentSettings, DirectorySettings};
use evercert_tests::service::serve;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    source: Source,
}

/// Where its identity comes from.
#[derive(Subcommand)]
enum Source {
    /// The daemon
    Agent {
        /// The daemon's workload socket
        socket: PathBuf,
        /// The name of the identity
        name: String,
    },
    /// A mount
    Directory { directory: PathBuf },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut identity = match Args::parse().source {
        Source::Agent { socket, name } => Identity::from_agent(AgentSettings::new(name).socket(socket)).await?,
        Source::Directory { directory } => Identity::from_directory(DirectorySettings::new(directory)).await?,
    };
    let (address, _serving) = serve(&identity).await;
    println!("{address}");
    loop {
        let generation = identity.changed().await;
        if let Some(credential) = generation.snapshot().credential() {
            println!("{}", credential.leaf().serial);
        }
    }
}
