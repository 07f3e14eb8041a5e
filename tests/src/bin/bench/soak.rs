//! Rotations and CA rollovers of both sides, through a real daemon, under full load: no call may fail, and no stream may lose a reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert::server::{DrainPolicy, Superseded};
use evercert::source::AgentSettings;
use evercert::{Channel, Identity};
use evercert_fixtures::{Authority, wait};
use evercert_tests::daemon::{Daemon, Home, identity};
use evercert_tests::load::{Load, Shape, said};
use evercert_tests::service;
use evercert_tests::side::Side;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many channels share the load.
const CHANNELS: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many unary calls there are at least, beside those that are answered late
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// How many times both certificates are renewed
    #[arg(long, default_value_t = 200)]
    rotations: u32,
    /// How many times the CA of both is rolled over in between: old, old and new, new
    #[arg(long, default_value_t = 10)]
    rollovers: u32,
    /// How many unary calls run at a time
    #[arg(long, default_value_t = 32)]
    workers: usize,
    /// How many streams run at a time; each has to bring all its replies
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// How long a stream is, in seconds; less than the 30 s that a drained connection is given
    #[arg(long, default_value_t = 15)]
    stream_seconds: u32,
    /// How many calls that are answered after 5 s run at a time
    #[arg(long, default_value_t = 8)]
    slow: usize,
    /// The span over which the server drains superseded connections, in milliseconds
    #[arg(long, default_value_t = 500)]
    drain_over_ms: u64,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 3600)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    let mut authority = Authority::new("bench");
    let mut sides = Sides::new(&authority);
    let home = sides.home();
    let daemon = home.start().await;
    let (server, client) = (open(&home, SERVER).await, open(&home, CLIENT).await);
    let policy =
        DrainPolicy::default().superseded(Superseded::Drain { over: Duration::from_millis(args.drain_over_ms) });
    let (address, _serving) = service::serve_with(&server, |server| server.drain_policy(policy)).await;

    let share = |all: usize| all.div_ceil(CHANNELS);
    let shape = Shape {
        workers: share(args.workers),
        streams: share(args.streams),
        replies: args.stream_seconds * 100,
        slow: share(args.slow),
        ..Shape::default()
    };
    let moves = Arc::new(AtomicU64::new(0));
    let mut watchers = JoinSet::new();
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let channel = Endpoint::new(format!("https://{address}")).unwrap().connect(&client).await.unwrap();
        watchers.spawn(count_moves(channel.clone(), Arc::clone(&moves)));
        channels.push(channel);
    }
    let start = Instant::now();
    let mut load = Load::start(&channels[0], shape);
    channels[1..].iter().for_each(|channel| load.add(channel, shape));

    let changes = u64::from(args.rotations) + 6 * u64::from(args.rollovers);
    let between = args.calls / changes.max(1);
    let mut rolled_over = 0;
    for rotation in 0..args.rotations {
        for side in sides.each(rotation % 2 == 0) {
            side.mount(&authority, &[&authority]);
        }
        sides.until_served(&server, &client).await;
        until_moved(&channels, &client).await;
        load.calls(between).await;
        if (rotation + 1) * args.rollovers / args.rotations > rolled_over {
            let next = Authority::new("bench");
            let both = [&authority, &next];
            for (issuer, trusted) in [(&authority, &both[..]), (&next, &both[..]), (&next, &both[1..])] {
                if trusted.len() == 1 {
                    // The old CA goes once nobody is left who shook hands under it: that is what SETTLED tells an operator.
                    until_settled(&daemon, &args).await;
                }
                for turn in 0..2 {
                    sides.each(rolled_over % 2 == 0)[turn].mount(issuer, trusted);
                    sides.until_served(&server, &client).await;
                    until_moved(&channels, &client).await;
                    load.calls(between).await;
                }
            }
            authority = next;
            rolled_over += 1;
        }
    }
    while load.ended() < args.calls {
        load.calls(1).await;
    }
    until_settled(&daemon, &args).await;
    let outcome = load.stop().await;
    let elapsed = start.elapsed();
    let generation = |identity: &Identity| identity.status().generation;
    json!({
        "scenario": "soak",
        "kept": outcome.failed.is_empty() && outcome.calls >= args.calls && rolled_over == args.rollovers,
        "settings": {
            "calls": args.calls, "rotations": args.rotations, "rollovers": args.rollovers, "workers": args.workers,
            "streams": args.streams, "stream_seconds": args.stream_seconds, "slow": args.slow, "channels": CHANNELS,
            "drain_over_ms": args.drain_over_ms,
        },
        "failed": outcome.failed.len(),
        "first_failures": outcome.failed.iter().take(5).map(said).collect::<Vec<_>>(),
        "calls": outcome.calls,
        "calls_of_5_s": outcome.slow,
        "streams": outcome.streams,
        "replies": outcome.replies,
        "rotations": args.rotations,
        "rollovers": rolled_over,
        "generations": { "server": generation(&server), "client": generation(&client) },
        "moves_of_channels": moves.load(Relaxed),
        "seconds": elapsed.as_secs(),
    })
}

/// The identities' names at the daemon.
const SERVER: &str = "server";
const CLIENT: &str = "client";

async fn open(home: &Home, name: &str) -> Identity {
    Identity::from_agent(AgentSettings::new(name).socket(home.agent_socket())).await.unwrap()
}

/// Counts how often the channel changes to another generation.
async fn count_moves(channel: Channel, moves: Arc<AtomicU64>) {
    let mut state = channel.state();
    drop(channel);
    let mut last = state.borrow_and_update().generation;
    while state.changed().await.is_ok() {
        let generation = state.borrow_and_update().generation;
        if generation.is_some() && generation != last {
            moves.fetch_add(1, Relaxed);
            last = generation;
        }
    }
}

/// Both sides, each with a mount of its own.
struct Sides {
    server: Side,
    client: Side,
}

impl Sides {
    fn new(authority: &Authority) -> Self {
        Self { server: Side::new(authority), client: Side::new(authority) }
    }

    fn home(&self) -> Home {
        let home = Home::new(crate::daemon);
        let table = |name, side: &Side| format!("{}bundle = {:?}\n", identity(name, side.path()), side.bundle());
        home.configure(&(table(SERVER, &self.server) + &table(CLIENT, &self.client)));
        home
    }

    fn each(&mut self, server_first: bool) -> [&mut Side; 2] {
        if server_first { [&mut self.server, &mut self.client] } else { [&mut self.client, &mut self.server] }
    }

    async fn until_served(&self, server: &Identity, client: &Identity) {
        tokio::join!(self.server.until_served_by(server), self.client.until_served_by(client));
    }
}

/// Waits until new calls of every channel use the generation of `identity`.
async fn until_moved(channels: &[Channel], identity: &Identity) {
    let generation = identity.status().generation;
    for channel in channels {
        let mut state = channel.state();
        let moved = state.wait_for(|state| state.generation == generation);
        tokio::time::timeout(wait::DEADLINE, moved).await.expect("a channel moves").unwrap();
    }
}

/// Waits until the daemon knows of both that no connection is older than what is published.
async fn until_settled(daemon: &Daemon<'_>, args: &Args) {
    let limit = wait::DEADLINE + Duration::from_secs(args.stream_seconds.into());
    for name in [SERVER, CLIENT] {
        daemon.until_settled_within(limit, name, 1).await;
    }
}
