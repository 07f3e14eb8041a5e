//! `evercertd reload`.

use std::process::ExitCode;
use std::time::Duration;

use evercert_api::v1;
use evercert_core::text::{plain, plain_lines};

use super::Status;
use super::admin::{AdminSocket, Unreachable};
use super::output::printed;
use super::runtime::block_on;

/// How long a reload may take: one that runs already, and then this one, each of which has 5 s.
const DEADLINE: Duration = Duration::from_secs(12);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd config --check /etc/evercert/evercertd.toml && evercertd reload

It does what SIGHUP (`systemctl reload evercertd`) does, says how it ended, and names the settings whose change needs a restart. What comes of the files that are read \
is in `evercertd status`.

Exit status: 0 the configuration was taken over, 1 it was refused and the old one stays, 2 the daemon cannot be \
reached.")]
pub(crate) struct Args {
    #[command(flatten)]
    socket: AdminSocket,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match block_on(reload(&args.socket)) {
        Ok(answer) if answer.config_error.is_empty() => {
            let plural = if answer.identities == 1 { "identity is" } else { "identities are" };
            let read = format!(
                "the configuration was read again: {} {plural} kept, and their files read now\n",
                answer.identities
            );
            let waiting = answer.needs_restart.iter().map(|setting| plain(setting));
            let waiting = waiting
                .map(|setting| format!("what changed in {setting} takes effect when evercertd is started again\n"));
            printed((read + &waiting.collect::<String>()).as_bytes(), Status::Ok)
        }
        Ok(answer) => {
            eprintln!(
                "evercertd: the configuration was refused, the old one stays: {}",
                plain_lines(&answer.config_error)
            );
            ExitCode::FAILURE
        }
        Err(error) => error.reported(),
    }
}

async fn reload(socket: &AdminSocket) -> Result<v1::ReloadResponse, Unreachable> {
    let mut admin = socket.connect().await?;
    let mut request = tonic::Request::new(v1::ReloadRequest {});
    request.set_timeout(DEADLINE);
    Ok(admin.reload(request).await.map_err(|status| socket.unanswered(&status))?.into_inner())
}
