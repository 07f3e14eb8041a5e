//! gRPC's official interoperability cases (grpc/grpc, `doc/interop-test-descriptions.md`), between us and a foreign peer, while the
//! certificates of both sides rotate.
//!
//! A foreign client runs all cases again and again until its input ends; then it says, in one line of JSON, what became of each case:
//! `{"cases": {NAME: {"passed": 3, "failed": 0, "first_failure": null}}, "skipped": {NAME: WHY}, "partly": {NAME: WHY}}`.
//! A foreign server says `listening PORT {"flags": true, "skipped": {NAME: WHY}, "partly": {NAME: WHY}}`, where `flags` is whether it can tell
//! if a message was compressed.

mod client;
mod messages;
mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use evercert::Identity;
use evercert::client::Endpoint;
use evercert::source::DirectorySettings;
use evercert_fixtures::Authority;
use evercert_tests::side::Side;
use serde_json::Value;

use crate::foreign::Foreign;
use client::Caller;

/// The cases that are run.
const CASES: [&str; 20] = [
    "empty_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "rpc_soak",
    "channel_soak",
];

/// The cases of the list that are not run, and why.
const LEFT_OUT: [(&str, &str); 12] = [
    ("cacheable_unary", "it is deprecated, and needs a caching proxy and requests by GET, which no peer here makes"),
    ("pick_first_unary", "it needs several backends behind one name"),
    ("concurrent_large_unary", "its description is still to be written"),
    ("compute_engine_creds", "it needs Google's cloud"),
    ("compute_engine_channel_credentials", "it needs Google's cloud"),
    ("google_default_credentials", "it needs Google's cloud"),
    ("jwt_token_creds", "it needs Google's cloud"),
    ("oauth2_auth_token", "it needs Google's cloud"),
    ("per_rpc_creds", "it needs Google's cloud"),
    ("orca_per_rpc", "tonic does not report loads (ORCA)"),
    ("orca_oob", "tonic does not report loads (ORCA)"),
    ("long_lived_channel", "it runs for hours; channel_soak and rpc_soak are run"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// What the peer is called in what is printed
    #[arg(long)]
    peer: String,
    /// How many rotations of both sides, one a second; the cases are run again and again until then
    #[arg(long, default_value_t = 5)]
    rotations: u32,
    /// The foreign peer
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

/// What became of one case.
#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn count(&mut self, outcome: client::Outcome) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                self.first_failure.get_or_insert(why);
            }
        }
    }
}

type Tallies = BTreeMap<String, Tally>;

/// Prints the cases that are not run.
pub(crate) fn left_out() -> bool {
    for (case, why) in LEFT_OUT {
        println!("left out: {case}: {why}");
    }
    true
}

/// We serve, the peer calls; whether no case failed.
pub(crate) async fn serve(settings: Settings) -> bool {
    let authority = Authority::new("cases");
    let (mut ours, mut theirs) = (Side::new(&authority), Side::new(&authority));
    let identity = identity(&ours).await;
    let address = service::serve(&identity).await;
    let client = Foreign::start(&settings.command, theirs.path(), &address.to_string());
    for _ in 0..settings.rotations {
        rotate(&authority, &mut ours, &mut theirs).await;
    }
    let said = client.end().await;
    let cases = said["cases"].as_object().unwrap();
    let tally = |outcome: &Value| Tally {
        passed: outcome["passed"].as_u64().unwrap(),
        failed: outcome["failed"].as_u64().unwrap(),
        first_failure: outcome["first_failure"].as_str().map(str::to_owned),
    };
    let tallies = cases.iter().map(|(case, outcome)| (case.clone(), tally(outcome))).collect();
    report(&format!("{} calls us", settings.peer), &tallies, &said)
}

/// We call, the peer serves; whether no case failed.
pub(crate) async fn call(settings: Settings) -> bool {
    let authority = Authority::new("cases");
    let (mut ours, mut theirs) = (Side::new(&authority), Side::new(&authority));
    let mut server = Foreign::start(&settings.command, theirs.path(), "");
    let line = server.says().await;
    let (port, features) = line.strip_prefix("listening ").unwrap().split_once(' ').unwrap();
    let features: Value = serde_json::from_str(features).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap();
    let caller = Caller::connect(endpoint, identity(&ours).await, features["flags"] == true).await;

    let mut tallies = Tallies::new();
    let rotating = async {
        for _ in 0..settings.rotations {
            rotate(&authority, &mut ours, &mut theirs).await;
        }
    };
    let mut rotating = std::pin::pin!(rotating);
    let mut rotated = false;
    while !rotated {
        for case in CASES.into_iter().filter(|case| features["skipped"][case].is_null()) {
            let mut running = std::pin::pin!(caller.run(case));
            let outcome = loop {
                tokio::select! {
                    outcome = &mut running => break outcome,
                    () = &mut rotating, if !rotated => rotated = true,
                }
            };
            tallies.entry(case.to_owned()).or_default().count(outcome);
        }
    }
    server.end().await;
    report(&format!("we call {}", settings.peer), &tallies, &features)
}

async fn identity(ours: &Side) -> Identity {
    Identity::from_directory(DirectorySettings::new(ours.path()).dedicated_bundle("ca.crt")).await.unwrap()
}

async fn rotate(authority: &Authority, ours: &mut Side, theirs: &mut Side) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    ours.mount(authority, &[authority]);
    theirs.mount(authority, &[authority]);
}

/// Prints a line for each case, with what the peer says it leaves out; whether all others were run and none failed.
fn report(pair: &str, tallies: &Tallies, said: &Value) -> bool {
    let mut good = true;
    for case in CASES {
        let line = match (tallies.get(case), said["skipped"][case].as_str()) {
            (Some(Tally { first_failure: Some(why), failed, passed }), _) => {
                Err(format!("{failed} of {}: {why}", failed + passed))
            }
            (Some(Tally { passed: 1.., .. }), Some(why)) => {
                Err(format!("it was run, though it is said not to be: {why}"))
            }
            (Some(Tally { passed: passed @ 1.., .. }), None) => {
                let partly = said["partly"][case].as_str().map(|why| format!("; {why}")).unwrap_or_default();
                Ok(format!("ok: {pair}: {case} ({passed} times{partly})"))
            }
            (_, Some(why)) => Ok(format!("skipped: {pair}: {case}: {why}")),
            (_, None) => Err("it was not run".to_owned()),
        };
        good &= line.is_ok();
        println!("{}", line.unwrap_or_else(|why| format!("FAILED: {pair}: {case}: {why}")));
    }
    good
}
