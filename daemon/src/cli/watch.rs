//! `evercertd watch`.

mod changes;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use evercert_api::v1;
use evercert_core::text;
use v1::event::Event as Kind;

use super::Status;
use super::admin::{AdminSocket, DEADLINE, Unreachable};
use super::output::ended;
use super::runtime::block_on;
use crate::status::{Identity, Pod, title};

/// How long the first try to reach the daemon again waits after it was lost, and the later ones at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every change is one line: a generation is published, a finding comes or goes, a subscriber connects, takes a generation up,
refuses it, settles (how many of its connections are still older) or leaves. When the daemon restarts, watching goes on.

Exit status: 0 the reader of the output is gone, 1 the output cannot be written, 2 the daemon cannot be reached at the start.")]
pub(crate) struct Args {
    #[command(flatten)]
    socket: AdminSocket,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match block_on(follow(&args.socket)) {
        Ok(closed) => ended(Err(closed), Status::Ok),
        Err(error) => error.reported(),
    }
}

/// Follows the daemon, over its restarts, until the output takes no more, and returns why.
async fn follow(socket: &AdminSocket) -> Result<io::Error, Unreachable> {
    let mut events = connect(socket).await?;
    let mut shown = Listed::default();
    loop {
        let lost = loop {
            match events.message().await {
                Ok(Some(event)) => {
                    if let Err(closed) = shown.show(event) {
                        return Ok(closed);
                    }
                }
                Ok(None) => break "the stream ended".to_owned(),
                Err(status) => break status.message().to_owned(),
            }
        };
        if let Err(closed) = say(&format!("evercertd is lost ({}), trying again", lost)) {
            return Ok(closed);
        }
        let mut pause = RETRY.0;
        events = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
            if let Ok(events) = connect(socket).await {
                break events;
            }
        };
        shown = Listed::default();
        if let Err(closed) = say("evercertd is back") {
            return Ok(closed);
        }
    }
}

async fn connect(socket: &AdminSocket) -> Result<tonic::Streaming<v1::Event>, Unreachable> {
    let mut admin = socket.connect().await?;
    // The stream itself ends with the daemon, and has no deadline.
    let opened = tokio::time::timeout(DEADLINE, admin.events(v1::EventsRequest {})).await;
    let opened = opened.map_err(|_| Unreachable::Silent(socket.path.clone()))?;
    Ok(opened.map_err(|status| socket.unanswered(&status))?.into_inner())
}

/// Identities shown to the reader.
#[derive(Default)]
struct Listed {
    /// By the UID of the pod, where it has one, and name.
    identities: HashMap<(Option<String>, String), Identity>,
}

impl Listed {
    fn show(&mut self, event: v1::Event) -> io::Result<()> {
        let now = SystemTime::now();
        match event.event {
            Some(Kind::Identity(status)) => {
                let identity = Identity::from(status);
                let key = key(identity.pod.as_ref(), &identity.name);
                let title = identity.title();
                for change in changes::between(self.identities.get(&key), &identity, now) {
                    say(&format!("{title}: {change}"))?;
                }
                self.identities.insert(key, identity);
                Ok(())
            }
            Some(Kind::Removed(name)) => {
                let pod = event.pod.map(Pod::from);
                let known = self.identities.remove(&key(pod.as_ref(), &name));
                let title = known.map_or_else(|| title(pod.as_ref(), &name), |known| known.title());
                say(&format!("{title}: no longer kept"))
            }
            Some(Kind::Synced(_)) if self.identities.is_empty() => say("no identity is kept"),
            Some(Kind::Synced(_)) | None => Ok(()),
        }
    }
}

fn key(pod: Option<&Pod>, name: &str) -> (Option<String>, String) {
    (pod.map(|pod| pod.uid.clone()), name.to_owned())
}

/// One line, with the time, at once: the output may be a pipe.
fn say(line: &str) -> io::Result<()> {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    let mut out = io::stdout().lock();
    writeln!(out, "{now} {}", text::line(line))?;
    out.flush()
}
