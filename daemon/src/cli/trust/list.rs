//! `evercertd trust list`.

use std::fmt::Write as _;
use std::time::SystemTime;

use evercert_api::v1;
use evercert_core::text::plain;
use serde::Serialize;

use super::{Failure, NamedIdentity};
use crate::cli::admin::{AdminSocket, DEADLINE};
use crate::cli::json;
use crate::cli::runtime::block_on;
use crate::cli::status::text::until;
use crate::status::Retained;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd trust list
  evercertd trust list --json | jq -r '.identities[].retained[].sha256'

Exit status: 0 shown, 1 no identity has that name, 2 the daemon cannot be reached.")]
pub(super) struct Args {
    /// Only this identity: NAME, or namespace/pod/NAME or pod/UID/NAME for one of a pod
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,

    /// Print JSON: times are RFC 3339 in UTC, new fields may be added
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: AdminSocket,
}

/// The output of `--json`. Its names are stable: fields are added, never renamed or removed.
#[derive(Debug, Serialize)]
struct Listing {
    identities: Vec<Identity>,
}

/// One identity that retains anchors.
#[derive(Debug, Serialize)]
struct Identity {
    #[serde(flatten)]
    name: NamedIdentity,
    retained: Vec<Retained>,
}

pub(super) fn run(args: &Args) -> Result<String, Failure> {
    let listing = Listing::from(block_on(fetch(args))?);
    let text = if args.json { json::pretty(&listing) } else { text(&listing, SystemTime::now()) };
    Ok(text)
}

async fn fetch(args: &Args) -> Result<v1::TrustResponse, Failure> {
    let mut admin = args.socket.connect().await?;
    let mut request = tonic::Request::new(v1::TrustRequest { identity: args.identity.clone().unwrap_or_default() });
    request.set_timeout(DEADLINE);
    Ok(admin.trust(request).await.map_err(|status| Failure::of(&args.socket, &status))?.into_inner())
}

fn text(listing: &Listing, now: SystemTime) -> String {
    if listing.identities.is_empty() {
        return "no anchor is trusted that is not on disk\n".to_owned();
    }
    let mut text = String::new();
    for identity in &listing.identities {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", identity.name.title());
        for Retained { anchor, until } in &identity.retained {
            let until = self::until(*until, now);
            let _ = writeln!(
                text,
                "  sha256:{}\n    {}, serial {}; trusted until {until}",
                anchor.sha256.map(|digest| digest.to_string()).unwrap_or_default(),
                plain(&anchor.subject),
                plain(&anchor.serial)
            );
        }
    }
    text
}

impl From<v1::TrustResponse> for Listing {
    fn from(response: v1::TrustResponse) -> Self {
        let identities = response.identities.into_iter().map(|identity| Identity {
            name: NamedIdentity::new(identity.identity, &identity.scope, identity.pod),
            retained: identity.retained.into_iter().map(Retained::from).collect(),
        });
        let mut identities: Vec<_> = identities.collect();
        identities.sort_by(|one, other| one.name.order().cmp(&other.name.order()));
        Self { identities }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::{Certificate, Moment};

    #[test]
    fn anchors_are_told_with_their_whole_fingerprint_and_their_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let anchor = Certificate {
            subject: "CN=Old CA\u{1b}".to_owned(),
            issuer: "CN=Old CA\u{1b}".to_owned(),
            serial: "7".to_owned(),
            sha256: Some([0xab; 32].into()),
            not_before: Moment(None),
            not_after: Moment(None),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            uris: Vec::new(),
        };
        let retained = Retained { anchor, until: Moment(Some(now + Duration::from_secs(3 * 3600))) };
        let name = NamedIdentity::new("x".to_owned(), "node", None);
        let identity = Identity { name, retained: vec![retained] };
        let listing = Listing { identities: vec![identity] };
        assert_eq!(
            text(&listing, now),
            format!(
                "x\n  sha256:{}\n    CN=Old CA\\u{{1b}}, serial 7; trusted until 2027-01-15 11:00 UTC, in 3 hours\n",
                "ab".repeat(32)
            )
        );
        assert_eq!(text(&Listing { identities: Vec::new() }, now), "no anchor is trusted that is not on disk\n");
    }
}
