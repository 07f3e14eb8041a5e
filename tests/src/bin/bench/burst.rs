//! Thousands of channels of one process that connect to one server at once.

use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use evercert_tests::{service, side};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::stage::Delivery;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many channels there are
    #[arg(long, default_value_t = 2000)]
    channels: usize,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 120)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let authority = Authority::new("bench");
    let source = Delivery::new(&authority.issue(side::leaf()), &[authority.ca_der()]);
    let identity = source.identity().await.unwrap();
    let (address, _serving) = service::serve(&identity).await;
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap();

    let start = Instant::now();
    let mut connecting = JoinSet::new();
    for _ in 0..args.channels {
        let (endpoint, identity) = (endpoint.clone(), identity.clone());
        connecting.spawn(async move { (endpoint.connect(&identity).await, start.elapsed()) });
    }
    let (mut channels, mut failures, mut times) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(connected) = connecting.join_next().await {
        let (channel, time) = connected.unwrap();
        times.push(time);
        match channel {
            Ok(channel) => channels.push(channel),
            Err(error) => failures.push(error.to_string()),
        }
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis() as u64;
    json!({
        "scenario": "burst",
        "kept": failures.is_empty(),
        "settings": { "channels": args.channels },
        "failed": failures.len(),
        "first_failure": failures.first(),
        "connected_ms": { "half": at(0.5), "all": at(1.0) },
    })
}
