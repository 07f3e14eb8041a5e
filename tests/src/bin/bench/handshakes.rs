//! A swapping identity's cost to a handshake.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::server::IncomingSettings;
use evercert::telemetry::PrometheusRecorder;
use prometheus::Registry;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use tokio_stream::{Stream, StreamExt};

use crate::blocks::Blocks;
use crate::stage;

/// The static server's limits and queue, as the SDK has them by default.
const HELLO_LIMIT: Duration = Duration::from_secs(2);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
const QUEUE: usize = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the comparison runs
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many clients connect at a time
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// The length of a block, in milliseconds
    #[arg(long, default_value_t = 200)]
    block_ms: u64,
    /// Compare a server whose handshakes are counted by a Prometheus recorder with one whose are not, instead of ours with a static one
    #[arg(long)]
    counted: bool,
}

pub(crate) async fn run(args: Args) -> Value {
    let issued = stage::certificates(1).remove(0);
    let identity = stage::unchanging(&issued).await;

    let registry = Registry::new();
    let (listener, our_address) = stage::listener().await;
    let mut settings = IncomingSettings::default();
    if args.counted {
        settings = settings.recorder(PrometheusRecorder::register(&registry).unwrap());
    }
    let ours = Accepted::count(identity.incoming_with(listener, settings));
    let (listener, their_address) = stage::listener().await;
    let theirs = match args.counted {
        true => Accepted::count(identity.incoming(listener)),
        false => Accepted::count(static_incoming(listener, stage::static_server(&issued))),
    };

    let client = TlsConnector::from(stage::static_client(&issued));
    let block = Duration::from_millis(args.block_ms);
    let blocks = Blocks::measure(
        Duration::from_secs(args.seconds),
        async || handshakes(&client, our_address, &ours, args.clients, block).await,
        async || handshakes(&client, their_address, &theirs, args.clients, block).await,
    )
    .await;
    json!({
        "scenario": "handshakes",
        "settings": { "seconds": args.seconds, "clients": args.clients, "block_ms": args.block_ms },
        "handshakes_per_second": if args.counted { blocks.figures("counted", "uncounted") } else { blocks.figures("evercert", "static") },
    })
}

/// The connections that a server has accepted; each is closed at once.
#[derive(Clone, Default)]
struct Accepted(Arc<AtomicU64>);

impl Accepted {
    fn count<IO: Send>(incoming: impl Stream<Item = std::io::Result<IO>> + Send + 'static) -> Self {
        let accepted = Self::default();
        let count = Arc::clone(&accepted.0);
        tokio::spawn(async move {
            let mut incoming = pin!(incoming);
            while incoming.next().await.is_some() {
                count.fetch_add(1, Relaxed);
            }
        });
        accepted
    }
}

/// The SDK's accept loop without what makes it swap.
fn static_incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = std::io::Result<tokio_rustls::server::TlsStream<TcpStream>>> {
    let (finished, accepted) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = handshakes.join_next() => {}
                connection = listener.accept() => {
                    let (stream, _) = connection.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (config, finished) = (Arc::clone(&config), finished.clone());
                    handshakes.spawn(async move {
                        let hello = timeout(HELLO_LIMIT, LazyConfigAcceptor::new(Acceptor::default(), stream));
                        let hello = hello.await.unwrap().unwrap();
                        let stream = timeout(HANDSHAKE_LIMIT, hello.into_stream(config)).await.unwrap();
                        _ = finished.send(stream).await;
                    });
                }
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(accepted)
}

/// How many connections the server accepts in one block while `clients` connect.
async fn handshakes(
    client: &TlsConnector,
    address: SocketAddr,
    accepted: &Accepted,
    clients: usize,
    block: Duration,
) -> (u64, Duration) {
    let before = accepted.0.load(Relaxed);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let client = client.clone();
        tasks.spawn(async move {
            while start.elapsed() < block {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut stream = client.connect(ServerName::try_from(stage::NAME).unwrap(), stream).await.unwrap();
                // The server closes it once it has accepted it.
                _ = stream.read(&mut [0]).await;
            }
        });
    }
    tasks.join_all().await;
    (accepted.0.load(Relaxed) - before, start.elapsed())
}
