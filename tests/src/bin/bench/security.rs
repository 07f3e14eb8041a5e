//! Certificates, keys and a policy that change every second, while every kind of caller makes every kind of call.

use std::time::Duration;

use evercert_tests::rotating;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long everything rotates
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many callers there are, half of them with certificates
    #[arg(long, default_value_t = 8)]
    workers: usize,
}

/// The rotations of which one at least has to be seen by the server: it looks at a file once a second.
const SEEN_OF: u64 = 3;

pub(crate) async fn run(args: Args) -> Value {
    let outcome = rotating::run(Duration::from_secs(args.seconds), args.workers).await;
    let is_seen = outcome.reloads.iter().all(|reloads| *reloads >= outcome.rotations / SEEN_OF);
    let [keys, policies] = outcome.reloads;
    json!({
        "scenario": "security",
        "kept": outcome.wrong == 0 && outcome.bypasses == 0 && outcome.good > 0 && is_seen,
        "settings": { "seconds": args.seconds, "workers": args.workers },
        "calls": outcome.calls,
        "good_calls": outcome.good,
        "wrong": outcome.wrong,
        "failed": outcome.failed,
        "bypasses": outcome.bypasses,
        "rotations": outcome.rotations,
        "taken_up": { "keys": keys, "policies": policies },
        "examples": outcome.examples,
    })
}
