//! `evercertd status`.

mod compact;
mod selection;
pub(super) mod text;

use std::io;
use std::process::ExitCode;
use std::time::SystemTime;

use evercert_api::v1;
use selection::Selection;
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

use super::admin::{AdminSocket, DEADLINE, Unreachable};
use super::output::printed;
use super::runtime::block_on;
use super::{Status, json, report};
use crate::status::StatusReport;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd status                          a line for each identity, those that expire first at the top
  evercertd status --problems --long        what is wrong, whom it concerns, and what to do
  evercertd status --long 'shop/cart-*'     all that is known of these
  evercertd status --json | jq '.identities[] | select(.findings != [])'

Something is wrong where an identity has no published generation, its leaf has expired, what is on disk was rejected, \
a watched directory is missing or cannot be used, the HTTP side is not served, a subscriber cannot use the published generation, has not taken it up within a minute or is lost (it stopped answering, and its process \
lives), or the last reload of the \
configuration failed.

Exit status: 0 all is well, 1 something is wrong, 2 the daemon cannot be reached.")]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Print all that is known of each identity: its leaf, trust and lists, findings with what to do, and each subscriber
    #[arg(long)]
    long: bool,

    /// Print JSON, as docs/status.schema.json in the source says: times are RFC 3339 in UTC, absent values are null, new fields may be added
    #[arg(long, conflicts_with = "long")]
    json: bool,

    #[command(flatten)]
    socket: AdminSocket,
}

/// The version of the JSON's schema: another one where a field is renamed, removed or means something else.
const SCHEMA: u32 = 1;

/// What `--json` prints.
#[derive(Serialize)]
struct Versioned<'a> {
    schema: u32,
    #[serde(flatten)]
    report: &'a StatusReport,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut status = match block_on(fetch(&args.socket)) {
        Ok(status) => status,
        Err(error) => return error.reported(),
    };
    let now = SystemTime::now();
    // It counts all there are, whichever are shown.
    let head = text::head(&status, now);
    if let Err(error) = args.selection.apply(&mut status, now) {
        return report(&error, Status::Failed);
    }
    let told = match args {
        Args { json: true, .. } => json::pretty(&Versioned { schema: SCHEMA, report: &status }),
        Args { long: true, .. } => head + &text::blocks(&status, now),
        _ if status.identities.is_empty() => head,
        _ => {
            let width = terminal_size_of(io::stdout()).map(|(Width(width), _)| width.into());
            format!("{head}\n{}", compact::table(&status, now, width))
        }
    };
    printed(told.as_bytes(), if status.is_well(now) { Status::Ok } else { Status::Failed })
}

async fn fetch(socket: &AdminSocket) -> Result<StatusReport, Unreachable> {
    let mut admin = socket.connect().await?;
    let asking = async { evercert_api::whole_status(admin.status(v1::StatusRequest {}).await?.into_inner()).await };
    let status = tokio::time::timeout(DEADLINE, asking).await.map_err(|_| Unreachable::Silent(socket.path.clone()))?;
    Ok(StatusReport::from(status.map_err(|status| socket.unanswered(&status))?))
}

#[cfg(test)]
mod tests;
