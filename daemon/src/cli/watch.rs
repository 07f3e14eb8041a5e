//! `evercertd watch`.

mod changes;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use evercert_api::v1;
use v1::event::Event as Kind;

use super::admin::{Socket, Unreachable};
use super::status::report::Identity;
use super::status::{UNREACHABLE, block_on, text};

/// How long the first try to reach the daemon again waits after it was lost, and the later ones at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every change is one line: a generation is published, a finding comes or goes, a subscriber connects, takes a generation up,
refuses it, settles (how many of its connections are still older) or leaves. When the daemon restarts, watching goes on.

Exit status: 0 the reader of the output is gone, 2 the daemon cannot be reached at the start.")]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match block_on(follow(&args.socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evercertd: {error}");
            ExitCode::from(UNREACHABLE)
        }
    }
}

/// Follows the daemon until the output is closed, over its restarts.
async fn follow(socket: &Socket) -> Result<(), Unreachable> {
    let mut events = connect(socket).await?;
    let mut shown = Shown::default();
    loop {
        let lost = loop {
            match events.message().await {
                Ok(Some(event)) => {
                    if shown.show(event).is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break "the stream ended".to_owned(),
                Err(status) => break status.message().to_owned(),
            }
        };
        if say(&format!("evercertd is lost ({}), trying again", text::plain(&lost))).is_err() {
            return Ok(());
        }
        let mut pause = RETRY.0;
        events = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
            if let Ok(events) = connect(socket).await {
                break events;
            }
        };
        shown = Shown::default();
        if say("evercertd is back").is_err() {
            return Ok(());
        }
    }
}

async fn connect(socket: &Socket) -> Result<tonic::Streaming<v1::Event>, Unreachable> {
    Ok(socket.connect().await?.events(v1::EventsRequest {}).await?.into_inner())
}

/// What the reader has been shown.
#[derive(Default)]
struct Shown {
    identities: HashMap<String, Identity>,
}

impl Shown {
    fn show(&mut self, event: v1::Event) -> io::Result<()> {
        let now = SystemTime::now();
        match event.event {
            Some(Kind::Identity(status)) => {
                let identity = Identity::from(status);
                let before = self.identities.get(&identity.name);
                for change in changes::between(before, &identity, now) {
                    say(&format!("{}: {change}", text::plain(&identity.name)))?;
                }
                self.identities.insert(identity.name.clone(), identity);
                Ok(())
            }
            Some(Kind::Removed(name)) => {
                self.identities.remove(&name);
                say(&format!("{}: no longer kept", text::plain(&name)))
            }
            Some(Kind::Synced(_)) if self.identities.is_empty() => say("no identity is kept"),
            Some(Kind::Synced(_)) | None => Ok(()),
        }
    }
}

/// One line, with the time, at once: the output may be a pipe.
fn say(line: &str) -> io::Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let mut out = io::stdout().lock();
    writeln!(out, "{now} {line}")?;
    out.flush()
}
