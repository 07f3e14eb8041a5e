//! Calls: none may fail over rotations, and they may cost no more than with tonic's own TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use evercert_fixtures::{Issued, KubeletVolume};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::body::Body;
use tower::Service;

use crate::blocks::Blocks;
use crate::stage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each half runs: the rotations, and the comparison
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many rotations of the server's and the clients' certificate
    #[arg(long, default_value_t = 20)]
    rotations: u32,
    /// How many unary calls run at a time
    #[arg(long, default_value_t = 32)]
    workers: usize,
    /// How many streams run through all rotations
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Compare the throughput alone
    #[arg(long)]
    only_throughput: bool,
    /// The length of a block of the comparison, in milliseconds
    #[arg(long, default_value_t = 200)]
    block_ms: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    let issued = stage::certificates(args.rotations as usize + 1);
    let rotations = if args.only_throughput { Value::Null } else { over_rotations(&args, &issued).await };
    let throughput = throughput(&args, &issued[0]).await;
    json!({
        "scenario": "calls",
        "kept": rotations.is_null() || rotations["failed"] == 0,
        "settings": {
            "seconds": args.seconds, "rotations": args.rotations, "workers": args.workers, "streams": args.streams,
            "block_ms": args.block_ms,
        },
        "over_rotations": rotations,
        "unary_calls_per_second": throughput.figures("evercert", "tonic"),
    })
}

/// The SDK's server and channel against tonic's own, with the same certificate and no rotation.
async fn throughput(args: &Args, issued: &Issued) -> Blocks {
    let identity = stage::unchanging(issued).await;
    let ours = connected(&identity).await;
    let theirs =
        stage::tonics_channel(stage::tonics_server(issued, &issued.ca_pem).await, issued, &issued.ca_pem).await;
    let block = Duration::from_millis(args.block_ms);
    Blocks::measure(
        Duration::from_secs(args.seconds),
        async || calls(&ours, args.workers, block).await,
        async || calls(&theirs, args.workers, block).await,
    )
    .await
}

async fn connected(identity: &evercert::Identity) -> evercert::Channel {
    let uri = format!("https://{}", stage::serve(identity).await);
    Endpoint::new(uri).unwrap().connect(identity).await.unwrap()
}

async fn over_rotations(args: &Args, issued: &[Issued]) -> Value {
    let volume = KubeletVolume::new(&issued[0].files());
    let home = stage::home(&volume);
    let _daemon = home.start().await;
    let channel = connected(&stage::from_agent(&home).await).await;
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    for _ in 0..args.streams {
        tasks.spawn(keep_greeting(channel.clone(), Arc::clone(&counts)));
    }
    for _ in 0..args.workers {
        tasks.spawn(say_hello(channel.clone(), Arc::clone(&counts)));
    }
    let start = Instant::now();
    let every = Duration::from_secs(args.seconds) / args.rotations.max(1);
    let mut generations = channel.state();
    let mut seen = 0;
    for issued in &issued[1..] {
        let before = generations.borrow_and_update().generation;
        volume.swap(&issued.files());
        let rotated = tokio::time::timeout(every, generations.wait_for(|state| state.generation != before)).await;
        seen += u32::from(rotated.is_ok());
        tokio::time::sleep(every).await;
    }
    let elapsed = start.elapsed();
    counts.done.store(true, Relaxed);
    while tasks.join_next().await.is_some() {}
    json!({
        "calls": counts.calls.load(Relaxed),
        "calls_per_second": (counts.calls.load(Relaxed) as f64 / elapsed.as_secs_f64()).round(),
        "stream_messages": counts.messages.load(Relaxed),
        "failed": counts.failed.load(Relaxed),
        "rotations_seen": seen,
    })
}

#[derive(Default)]
struct Counts {
    done: AtomicBool,
    calls: AtomicU64,
    messages: AtomicU64,
    failed: AtomicU64,
}

async fn say_hello(channel: evercert::Channel, counts: Arc<Counts>) {
    let mut client = GreeterClient::new(channel);
    while !counts.done.load(Relaxed) {
        match client.say_hello(hello()).await {
            Ok(_) => counts.calls.fetch_add(1, Relaxed),
            Err(_) => counts.failed.fetch_add(1, Relaxed),
        };
    }
}

async fn keep_greeting(channel: evercert::Channel, counts: Arc<Counts>) {
    let request = KeepGreetingRequest { name: "bench".into(), count: 0, interval_ms: 10 };
    let Ok(replies) = GreeterClient::new(channel).keep_greeting(request).await else {
        counts.failed.fetch_add(1, Relaxed);
        return;
    };
    let mut replies = replies.into_inner();
    while !counts.done.load(Relaxed) {
        match replies.message().await {
            Ok(Some(_)) => counts.messages.fetch_add(1, Relaxed),
            Ok(None) | Err(_) => {
                counts.failed.fetch_add(1, Relaxed);
                return;
            }
        };
    }
}

fn hello() -> HelloRequest {
    HelloRequest { name: "bench".into() }
}

/// How many calls `workers` make in one block.
async fn calls<C>(channel: &C, workers: usize, block: Duration) -> (u64, Duration)
where
    C: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    C::Error: Into<tower::BoxError>,
    C::Future: Send,
{
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let mut client = GreeterClient::new(channel.clone());
        tasks.spawn(async move {
            let mut calls = 0;
            while start.elapsed() < block {
                client.say_hello(hello()).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    let calls = tasks.join_all().await.iter().sum();
    (calls, start.elapsed())
}
