//! Thousands of rotations under long streams: what is superseded is forgotten.

use std::fs;
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use evercert_tests::load::{Load, Shape, said};
use evercert_tests::memory::size_kib;
use evercert_tests::{service, side};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::stage::Delivery;

/// How many certificates take turns: made before the first figure is taken.
const CERTIFICATES: usize = 500;
/// Every so many rotations the bundles gain or lose a CA, so that each connection's peer is verified again.
const TRUST_CHANGES: u64 = 10;
/// How long it may take until the last superseded connection is gone.
const SETTLE: Duration = Duration::from_secs(20);
/// How much the descriptors and tasks may differ at the end.
const TOLERANCE: i64 = 2;
/// How much more memory may be resident at the end, in KiB.
const GROWTH_KIB: i64 = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rotations of the server's and the clients' certificates are measured
    #[arg(long, default_value_t = 10_000)]
    rotations: u64,
    /// How many come before that
    #[arg(long, default_value_t = 1000)]
    warm_up: u64,
    /// How many streams run through all rotations
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// How many channels they run on; every channel moves to a new connection at every rotation
    #[arg(long, default_value_t = 10)]
    channels: usize,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 3600)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    let (authority, other) = (Authority::new("bench"), Authority::new("other"));
    let issued = authority.issue_all((0..CERTIFICATES).map(|_| side::leaf()));
    let anchors = [authority.ca_der(), other.ca_der()];
    let sources = [(); 2].map(|()| Delivery::new(&issued[0], &anchors));
    let (server, client) = (sources[0].identity().await.unwrap(), sources[1].identity().await.unwrap());
    let (address, _serving) = service::serve(&server).await;
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap().rotation_spread(Duration::ZERO);
    let mut channels = Vec::new();
    for _ in 0..args.channels {
        channels.push(endpoint.clone().connect(&client).await.unwrap());
    }
    let streams = args.streams.div_ceil(args.channels);
    let shape = Shape { workers: 0, streams, pause: Duration::from_millis(100), ..Shape::default() };
    let mut load = Load::start(&channels[0], shape);
    channels[1..].iter().for_each(|channel| load.add(channel, shape));

    let mut moves = 0;
    let mut rotate = async |rotations: u64| {
        for rotation in 0..rotations {
            let issued = &issued[rotation as usize % CERTIFICATES];
            let trusted = if (rotation / TRUST_CHANGES).is_multiple_of(2) { &anchors[..1] } else { &anchors[..] };
            let [_, generation] = [0, 1].map(|side| sources[side].deliver(issued, trusted));
            for channel in &channels {
                let mut state = channel.state();
                let moved = state.wait_for(|state| state.generation == Some(generation));
                tokio::time::timeout(SETTLE, moved).await.expect("the channel moves").unwrap();
                moves += 1;
            }
        }
    };
    rotate(args.warm_up).await;
    let before = Figures::settled(|figures, last| figures == last).await;
    let start = Instant::now();
    rotate(args.rotations).await;
    let elapsed = start.elapsed();
    let after = Figures::settled(|figures, _| figures.near(before)).await;
    let outcome = load.stop().await;
    let grown = after.resident_kib - before.resident_kib;
    json!({
        "scenario": "leaks",
        "kept": outcome.failed.is_empty() && after.near(before) && grown < GROWTH_KIB,
        "settings": {
            "rotations": args.rotations, "warm_up": args.warm_up, "streams": args.streams, "channels": args.channels,
            "trust_changes": args.rotations / TRUST_CHANGES,
        },
        "failed": outcome.failed.len(),
        "first_failure": outcome.failed.first().map(said),
        "replies": outcome.replies,
        "moves_of_channels": moves,
        "before": before.json(),
        "after": after.json(),
        "grown": {
            "rss_kib": grown, "descriptors": after.descriptors - before.descriptors, "tasks": after.tasks - before.tasks,
        },
        "seconds": elapsed.as_secs(),
    })
}

/// This process in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    resident_kib: i64,
    descriptors: i64,
    tasks: i64,
}

impl Figures {
    fn now() -> Self {
        Self {
            resident_kib: size_kib("self", "VmRSS").cast_signed(),
            // The directory that is being read is one of them, each time.
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count() as i64,
            tasks: Handle::current().metrics().num_alive_tasks() as i64,
        }
    }

    /// The figures once descriptors and tasks are as wanted, looked at with those of a second before; or else the last ones.
    async fn settled(wanted: impl Fn(Self, Self) -> bool) -> Self {
        let start = Instant::now();
        let mut last = Self::now();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let figures = Self::now();
            let (one, other) = (Self { resident_kib: 0, ..figures }, Self { resident_kib: 0, ..last });
            if wanted(one, other) || start.elapsed() > SETTLE {
                return figures;
            }
            last = figures;
        }
    }

    fn near(self, other: Self) -> bool {
        (self.descriptors - other.descriptors).abs() <= TOLERANCE && (self.tasks - other.tasks).abs() <= TOLERANCE
    }

    fn json(self) -> Value {
        json!({ "rss_kib": self.resident_kib, "descriptors": self.descriptors, "tasks": self.tasks })
    }
}
