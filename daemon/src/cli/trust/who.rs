//! `evercertd trust who`.

use std::fmt::Write as _;

use evercert_api::v1;
use evercert_core::text::plain;
use serde::Serialize;

use super::{Failure, NamedIdentity};
use crate::cli::admin::{AdminSocket, DEADLINE};
use crate::cli::fingerprint::Fingerprint;
use crate::cli::json;
use crate::cli::runtime::block_on;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Before a CA leaves the bundles, nothing may present a leaf under it; before it ends, nothing should trust it alone. Subscribers that \
may still use a former generation are counted beside: wait until there are none.

Examples:
  evercertd trust who sha256:5e0c…d9
  evercertd trust who \"$(openssl x509 -in old-ca.crt -noout -fingerprint -sha256)\" --json

Exit status: 0 shown, whether something uses it or not, 1 nothing can be told of it, since no chain or bundle \
that is published on the node holds the certificate (or too many CAs are), 2 the daemon cannot be reached, or the arguments make no sense.")]
pub(super) struct Args {
    /// The SHA-256 fingerprint of the CA's certificate, all of it, in hexadecimal, with or without colons
    #[arg(value_name = "FINGERPRINT")]
    authority: Fingerprint,

    /// Print JSON: new fields may be added
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: AdminSocket,
}

/// The output of `--json`. Its names are stable: fields are added, never renamed or removed.
#[derive(Debug, Serialize)]
struct Answer {
    sha256: String,
    /// RFC 4514; null where no publication holds the certificate, or it has none.
    subject: Option<String>,
    identities: Vec<Identity>,
    /// Subscribers of whatever identity that may still use a former generation.
    unsettled_subscribers: u32,
}

/// One identity that uses it.
#[derive(Debug, Serialize)]
struct Identity {
    #[serde(flatten)]
    name: NamedIdentity,
    presents: bool,
    trusts: bool,
    subscribers: u32,
}

pub(super) fn run(args: &Args) -> Result<String, Failure> {
    answered(&Answer::of(args.authority, block_on(ask(args))?), args.json)
}

/// That nothing is told of a certificate that nobody knows is no word that nobody uses it.
fn answered(answer: &Answer, json: bool) -> Result<String, Failure> {
    if answer.subject.is_some() || !answer.identities.is_empty() {
        return Ok(if json { json::pretty(answer) } else { text(answer) });
    }
    let why = format!(
        "no chain or bundle that is published on this node holds the certificate sha256:{}; whether leaves here are under it cannot be told, \
         since a leaf says no more of its issuer than a name: `evercertd status --json` shows that of each",
        answer.sha256
    );
    Err(Failure::Unknown { answer: if json { json::pretty(answer) } else { String::new() }, why })
}

async fn ask(args: &Args) -> Result<v1::AuthorityResponse, Failure> {
    let mut admin = args.socket.connect().await?;
    let sha256 = args.authority.0.as_bytes().to_vec();
    let mut request = tonic::Request::new(v1::AuthorityRequest { sha256 });
    request.set_timeout(DEADLINE);
    Ok(admin.authority(request).await.map_err(|status| Failure::of(&args.socket, &status))?.into_inner())
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match &answer.subject {
        Some(subject) => writeln!(text, "{} (sha256:{})", plain(subject), answer.sha256),
        None => writeln!(text, "a CA without a name (sha256:{})", answer.sha256),
    };
    for identity in &answer.identities {
        let how = match (identity.presents, identity.trusts) {
            (true, true) => "presents a leaf under it and trusts it",
            (true, false) => "presents a leaf under it",
            _ => "trusts it",
        };
        let title = identity.name.title();
        let _ = writeln!(text, "  {title}: {how}; subscribers: {}", identity.subscribers);
    }
    if answer.unsettled_subscribers > 0 {
        let _ = writeln!(
            text,
            "subscribers that may still use a former generation: {}; `evercertd status` shows which",
            answer.unsettled_subscribers
        );
    }
    text
}

impl Answer {
    fn of(authority: Fingerprint, response: v1::AuthorityResponse) -> Self {
        let identities = response.uses.into_iter().map(|one| Identity {
            name: NamedIdentity::new(one.identity, &one.scope, one.pod),
            presents: one.presents,
            trusts: one.trusts,
            subscribers: one.subscribers,
        });
        let mut identities: Vec<_> = identities.collect();
        identities.sort_by(|one, other| one.name.order().cmp(&other.name.order()));
        Self {
            sha256: authority.0.to_string(),
            subject: Some(response.subject).filter(|subject| !subject.is_empty()),
            identities,
            unsettled_subscribers: response.unsettled,
        }
    }
}
