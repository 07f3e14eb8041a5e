//! How long a rotation takes to be seen.

mod beside_envoy;
mod side;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert::Identity;
use evercert_fixtures::KubeletVolume;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::latencies::Latencies;
use crate::stage;
pub(crate) use side::Side;

/// How long one swap may take to be seen.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many times the volume is swapped
    #[arg(long, default_value_t = 1000)]
    swaps: usize,
    /// The pause between two swaps, in milliseconds
    #[arg(long, default_value_t = 5)]
    pause_ms: u64,
    /// When to look for the new leaf
    #[arg(long, value_enum, default_value_t = Observer::Connecting)]
    observer: Observer,
    /// Envoy's program: it, a service behind the daemon and one that reads its own mount are rotated in turn, and seen by one client
    #[arg(long, conflicts_with = "observer")]
    beside_envoy: Option<PathBuf>,
    /// How many runs there are of that, whose least, median and most are told
    #[arg(long, default_value_t = 5, requires = "beside_envoy", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Observer {
    /// One handshake after the other, from before the swap on: what a stranger sees, at the price of a busy core
    Connecting,
    /// One handshake, as soon as the server's process has swapped
    Notified,
}

pub(crate) async fn run(args: Args) -> Value {
    if let Some(envoy) = &args.beside_envoy {
        return beside_envoy::run(envoy, args.runs, args.swaps, Duration::from_millis(args.pause_ms)).await;
    }
    let issued = stage::certificates(args.swaps + 1);
    let volume = Arc::new(KubeletVolume::new(&issued[0].files()));
    let home = stage::home(&volume);
    let _daemon = home.start().await;
    let identity = stage::from_agent(&home).await;
    let address = stage::serve(&identity).await;
    let client = TlsConnector::from(stage::static_client(&issued[0]));

    let mut to_current = Latencies::new();
    let mut to_handshake = Latencies::new();
    let mut seen = 0;
    for issued in &issued[1..] {
        let (volume, files) = (Arc::clone(&volume), issued.files());
        let (mut watching, mut notified) = (identity.clone(), identity.clone());
        tokio::join!(skip_current(&mut watching), skip_current(&mut notified));
        // The kubelet goes on with its own work after the rename, beside everyone else's.
        let swap = tokio::task::spawn_blocking(move || volume.swap(&files));
        let current = async {
            watching.changed().await;
            Instant::now()
        };
        let handshake = async {
            if matches!(args.observer, Observer::Notified) {
                notified.changed().await;
            }
            while leaf(&client, address).await != issued.leaf_der {}
            Instant::now()
        };
        let all = async { tokio::join!(swap, current, handshake) };
        if let Ok((swapped, current, handshake)) = tokio::time::timeout(LIMIT, all).await {
            let renamed = swapped.unwrap();
            to_current.record(current - renamed);
            to_handshake.record(handshake - renamed);
            seen += 1;
        }
        tokio::time::sleep(Duration::from_millis(args.pause_ms)).await;
    }
    json!({
        "scenario": "rotation",
        "settings": { "swaps": args.swaps, "pause_ms": args.pause_ms, "observer": format!("{:?}", args.observer).to_lowercase() },
        "seen": seen,
        "swap_to_current_ms": to_current.figures(),
        "swap_to_handshake_ms": to_handshake.figures(),
    })
}

/// Has `identity` wait for the generation after the current one.
async fn skip_current(identity: &mut Identity) {
    _ = tokio::time::timeout(Duration::ZERO, identity.changed()).await;
}

/// The leaf that the server shows in a new handshake.
async fn leaf(client: &TlsConnector, address: SocketAddr) -> Vec<u8> {
    shown(client, address).await.expect("a handshake")
}

/// The same, where there is a server.
async fn shown(client: &TlsConnector, address: SocketAddr) -> Option<Vec<u8>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let name = ServerName::try_from(stage::NAME).unwrap();
    let stream = client.connect(name, stream).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?[0].to_vec())
}
