//! Our server and our channels, tonic's own and, where its program is at hand, grpc-go's server: each in a process of its own, with the same
//! certificate and asked for the same in turn.

mod channels;
mod service;
mod side;
mod work;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evercert_fixtures::{Issued, KubeletVolume};
use serde_json::{Map, Value, json};

use crate::process;
use crate::stage;
pub(crate) use channels::{CHANNELS, have};
use side::{Maker, Side};
pub(crate) use side::{SERVER, serve};
use work::{Client, Work};

/// The time after which memory is looked at: what the last call left behind is gone then.
const SETTLED: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program with grpc-go's server, as tests/foreign/servers.sh builds it; without it there are two sides
    #[arg(long)]
    go: Option<PathBuf>,
    /// How many runs there are, whose least, median and most are told
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How many times in a run each side has its turn at each kind of work
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// The length of a turn, in milliseconds
    #[arg(long, default_value_t = 400)]
    turn_ms: u64,
    /// How many connections the client has to each server
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// How many calls, or connections that are made, are under way at once
    #[arg(long, default_value_t = 32)]
    workers: usize,
    /// How many connections are idle while memory is looked at
    #[arg(long, default_value_t = 1000)]
    idle: usize,
}

/// What a side did, in which time, and at the price of how much CPU time of its process.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    count: u64,
    failed: u64,
    seconds: f64,
    cpu: f64,
}

impl Done {
    fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// How many it does in a second of one core.
    fn per_core(&self) -> f64 {
        self.count as f64 / self.cpu
    }
}

/// The figures of one run by the side's place: of each kind of work, and the memory of an idle connection and an idle channel.
struct OfRun {
    done: HashMap<(&'static str, usize), Done>,
    server_kib: Vec<f64>,
    channel_kib: Vec<f64>,
}

/// What each of something takes at each side, in KiB.
type Kib = fn(&OfRun) -> &[f64];

pub(crate) async fn run(args: Args) -> Value {
    process::raise_descriptor_limit();
    let issued = stage::certificates(1).remove(0);
    let volume = KubeletVolume::new(&issued.files());
    let makers: Vec<_> =
        [Maker::Evercert, Maker::Tonic].into_iter().chain(args.go.clone().map(Maker::GrpcGo)).collect();
    let mut runs = Vec::new();
    for number in 0..args.runs as usize {
        runs.push(OfRun {
            done: all_work(&args, &makers, &issued, volume.path(), number).await,
            server_kib: idle_connections(&args, &makers, &issued, volume.path()).await,
            channel_kib: idle_channels(&args, &makers, volume.path()),
        });
    }
    figures(&args, &makers, &runs)
}

/// Every kind of work, at the sides in turn.
async fn all_work(
    args: &Args,
    makers: &[Maker],
    issued: &Issued,
    certificates: &Path,
    number: usize,
) -> HashMap<(&'static str, usize), Done> {
    let sides: Vec<_> = makers.iter().map(|maker| maker.start(certificates)).collect();
    let mut clients = Vec::new();
    for side in &sides {
        clients.push(Client::connect(side, issued, args.connections.into(), args.workers).await);
    }
    let turn_length = Duration::from_millis(args.turn_ms);
    let mut done: HashMap<_, Done> = HashMap::new();
    for work in work::ALL {
        for turn in 0..=args.turns as usize {
            for at in (0..sides.len()).map(|step| (number + turn + step) % sides.len()) {
                let (side, client): (&Side, &Client) = (&sides[at], &clients[at]);
                let (cpu, start) = (side.process.cpu(), Instant::now());
                let (count, failed) = client.work(work, side, turn_length).await;
                // The first is unmeasured: caches, the clock of the CPU.
                if turn > 0 {
                    let sum = done.entry((work.name(), at)).or_default();
                    sum.count += count;
                    sum.failed += failed;
                    sum.seconds += start.elapsed().as_secs_f64();
                    sum.cpu += side.process.cpu() - cpu;
                }
            }
        }
    }
    done
}

/// The growth of each server for every connection that has made a call and is idle, in KiB.
async fn idle_connections(args: &Args, makers: &[Maker], issued: &Issued, certificates: &Path) -> Vec<f64> {
    let mut each = Vec::new();
    for maker in makers {
        let side = maker.start(certificates);
        let resident = || evercert_tests::memory::size_kib(side.process.0.id(), "VmRSS") as f64;
        let first = Client::connect(&side, issued, 1, 1).await;
        first.greet().await;
        tokio::time::sleep(SETTLED).await;
        let before = resident();
        let clients = Client::connect(&side, issued, args.idle, 1).await;
        clients.greet().await;
        tokio::time::sleep(SETTLED).await;
        each.push((resident() - before) / args.idle as f64);
    }
    each
}

/// The growth of a process for every channel of it that has made a call and is idle, in KiB; of our channels and tonic's.
fn idle_channels(args: &Args, makers: &[Maker], certificates: &Path) -> Vec<f64> {
    let server = Maker::Tonic.start(certificates);
    let makers = makers.iter().filter(|maker| !matches!(maker, Maker::GrpcGo(_)));
    makers.map(|maker| channels::memory(maker, &server, certificates, args.idle)).collect()
}

fn figures(args: &Args, makers: &[Maker], runs: &[OfRun]) -> Value {
    let mut all = Map::new();
    let others = || makers.iter().enumerate().skip(1);
    for work in work::ALL.map(Work::name) {
        let of = |run: &OfRun, at: usize| run.done[&(work, at)];
        let mut told = Map::new();
        for (at, maker) in makers.iter().enumerate() {
            let figures = json!({
                "per_second": spread(runs.iter().map(|run| of(run, at).rate()), 0),
                "per_second_of_a_core": spread(runs.iter().map(|run| of(run, at).per_core()), 0),
                "failed": runs.iter().map(|run| of(run, at).failed).sum::<u64>(),
            });
            told.insert(maker.name().into(), figures);
        }
        for (at, maker) in others() {
            let ratio = |of_side: fn(&Done) -> f64| {
                spread(runs.iter().map(|run| of_side(&of(run, 0)) / of_side(&of(run, at))), 3)
            };
            let name = format!("times_{}", maker.name());
            told.insert(name, json!({ "rate": ratio(Done::rate), "per_core": ratio(Done::per_core) }));
        }
        all.insert(work.into(), told.into());
    }
    let memory: [(&str, Kib); 2] =
        [("idle_connection_kib", |run| &run.server_kib), ("idle_channel_kib", |run| &run.channel_kib)];
    for (name, of) in memory {
        let mut told = Map::new();
        for (at, maker) in makers.iter().enumerate().take(of(&runs[0]).len()) {
            told.insert(maker.name().into(), spread(runs.iter().map(|run| of(run)[at]), 1));
            if at > 0 {
                let ratios = runs.iter().map(|run| of(run)[0] / of(run)[at]);
                told.insert(format!("times_{}", maker.name()), spread(ratios, 3));
            }
        }
        all.insert(name.into(), told.into());
    }
    let failed: u64 = runs.iter().flat_map(|run| run.done.values()).map(|done| done.failed).sum();
    json!({
        "scenario": "servers",
        "kept": failed == 0,
        "settings": {
            "runs": args.runs, "turns": args.turns, "turn_ms": args.turn_ms, "connections": args.connections, "workers": args.workers,
            "idle": args.idle,
        },
        "figures": "[least, median, most] of the runs",
        "sides": all,
    })
}

/// The least, the median and the most, with so many decimals.
fn spread(values: impl Iterator<Item = f64>, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    let mut values: Vec<_> = values.map(|value| (value * scale).round() / scale).collect();
    values.sort_by(f64::total_cmp);
    json!([values[0], values[values.len() / 2], values[values.len() - 1]])
}
