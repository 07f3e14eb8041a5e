//! `evercertd trust drop`.

use evercert_api::v1;

use super::Failure;
use crate::cli::admin::{DEADLINE, Socket};
use crate::cli::fingerprint::Fingerprint;
use crate::cli::status::block_on;
use crate::cli::status::text::plain;

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

    /// Only in this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,

    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let answer = block_on(ask(args))?;
    println!("sha256:{} is trusted no longer by {}", args.anchor.0, plain(&answer.identities.join(", ")));
    Ok(())
}

async fn ask(args: &Args) -> Result<v1::DropAnchorResponse, Failure> {
    let mut admin = args.socket.connect().await?;
    let sha256 = args.anchor.0.as_bytes().to_vec();
    let identity = args.identity.clone().unwrap_or_default();
    let mut request = tonic::Request::new(v1::DropAnchorRequest { sha256, identity });
    request.set_timeout(DEADLINE);
    Ok(admin.drop_anchor(request).await?.into_inner())
}
