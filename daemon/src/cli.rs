//! The command line.

mod admin;
mod check;
mod completions;
mod config;
mod fingerprint;
mod json;
mod moment;
mod output;
#[cfg(test)]
mod pages;
mod probe;
mod reload;
mod run;
mod runtime;
mod status;
mod trust;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evercert_core::text;

use crate::host::names;

/// Runs `evercertd` with the arguments of this process and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    main_from(std::env::args_os())
}

/// Runs `evercertd` with these arguments, the first of which is the program's name, and returns its exit status. Call
/// it before any thread is started: it reads and clears the variables of socket activation.
#[must_use]
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    names::confine();
    let args: Vec<OsString> = args.into_iter().collect();
    let of_probe = probe::as_words(&args);
    let (is_probe, is_check) = (of_probe.is_some(), args.get(1).is_some_and(|command| command == "check"));
    let cli = match Cli::try_parse_from(of_probe.unwrap_or(args)) {
        Ok(cli) => cli,
        Err(error) => {
            let status = match error.use_stderr() {
                true if is_probe => probe::BAD_FLAGS.into(),
                // Its status of wrong arguments would be that of something that is rejected.
                true if is_check => check::UNREADABLE.into(),
                _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
            };
            // Help and version are answers, not errors.
            return output::ended(error.print(), status);
        }
    };
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Probe(args) => probe::run(*args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// How a command ended, for scripts and service managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// As it should.
    Ok,
    /// It could not do what it was asked.
    Failed,
    /// The configuration is refused: `EX_CONFIG` of sysexits.h. Starting again does not help.
    Config,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::SUCCESS,
            Status::Failed => Self::FAILURE,
            Status::Config => Self::from(78),
        }
    }
}

/// Says on stderr why a command ends, and with which status.
pub(crate) fn report(error: &dyn std::error::Error, status: Status) -> ExitCode {
    eprintln!("evercertd: {}", text::plain_lines(&error.to_string()));
    status.into()
}

/// Keeps mounted certificates fresh in running services: watches them, checks them, publishes what passes over a Unix
/// socket, and knows which process serves which generation
#[derive(Debug, Parser)]
#[command(
    name = "evercertd",
    version,
    after_help = "\
Examples:
  evercertd run                    the daemon, in the foreground
  evercertd reload                 after the configuration was changed
  evercertd status                 every identity, and who is still on an older certificate
  evercertd check PATH             what the daemon would say of certificates in files
  evercertd config                 the default configuration, every key documented
  evercertd probe -addr=:50051     whether a gRPC server is healthy, for the probes of a pod

Environment:
  EVERCERT_CONFIG                  the configuration of `run`
  EVERCERT_LOG, RUST_LOG           what is logged: error, warn, info, debug, trace"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Judge certificates in files as the daemon would, without one
    Check(check::Args),
    /// Print the default configuration with every key documented, or check a file
    Config(config::Args),
    /// Show every identity: its leaf, its findings, who uses it and who is behind
    Status(status::Args),
    /// Follow the status live
    Watch(watch::Args),
    /// Have the running daemon read its configuration and every identity's files again
    Reload(reload::Args),
    /// Show the anchors that are trusted though they left their ca.crt, or end that
    Trust(trust::Args),
    /// Ask a gRPC server whether it is healthy, as grpc_health_probe does
    Probe(Box<probe::Args>),
    /// Print a script that has a shell complete these commands and their options
    Completions(completions::Args),
}
