//! The daemon with many mounted sets.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use evercert_fixtures::{KubeletVolume, free_address, http_get};
use serde_json::{Value, json};

use crate::process::Process;
use crate::stage;

/// How long the daemon may take to publish everything.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is asked whether it is ready, which costs it a look at every set.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many sets are mounted
    #[arg(long, default_value_t = 1000)]
    sets: usize,
    /// How long the idle daemon is watched; two periodic scans fall into a minute
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let mounts = directory.path().join("mounts");
    let volumes: Vec<_> = stage::certificates(args.sets)
        .iter()
        .enumerate()
        .map(|(number, issued)| KubeletVolume::at(&mounts.join(format!("set-{number}")), &issued.files()))
        .collect();
    let address = free_address();
    let path = |name: &str| directory.path().join(name);
    let config = path("evercertd.toml");
    let settings = format!(
        "[watch]\ndirectories = [{:?}]\n[sockets]\nagent = {:?}\nadmin = {:?}\n[http]\nlisten = \"{address}\"\n[state]\ndirectory = {:?}\n",
        mounts.join("*"),
        path("agent/agent.sock"),
        path("admin/admin.sock"),
        path("state"),
    );
    fs::write(&config, settings).unwrap();

    let log = fs::File::create(path("log")).unwrap();
    let start = Instant::now();
    let mut daemon = Process(
        crate::daemon().args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stderr(log).spawn().unwrap(),
    );
    while !http_get(address, "/readyz", LIMIT).is_ok_and(|(status, _)| status == 200) {
        let ended = daemon.0.try_wait().unwrap();
        assert!(ended.is_none() && start.elapsed() < LIMIT, "{ended:?}: {}", fs::read_to_string(path("log")).unwrap());
        tokio::time::sleep(PACE).await;
    }
    let published = start.elapsed();
    let busy = daemon.cpu();
    // The rest of starting is no idling.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = daemon.memory("VmRSS");
    let (cpu, idle) = (daemon.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let share = (daemon.cpu() - cpu) / idle.elapsed().as_secs_f64();
    let figures = json!({
        "scenario": "mounts",
        "settings": { "sets": args.sets, "seconds": args.seconds },
        "all_published_ms": published.as_millis() as u64,
        "cpu_until_published_ms": (busy * 1000.0).round(),
        "rss_mib": memory,
        "rss_after_idling_mib": daemon.memory("VmRSS"),
        "rss_peak_mib": daemon.memory("VmHWM"),
        "idle_cpu_percent": (share * 100_000.0).round() / 1000.0,
    });
    drop(volumes);
    figures
}
