//! A thousand clients of one server, when the server's certificate rotates and when theirs does: they come back spread, not at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::Channel;
use evercert::client::Endpoint;
use evercert::server::{DrainPolicy, Superseded};
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_fixtures::{Authority, wait};
use evercert_tests::load::said;
use evercert_tests::{service, side};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Status;

use crate::door::Door;
use crate::stage::Delivery;

/// How often each client calls.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many channels there are
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// The span over which the server drains, and over which the clients move, in seconds
    #[arg(long, default_value_t = 100)]
    over: u64,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 600)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    let over = Duration::from_secs(args.over);
    let authority = Authority::new("bench");
    let issued = authority.issue_all((0..2).map(|_| side::leaf()));
    let anchors = [authority.ca_der()];
    let sources = [(); 2].map(|()| Delivery::new(&issued[0], &anchors));
    let (server, client) = (sources[0].identity().await.unwrap(), sources[1].identity().await.unwrap());
    let policy = DrainPolicy::default().superseded(Superseded::Drain { over });
    let (address, _serving) = service::serve_with(&server, |server| server.drain_policy(policy)).await;
    let door = Door::before(address).await;

    let calls = Arc::new(Calls::default());
    let mut tasks = JoinSet::new();
    let endpoint = Endpoint::new(format!("https://{}", door.address)).unwrap().rotation_spread(over);
    for number in 0..args.clients {
        let channel = endpoint.clone().connect(&client).await.unwrap();
        // Not all in one moment either.
        let first = PAUSE * number as u32 / args.clients as u32;
        tasks.spawn(call(channel, first, Arc::clone(&calls)));
    }
    door.drain();

    let share = (args.clients as u64).div_ceil(args.over);
    let come_back = async |source: &Delivery| {
        let start = Instant::now();
        source.deliver(&issued[1], &anchors);
        let all = || async { (door.count() >= args.clients).then_some(()) };
        wait::until_within(over + wait::DEADLINE, "all clients come back", all).await;
        // A second visit is to be seen too.
        tokio::time::sleep(2 * PAUSE).await;
        Comings::of(&door.drain(), start)
    };
    let server_rotates = come_back(&sources[0]).await;
    let clients_rotate = come_back(&sources[1]).await;
    calls.done.store(true, Relaxed);
    let failures: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let most = server_rotates.most.max(clients_rotate.most);
    json!({
        "scenario": "herd",
        // One more is the edge of counting: who was due at the end of a second may come in the next one.
        "kept": failures.is_empty() && most <= share + 1
            && [&server_rotates, &clients_rotate].iter().all(|comings| comings.all == args.clients),
        "settings": { "clients": args.clients, "over_seconds": args.over },
        "share": share,
        "most_per_second": most,
        "failed": failures.len(),
        "first_failure": failures.first().map(said),
        "calls": calls.count.load(Relaxed),
        "server_rotates": server_rotates.json(),
        "clients_rotate": clients_rotate.json(),
    })
}

#[derive(Debug, Default)]
struct Calls {
    done: AtomicBool,
    count: AtomicU64,
}

async fn call(channel: Channel, first: Duration, calls: Arc<Calls>) -> Vec<Status> {
    tokio::time::sleep(first).await;
    let mut client = GreeterClient::new(channel);
    let mut failed = Vec::new();
    while !calls.done.load(Relaxed) {
        failed.extend(client.say_hello(HelloRequest { name: "herd".to_owned() }).await.err());
        calls.count.fetch_add(1, Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    failed
}

/// How connections came.
#[derive(Debug)]
struct Comings {
    all: usize,
    /// The most in a second, counted from the rotation.
    most: u64,
    /// The most in any second, wherever it begins: what a busy machine delays falls together here.
    most_anywhere: u64,
    per_second: Vec<u64>,
}

impl Comings {
    fn of(comings: &[Instant], start: Instant) -> Self {
        let second = Duration::from_secs(1);
        let most_anywhere = (0..comings.len()).map(|first| {
            comings[first..].iter().take_while(|coming| **coming - comings[first] < second).count() as u64
        });
        let mut per_second = Vec::new();
        for coming in comings {
            let second = (*coming - start).as_secs() as usize;
            per_second.resize(per_second.len().max(second + 1), 0);
            per_second[second] += 1;
        }
        Self {
            all: comings.len(),
            most: per_second.iter().copied().max().unwrap_or(0),
            most_anywhere: most_anywhere.max().unwrap_or(0),
            per_second,
        }
    }

    fn json(&self) -> Value {
        json!({
            "came": self.all, "most_per_second": self.most, "most_in_any_second": self.most_anywhere,
            "per_second": self.per_second,
        })
    }
}
