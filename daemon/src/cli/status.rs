//! `evercertd status`.

pub(super) mod text;

use std::process::ExitCode;
use std::time::SystemTime;

use evercert_api::v1;

use super::admin::{AdminSocket, DEADLINE, Unreachable};
use super::output::printed;
use super::{Status, json};
use crate::status::StatusReport;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd status
  evercertd status --json | jq '.identities[] | select(.findings != [])'

Something is wrong where an identity has no published generation, its leaf has expired, what is on disk was rejected, \
a watched directory is missing or cannot be used, the HTTP side is not served, a subscriber cannot use the published generation, has not taken it up within a minute or is lost (it stopped answering, and its process \
lives), or the last reload of the \
configuration failed.

Exit status: 0 all is well, 1 something is wrong, 2 the daemon cannot be reached.")]
pub(crate) struct Args {
    /// Print JSON: times are RFC 3339 in UTC, absent values are null, new fields may be added
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: AdminSocket,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let report = match block_on(fetch(&args.socket)) {
        Ok(report) => report,
        Err(error) => return error.reported(),
    };
    let now = SystemTime::now();
    let text = if args.json { json::pretty(&report) } else { text::status(&report, now) };
    printed(text.as_bytes(), if report.is_well(now) { Status::Ok } else { Status::Failed })
}

async fn fetch(socket: &AdminSocket) -> Result<StatusReport, Unreachable> {
    let mut admin = socket.connect().await?;
    let asking = async { evercert_api::whole_status(admin.status(v1::StatusRequest {}).await?.into_inner()).await };
    let status = tokio::time::timeout(DEADLINE, asking).await.map_err(|_| Unreachable::Silent(socket.path.clone()))?;
    Ok(StatusReport::from(status.map_err(|status| socket.unanswered(&status))?))
}

/// Runs a command's future on a runtime of its own.
pub(super) fn block_on<T, E: From<Unreachable>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Unreachable::Other { path: "the runtime".into(), source })?.block_on(future)
}
