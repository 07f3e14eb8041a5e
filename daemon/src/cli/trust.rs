//! `evercertd trust`.

mod drop;
mod list;
mod who;

use std::process::ExitCode;

use clap::Subcommand;
use evercert_api::v1;
use evercert_core::text::plain;
use serde::Serialize;

use super::Status;
use super::admin::{AdminSocket, Unreachable};
use super::output::printed;
use super::runtime::NoRuntime;
use crate::status::{IdentityScope, Pod, title};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
When the issuer replaces the ca.crt beside a credential, the anchors that leave it stay trusted for a while (`overlap` of the \
identity), since peers may still show leaves of the old CA. `list` shows \
such anchors, and `drop` ends that early. `who` is for retiring a CA.

Examples:
  evercertd trust list
  evercertd trust drop sha256:5e0c…d9        in every identity that retains it
  evercertd trust drop 5E:0C:…:D9 --identity grpc-server
  evercertd trust who sha256:5e0c…d9         what still uses a CA")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the anchors that are trusted though they are no longer on disk, and until when
    List(list::Args),
    /// End the trust in one of them now, for good
    Drop(drop::Args),
    /// Show which identities present a leaf under a CA, or trust it
    Who(who::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.command {
        Command::List(args) => list::run(args),
        Command::Drop(args) => drop::run(args),
        Command::Who(args) => who::run(args),
    };
    match done {
        Ok(text) => printed(text.as_bytes(), Status::Ok),
        Err(Failure::Refused(why)) => {
            eprintln!("evercertd: {}", plain(&why));
            ExitCode::FAILURE
        }
        Err(Failure::Unknown { answer, why }) => {
            eprintln!("evercertd: {}", plain(&why));
            printed(answer.as_bytes(), Status::Failed)
        }
        Err(Failure::Unreachable(error)) => error.reported(),
    }
}

/// The identity that is told of.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct NamedIdentity {
    name: String,
    scope: IdentityScope,
    /// The pod whose volume it is; null for one of the node.
    pod: Option<Pod>,
}

impl NamedIdentity {
    fn new(name: String, scope: &str, pod: Option<v1::Pod>) -> Self {
        Self { name, scope: IdentityScope::named(scope), pod: pod.map(Pod::from) }
    }

    /// Those of the node first, then by pod.
    fn order(&self) -> (Option<&Pod>, &str) {
        (self.pod.as_ref(), &self.name)
    }

    fn title(&self) -> String {
        title(self.pod.as_ref(), &self.name)
    }
}

/// Why a command did not do what it was asked.
enum Failure {
    /// The daemon says why not.
    Refused(String),
    /// The daemon's answer, which is printed all the same, tells nothing of what was asked about.
    Unknown { answer: String, why: String },
    /// There is no daemon to ask.
    Unreachable(Unreachable),
}

impl From<Unreachable> for Failure {
    fn from(error: Unreachable) -> Self {
        Self::Unreachable(error)
    }
}

impl From<NoRuntime> for Failure {
    fn from(error: NoRuntime) -> Self {
        Self::Unreachable(error.into())
    }
}

impl Failure {
    /// Of what was asked at `socket`.
    fn of(socket: &AdminSocket, status: &tonic::Status) -> Self {
        match status.code() {
            tonic::Code::NotFound | tonic::Code::FailedPrecondition | tonic::Code::InvalidArgument => {
                Self::Refused(status.message().to_owned())
            }
            _ => Self::Unreachable(socket.unanswered(status)),
        }
    }
}
