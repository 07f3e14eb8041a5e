//! What many sets and subscribers cost: a rotation at a daemon that has one set, and at one with thousands more and thousands of
//! subscribers, in turn; then a renewal of all its sets at once.

mod renewal;

use std::sync::Arc;
use std::time::Duration;

use evercert_fixtures::{Issued, KubeletVolume};
use evercert_tests::daemon::{Daemon, Home, identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::latencies::Latencies;
use crate::process;
use crate::rotation::Side;
use crate::stage;
use crate::subscribers::{self, Client};

/// How many times as long as at the small one a rotation may take at the large one.
const PROMISE: f64 = 1.2;
/// The pause between two rotations whose latency is measured.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the large daemon is asked whether it has published everything, which costs it a look at all of it.
const PACE: Duration = Duration::from_secs(1);
/// The identity of the subscribers, which rests, and is none of those that are renewed.
const RESTING: &str = "resting";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many more sets the large daemon has
    #[arg(long, default_value_t = 10_000)]
    sets: usize,
    /// How many subscribers it has, of one that rests
    #[arg(long, default_value_t = 5_000)]
    subscribers: usize,
    /// How many rotations there are in a run at each
    #[arg(long, default_value_t = 200)]
    swaps: usize,
    /// How many runs there are, whose least, median and most are told
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 900)]
    limit: u64,
}

/// A daemon and the service whose certificate is rotated.
struct Node<'home> {
    daemon: Daemon<'home>,
    side: Side,
}

/// What one run showed at both.
type Run = [Latencies; 2];

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    process::raise_descriptor_limit();
    let issued = stage::certificates(args.swaps + 1);
    let rotated = [(); 2].map(|()| Arc::new(KubeletVolume::new(&issued[0].files())));
    let directory = tempfile::tempdir().unwrap();
    // Of one CA, of which they are renewed, too.
    let mut certificates = stage::certificates(2 * args.sets + 1);
    let renewed = certificates.split_off(args.sets);
    let sets = sets(&directory, &certificates);
    let [small_home, large_home] = [(); 2].map(|()| Home::new(crate::daemon));
    small_home.configure(&identity(stage::IDENTITY, rotated[0].path()));
    let all = sets.iter().enumerate().map(|(number, volume)| identity(&format!("set-{number}"), volume.path()));
    let limits = subscribers::limits(args.subscribers);
    let subscribed = KubeletVolume::new(&issued[0].files());
    let others = identity(stage::IDENTITY, rotated[1].path()) + &identity(RESTING, subscribed.path());
    large_home.configure(&(limits + &others + &all.collect::<String>()));
    let client = TlsConnector::from(stage::static_client(&issued[0]));
    let small = Node::start("small", &small_home, &rotated[0]).await;
    let large = Node::start("large", &large_home, &rotated[1]).await;
    let nodes = [small, large];
    while !is_published(&nodes[1].daemon).await {
        tokio::time::sleep(PACE).await;
    }
    for node in &nodes {
        node.side.is_up(&client, &issued[0]).await;
    }
    let mut subscribers = Client::start(&large_home.agent_socket(), RESTING, args.subscribers);
    subscribers.until_connected();

    let mut runs = Vec::new();
    for _ in 0..args.runs {
        runs.push(latencies(&nodes, &client, &issued).await);
    }
    let renewal = renewal::run(&nodes[1].daemon, &large_home, &sets, &renewed, &rotated[1]).await;
    figures(&args, &runs, renewal)
}

async fn is_published(daemon: &Daemon<'_>) -> bool {
    daemon.status().await.is_some_and(|status| status.identities.iter().all(|identity| identity.generation == 1))
}

/// Sets that rest until they are renewed.
fn sets(directory: &TempDir, issued: &[Issued]) -> Vec<KubeletVolume> {
    let at = |number| directory.path().join(format!("set-{number}"));
    issued.iter().enumerate().map(|(number, issued)| KubeletVolume::at(&at(number), &issued.files())).collect()
}

impl<'home> Node<'home> {
    async fn start(name: &'static str, home: &'home Home, rotated: &Arc<KubeletVolume>) -> Self {
        let daemon = home.start().await;
        Self { daemon, side: Side::service(name, rotated, &home.agent_socket()) }
    }
}

/// Rotations at both in turn.
async fn latencies(nodes: &[Node<'_>; 2], client: &TlsConnector, issued: &[Issued]) -> Run {
    let mut took = [Latencies::new(), Latencies::new()];
    // Of one key; the first certificate comes again at the end, for the next run.
    for (turn, issued) in issued[1..].iter().chain(&issued[..1]).enumerate() {
        for at in [turn % 2, (turn + 1) % 2] {
            if let Some(time) = nodes[at].side.rotation(client, issued).await {
                took[at].record(time);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    took
}

fn figures(args: &Args, runs: &[Run], renewal: Value) -> Value {
    let spread = |of: &dyn Fn(&Run) -> f64| {
        let mut all: Vec<_> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        [all[0], all[all.len() / 2], all[all.len() - 1]].map(|value| (value * 1000.0).round() / 1000.0)
    };
    let ratio = |quantile: f64| spread(&move |run| run[1].at(quantile) / run[0].at(quantile));
    let side = |at: usize| {
        json!({
            "p50_ms": spread(&|run| run[at].at(0.5)),
            "p99_ms": spread(&|run| run[at].at(0.99)),
        })
    };
    let (p50, p99) = (ratio(0.5), ratio(0.99));
    let seen = runs.iter().all(|run| run.iter().all(|took| took.count() == args.swaps as u64 + 1));
    json!({
        "scenario": "growth",
        "settings": { "sets": args.sets, "subscribers": args.subscribers, "swaps": args.swaps, "runs": args.runs },
        "figures": "[least, median, most] of the runs",
        "kept": seen && p50[1] <= PROMISE && renewal["kept"] == true,
        "small": side(0),
        "large": side(1),
        "p50_of_small": p50,
        "p99_of_small": p99,
        "renewal": renewal,
    })
}
