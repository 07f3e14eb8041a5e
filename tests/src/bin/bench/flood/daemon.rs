//! Floods of the daemon: callers that connect and close in a loop at its workload socket, and silent peers at its HTTP side.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evercert_api::v1::ListRequest;
use evercert_api::v1::agent_client::AgentClient;
use evercert_fixtures::{become_user, http_get};
use evercert_tests::channel::over;
use evercert_tests::daemon::Home;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::latencies::Latencies;

/// How many loops connect and close.
const LOOPS: usize = 6;

/// Their uid: a caller's connections count as its own.
const FLOODER: u32 = 65_533;

/// How long the newcomers leave between one and the next.
const PAUSE: Duration = Duration::from_millis(20);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many peers of the HTTP side say nothing: some more than it takes.
const SILENT: usize = 200;

/// Callers of one user connect and close, each as fast as it can, while newcomers of another connect and ask.
pub(super) async fn connections(seconds: u64) -> Value {
    if !rustix::process::geteuid().is_root() {
        return json!({ "skipped": "it needs root, to be two users", "failed": 0, "recovered": true });
    }
    let home = Home::open_to_all(&std::env::temp_dir(), crate::daemon);
    home.configure("");
    let daemon = home.start().await;
    let (stop, connects) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let loops: Vec<_> = (0..LOOPS)
        .map(|_| {
            let (socket, stop, connects) = (home.agent_socket(), Arc::clone(&stop), Arc::clone(&connects));
            thread::spawn(move || connect_and_close(&socket, &stop, &connects))
        })
        .collect();
    let (start, mut served, mut refused, mut failed) = (Instant::now(), Latencies::new(), 0_u64, 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let asked = Instant::now();
        // Does not wait: the kernel refuses it while the queue is full.
        let Ok(stream) = UnixStream::connect(home.agent_socket()) else {
            refused += 1;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if ask(stream).await {
            served.record(asked.elapsed());
        } else {
            failed += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
    stop.store(true, Ordering::Relaxed);
    let took = start.elapsed().as_secs_f64();
    loops.into_iter().for_each(|flooder| flooder.join().unwrap());
    let recovered = ask(UnixStream::connect(home.agent_socket()).unwrap()).await && daemon.status().await.is_some();
    json!({
        "loops": LOOPS,
        "connects_per_second": (connects.load(Ordering::Relaxed) as f64 / took).round(),
        "newcomers": { "served": served.count(), "refused_by_the_kernel": refused, "failed": failed },
        "newcomer_ms": served.figures(),
        "failed": failed,
        "recovered": recovered,
        "promises": { "nobody_refused": refused == 0, "slowest_below_1_s": served.at(1.0) < 1000.0 },
    })
}

/// Peers that connect to the HTTP side and say nothing, and one that asks.
pub(super) async fn http() -> Value {
    let home = Home::open_to_all(&std::env::temp_dir(), crate::daemon);
    home.configure("");
    let _daemon = home.start().await;
    let address = home.http().unwrap();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = Instant::now();
    let answered = alive(address).await;
    let took = asked.elapsed();
    drop(silent);
    json!({
        "silent": SILENT,
        "answered_after_ms": took.as_millis() as u64,
        "failed": u64::from(!answered),
        "recovered": alive(address).await,
        "promises": { "answered_below_4_s": answered && took < Duration::from_secs(4) },
    })
}

/// As another user than this process's; the kernel keeps users by thread.
fn connect_and_close(socket: &Path, stop: &AtomicBool, connects: &AtomicU64) {
    become_user(FLOODER);
    while !stop.load(Ordering::Relaxed) {
        connects.fetch_add(u64::from(UnixStream::connect(socket).is_ok()), Ordering::Relaxed);
    }
}

async fn ask(stream: UnixStream) -> bool {
    let mut agent = AgentClient::new(over(stream));
    tokio::time::timeout(PATIENCE, agent.list(ListRequest::default())).await.is_ok_and(|answer| answer.is_ok())
}

async fn alive(address: SocketAddr) -> bool {
    let asked = tokio::task::spawn_blocking(move || http_get(address, "/healthz", PATIENCE)).await.unwrap();
    asked.is_ok_and(|(status, _)| status == 200)
}
