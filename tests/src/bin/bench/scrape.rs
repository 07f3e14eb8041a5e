//! Scrapes of a daemon with many identities, as plain text and with gzip.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use evercert_fixtures::{KubeletVolume, http_get};
use evercert_tests::daemon::{Home, identity};
use serde_json::{Value, json};

use crate::latencies::Latencies;
use crate::stage;

/// How long the daemon may take to publish everything, and a scrape at the most.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is asked whether it is ready.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many identities there are
    #[arg(long, default_value_t = 10_000)]
    identities: usize,
    /// How many scrapes are made of each kind
    #[arg(long, default_value_t = 20)]
    scrapes: usize,
    /// How long half of the plain scrapes may take at the most, in milliseconds
    #[arg(long, default_value_t = 250)]
    promise: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let volumes: Vec<_> = stage::certificates(args.identities)
        .iter()
        .enumerate()
        .map(|(number, issued)| KubeletVolume::at(&directory.path().join(format!("set-{number}")), &issued.files()))
        .collect();
    let home = Home::open_to_all(&std::env::temp_dir(), crate::daemon);
    let identities = volumes.iter().enumerate();
    home.configure(
        &identities.map(|(number, volume)| identity(&format!("set-{number}"), volume.path())).collect::<String>(),
    );
    let _daemon = home.start().await;
    let address = home.http().unwrap();
    let start = Instant::now();
    while !http_get(address, "/readyz", LIMIT).is_ok_and(|(status, _)| status == 200) {
        assert!(start.elapsed() < LIMIT, "{}", home.log());
        tokio::time::sleep(PACE).await;
    }
    let (mut plain, mut packed) = (Latencies::new(), Latencies::new());
    let (mut bytes, mut packed_bytes) = (0, 0);
    for _ in 0..args.scrapes {
        bytes = scrape(address, "", &mut plain);
        packed_bytes = scrape(address, "Accept-Encoding: gzip\r\n", &mut packed);
    }
    json!({
        "scenario": "scrape",
        "kept": plain.at(0.5) <= args.promise as f64,
        "settings": { "identities": args.identities, "scrapes": args.scrapes, "promise_ms": args.promise },
        "page_bytes": bytes,
        "gzip_bytes": packed_bytes,
        "plain_ms": plain.figures(),
        "gzip_ms": packed.figures(),
    })
}

/// One scrape from connecting to its last byte, and how many bytes those are.
fn scrape(address: SocketAddr, header: &str, latencies: &mut Latencies) -> usize {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\n{header}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    latencies.record(start.elapsed());
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    answer.len()
}
