//! `evercertd trust drop`.

use std::time::Duration;

use evercert_api::v1;
use evercert_core::text::plain;

use super::Failure;
use crate::cli::admin::AdminSocket;
use crate::cli::fingerprint::Fingerprint;
use crate::cli::runtime::block_on;

/// How long it may take: of an identity whose mount does not answer it begins after 5 s, and many write a state file each.
const DEADLINE: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Peers whose certificates only that anchor vouches for lose their connections. An anchor that is still in a file is trusted for \
that: remove it there instead.

Examples:
  evercertd trust drop \"$(evercertd trust list --json | jq -r '.identities[0].retained[0].sha256')\"
  evercertd trust drop 5E:0C:…:D9 --identity grpc-server

Exit status: 0 it is trusted no longer, 1 it was not retained or still is (the message says which), 2 the daemon cannot be \
reached, or the arguments make no sense.")]
pub(super) struct Args {
    /// The SHA-256 fingerprint of the anchor, all of it, in hexadecimal, with or without colons
    #[arg(value_name = "FINGERPRINT")]
    anchor: Fingerprint,

    /// Only in this identity: NAME, or namespace/pod/NAME or pod/UID/NAME for one of a pod
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,

    #[command(flatten)]
    socket: AdminSocket,
}

pub(super) fn run(args: &Args) -> Result<String, Failure> {
    let answer = block_on(ask(args))?;
    Ok(format!("sha256:{} is trusted no longer by {}\n", args.anchor.0, plain(&answer.identities.join(", "))))
}

async fn ask(args: &Args) -> Result<v1::DropAnchorResponse, Failure> {
    let mut admin = args.socket.connect().await?;
    let sha256 = args.anchor.0.as_bytes().to_vec();
    let identity = args.identity.clone().unwrap_or_default();
    let mut request = tonic::Request::new(v1::DropAnchorRequest { sha256, identity });
    request.set_timeout(DEADLINE);
    match admin.drop_anchor(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) if matches!(status.code(), tonic::Code::Cancelled | tonic::Code::DeadlineExceeded) => {
            Err(Failure::Refused(format!(
                "no answer within {} s: the daemon goes on with it, and `evercertd trust list` shows where the anchor is still trusted",
                DEADLINE.as_secs()
            )))
        }
        Err(status) => Err(Failure::of(&args.socket, &status)),
    }
}
