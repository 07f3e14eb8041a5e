//! Sessions that outlive what their peer was verified by. Peers that keep sessions and tickets for ever begin some thousands; then the
//! peer's CA is removed, its leaf expires, or our own certificate is replaced, and they come again. Nobody may be accepted for a
//! session, with resumption off and on. The same attack on plain rustls shows that it works where nothing is done about it.

mod controls;
mod evercert;
mod raw;

use std::time::{Duration, SystemTime};

use ::evercert::tls::Resumption;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use evercert::{ClientCell, Figures, ServerCell};
use raw::Version;

/// How far an instant is behind us when every certificate that ended there has expired: they count whole seconds.
const PAST: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many sessions each setup is attacked with
    #[arg(long, default_value_t = 1000)]
    attempts: usize,
    /// How long the leaves that expire are valid, in seconds; the sessions have to begin within it
    #[arg(long, default_value_t = 60)]
    lifetime: u64,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 900)]
    limit: u64,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    label: &'static str,
    version: Version,
    resumption: Resumption,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    crate::process::raise_descriptor_limit();
    let attempts = args.attempts;
    let (controls, proven) = controls::run(attempts).await;
    let mut cells = Cells { attempts, figures: Vec::new(), accepted: 0, proven };
    for target in targets() {
        let Target { version, resumption, .. } = target;
        let server = ServerCell::prime(version, resumption, attempts, None).await;
        server.remove_ca().await;
        cells.add("server: the client's CA was removed", target, server.attack().await);
        let client = ClientCell::prime(version, resumption, attempts, None).await;
        client.remove_ca().await;
        cells.add("client: the server's CA was removed", target, client.attack().await);
        let client = ClientCell::prime(version, resumption, attempts, None).await;
        cells.add("client: rotated, seen as before", target, client.rotate().await);
    }
    expired(&mut cells, Duration::from_secs(args.lifetime)).await;
    json!({
        "scenario": "resumption",
        "kept": cells.accepted == 0 && cells.proven,
        "settings": { "attempts": attempts, "lifetime": args.lifetime },
        "accepted": cells.accepted,
        "proven": cells.proven,
        "evercert": cells.figures,
        "controls": controls,
    })
}

fn targets() -> impl Iterator<Item = Target> {
    let versions = [("1.2", &TLS12 as Version), ("1.3", &TLS13)];
    versions.into_iter().flat_map(|(label, version)| {
        [Resumption::Off, Resumption::PerGeneration].map(|resumption| Target { label, version, resumption })
    })
}

/// The peers' leaves expire; nothing else changes, so their sessions are still there.
async fn expired(cells: &mut Cells, lifetime: Duration) {
    let end = SystemTime::now() + lifetime;
    let mut primed = Vec::new();
    for target in targets() {
        let Target { version, resumption, .. } = target;
        let server = ServerCell::prime(version, resumption, cells.attempts, Some(end)).await;
        let client = ClientCell::prime(version, resumption, cells.attempts, Some(end)).await;
        primed.push((target, server, client));
    }
    tokio::time::sleep((end + PAST).duration_since(SystemTime::now()).unwrap_or_default()).await;
    for (target, server, client) in primed {
        cells.add("server: the client's leaf expired", target, server.attack().await);
        cells.add("client: the server's leaf expired", target, client.attack().await);
    }
}

/// How our side fared.
struct Cells {
    attempts: usize,
    figures: Vec<Value>,
    accepted: usize,
    /// Every attack was one: it had its sessions, and they could be resumed before exactly where that is on.
    proven: bool,
}

impl Cells {
    fn add(&mut self, setup: &str, target: Target, figures: Figures) {
        let Figures { sessions, resumed_before, accepted } = figures;
        let resumes = target.resumption == Resumption::PerGeneration;
        self.proven &= sessions == self.attempts && (resumed_before > 0) == resumes;
        self.accepted += accepted;
        self.figures.push(json!({
            "setup": setup, "tls": target.label, "resumption": if resumes { "per generation" } else { "off" },
            "sessions": sessions, "resumed_before": resumed_before, "accepted": accepted,
        }));
    }
}
