//! `evercert-policy`: what a policy of gRPC calls says, without a server.

mod check;
mod error;
mod export;
mod supposed;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks a policy of gRPC calls against the methods there are, says what it decides and why, and exports it
#[derive(Debug, Parser)]
#[command(name = "evercert-policy", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Is the policy sound, and does every method have a rule?
    protoc --include_imports --descriptor_set_out=api.binpb api/*.proto
    evercert-policy check policy.toml --descriptors api.binpb

  May this workload delete users, and why not?
    evercert-policy check policy.toml --as spiffe://example.org/ns/web/sa/gateway --method /myapp.v1.UserService/DeleteUser

  And with this certificate and these claims of a token?
    evercert-policy check policy.toml --certificate leaf.pem --claims claims.json --method /myapp.v1.UserService/DeleteUser

  The same for a mesh:
    evercert-policy export istio policy.toml --namespace web --label app=users | kubectl apply --filename -

Exit status:
  0  the policy is sound; with --method, it allows the call as well
  1  it is not used, and why is on stderr; with --method, it denies the call
  2  the arguments make no sense";

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Export(export::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Export(args) => export::run(&args),
    };
    done.unwrap_or_else(|error| {
        for line in error.lines() {
            eprintln!("evercert-policy: {line}");
        }
        ExitCode::FAILURE
    })
}
