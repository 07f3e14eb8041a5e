//! The same rotation at Envoy, which reads the files itself, at a service behind daemon and socket, and at one that reads its own mount: each a
//! process of its own, seen by one client in turn.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_fixtures::{KubeletVolume, free_address};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::side::Side;
use super::{LIMIT, leaf};
use crate::latencies::Latencies;
use crate::process::Process;
use crate::stage;

/// Those that are compared, the first with itself.
const SIDES: [&str; 3] = ["envoy", "daemon", "directory"];

fn envoy(program: &Path, home: &TempDir, volume: &Arc<KubeletVolume>) -> Side {
    let address = free_address();
    let at = |name: &str| home.path().join(name);
    fs::write(at("secret.json"), secret(volume).to_string()).unwrap();
    fs::write(at("envoy.json"), configuration(address, &at("secret.json"), volume).to_string()).unwrap();
    let log = File::create(at("envoy.log")).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(at("envoy.json")).args(["--concurrency", "2", "--log-level", "error"]);
    command.args(["--use-dynamic-base-id"]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let process = Process(command.spawn().expect("Envoy's program"));
    Side::new(SIDES[0], volume, (address, process))
}

/// Envoy's secret: these files, read again when `..data` is replaced.
fn secret(volume: &KubeletVolume) -> Value {
    json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "own",
        "tls_certificate": {
            "certificate_chain": { "filename": volume.file("tls.crt") },
            "private_key": { "filename": volume.file("tls.key") },
            "watched_directory": { "path": volume.path() },
        },
    }]})
}

fn configuration(address: SocketAddr, secret: &Path, volume: &KubeletVolume) -> Value {
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3" },
            "validation_context": { "trusted_ca": { "filename": volume.file("ca.crt") } },
            "tls_certificate_sds_secret_configs":
                [{ "name": "own", "sds_config": { "path_config_source": { "path": secret } } }],
        },
    });
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }],
        }]},
        "http_filters": [{
            "name": "router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    json!({
        "node": { "id": "bench", "cluster": "bench" },
        "static_resources": { "listeners": [{
            "address": { "socket_address": { "address": address.ip(), "port_value": address.port() } },
            "filter_chains": [{
                "transport_socket": { "name": "tls", "typed_config": tls },
                "filters": [{ "name": "http", "typed_config": http }],
            }],
        }]},
    })
}

/// `runs` runs of as many swaps each, at all three in turn; and of each handshakes alone, from which the rest differs by the rotation.
pub(super) async fn run(program: &Path, runs: u32, swaps: usize, pause: Duration) -> Value {
    let issued = stage::certificates(swaps + 1);
    let volumes = SIDES.map(|_| Arc::new(KubeletVolume::new(&issued[0].files())));
    let [at_envoy, at_daemon, at_directory] = &volumes;
    let home = stage::home(at_daemon);
    let _daemon = home.start().await;
    let of_envoy = tempfile::tempdir().unwrap();
    let sides = [
        self::envoy(program, &of_envoy, at_envoy),
        Side::service(SIDES[1], at_daemon, &home.agent_socket()),
        Side::service(SIDES[2], at_directory, at_directory.path()),
    ];
    let client = TlsConnector::from(stage::static_client(&issued[0]));
    for side in &sides {
        side.is_up(&client, &issued[0]).await;
    }
    let mut of_runs = Vec::new();
    for _ in 0..runs {
        let mut latencies = SIDES.map(|_| Latencies::new());
        let mut alone = SIDES.map(|_| Latencies::new());
        // Of one key; the first certificate comes again at the start of each run.
        for (turn, issued) in issued[1..].iter().chain(&issued[..1]).enumerate() {
            // Whoever comes first has what the one before leaves behind.
            for at in (0..SIDES.len()).map(|step| (turn + step) % SIDES.len()) {
                if let Some(took) = sides[at].rotation(&client, issued).await {
                    latencies[at].record(took);
                }
                let begin = Instant::now();
                if tokio::time::timeout(LIMIT, leaf(&client, sides[at].address)).await.is_ok() {
                    alone[at].record(begin.elapsed());
                }
                tokio::time::sleep(pause).await;
            }
        }
        of_runs.push((latencies, alone));
    }
    figures(&of_runs, swaps + 1)
}

type OfRun = ([Latencies; 3], [Latencies; 3]);

fn figures(runs: &[OfRun], swaps: usize) -> Value {
    // Of all runs the least, the median and the most.
    let spread = |of: &dyn Fn(&OfRun) -> f64| {
        let mut all: Vec<_> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        json!([rounded(all[0]), rounded(all[all.len() / 2]), rounded(all[all.len() - 1])])
    };
    let side = |at: usize| {
        let ratio = |quantile: f64| spread(&move |(took, _)| took[at].at(quantile) / took[0].at(quantile));
        json!({
            "seen": runs.iter().map(|(took, _)| took[at].count()).sum::<u64>(),
            "p50_ms": spread(&|(took, _)| took[at].at(0.5)),
            "p99_ms": spread(&|(took, _)| took[at].at(0.99)),
            "handshake_alone_p50_ms": spread(&|(_, alone)| alone[at].at(0.5)),
            "p50_of_envoys": ratio(0.5),
            "p99_of_envoys": ratio(0.99),
        })
    };
    json!({
        "scenario": "rotation",
        "settings": { "beside": "envoy", "runs": runs.len(), "swaps": swaps },
        "expected": runs.len() * swaps,
        "figures": "[least, median, most] of the runs",
        "envoy": side(0),
        "daemon": side(1),
        "directory": side(2),
        "kept": (0..SIDES.len()).all(|at| runs.iter().all(|(took, _)| took[at].count() == swaps as u64)),
    })
}
