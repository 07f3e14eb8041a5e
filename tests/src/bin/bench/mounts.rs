//! The daemon with many mounted sets.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use evercert_fixtures::KubeletVolume;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage;

/// How long the daemon may take to publish everything.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is asked whether it is ready.
const PACE: Duration = Duration::from_millis(5);
/// What `/proc` counts CPU time in: USER_HZ, which is 100 on every architecture Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

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
    let (listener, address) = stage::listener().await;
    drop(listener);
    let path = |name: &str| directory.path().join(name);
    let config = path("evercertd.toml");
    let settings = format!(
        "[watch]\ndirectories = [{:?}]\n[sockets]\nagent = {:?}\nadmin = {:?}\n[http]\nlisten = \"{address}\"\n",
        mounts.join("*"),
        path("agent/agent.sock"),
        path("admin/admin.sock"),
    );
    fs::write(&config, settings).unwrap();

    let log = fs::File::create(path("log")).unwrap();
    let start = Instant::now();
    let mut daemon = Daemon(
        crate::daemon().args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stderr(log).spawn().unwrap(),
    );
    while !ready(address).await {
        let ended = daemon.0.try_wait().unwrap();
        assert!(ended.is_none() && start.elapsed() < LIMIT, "{ended:?}: {}", fs::read_to_string(path("log")).unwrap());
        tokio::time::sleep(PACE).await;
    }
    let published = start.elapsed();
    let busy = daemon.cpu();
    // What starting has left to do is no idling.
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

struct Daemon(Child);

impl Daemon {
    /// The CPU time used so far, in seconds (proc_pid_stat(5): utime and stime).
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        ticks as f64 / TICKS_PER_SECOND
    }

    /// A size of proc_pid_status(5), in MiB.
    fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        (kib / 1024.0 * 10.0).round() / 10.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

async fn ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    asked.is_ok() && stream.read_to_string(&mut answer).await.is_ok() && answer.starts_with("HTTP/1.1 200")
}
