//! The command line.

mod config;
mod run;
mod status;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs `evercertd` with the arguments of this process and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    main_from(std::env::args_os())
}

/// Runs `evercertd` with these arguments, the first of which is the program's name, and returns its exit status. Call it
/// before any thread is started: it reads and clears the variables of socket activation.
#[must_use]
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors. That the terminal is gone is nobody's concern here.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Config(args) => config::run(args),
        Command::Status(args) => status::run(args),
        Command::Watch(args) => watch::run(args),
    }
}

#[derive(Debug, Parser)]
#[command(name = "evercertd", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Print the default configuration with every key documented, or check a file
    Config(config::Args),
    /// Show every identity: its leaf, its findings, who uses it and who is behind
    Status(status::Args),
    /// Follow the status live
    Watch(watch::Args),
}
