//! What channels cost while their server is away, and how soon they find it again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert::{Channel, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::greeter_server::GreeterServer;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tonic::service::Routes;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::latencies::Latencies;
use crate::process::raise_descriptor_limit;
use crate::{stage, watchdog};

/// What is promised: of one core, of the log, and of the first call after the outage.
const CPU_MS_PER_S: f64 = 20.0;
const LOG_LINES: u64 = 100;
const FOUND_AGAIN_MS: f64 = 200.0;

/// How many channels connect at once, and how many are called at once: handshakes are not what is measured.
const AT_ONCE: usize = 8;
/// The pause between two calls on a channel that is not connected.
const PAUSE: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many channels there are
    #[arg(long, default_value_t = 1000)]
    channels: usize,
    /// How long the server is away, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The calls made meanwhile
    #[arg(long, value_enum, default_value_t = Calls::None)]
    calls: Calls,
}

/// The calls that are made on each channel while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Calls {
    /// None at all
    None,
    /// One that waits until the server is back
    Waiting,
    /// One a second, each of which fails
    Repeated,
}

/// Counts the lines that a log at the level INFO would have.
struct Lines(Arc<AtomicU64>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A server that ends when it is told to.
struct Away {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Away {
    fn start(identity: &Identity, listener: TcpListener) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Routes::new(GreeterServer::new(GreeterService));
        let serving = Server::new(identity).serve(routes, listener, async move { _ = stopped.await });
        Self { stop, task: tokio::spawn(async move { serving.await.unwrap() }) }
    }

    async fn stop(self) {
        _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

pub(crate) async fn run(args: Args) -> Value {
    watchdog(Duration::from_secs(args.seconds) + 2 * LIMIT);
    raise_descriptor_limit();
    let lines = Arc::new(AtomicU64::new(0));
    tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
    let issued = stage::certificates(1);
    let identity = stage::unchanging(&issued[0]).await;
    let (listener, address) = stage::listener().await;
    let server = Away::start(&identity, listener);
    let channels = connect(&identity, address, args.channels, args.calls).await;

    let before = lines.load(Relaxed);
    server.stop().await;
    let (start, cpu) = (Instant::now(), cpu());
    let mut calling = call_meanwhile(&channels, args.calls);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let cpu_ms_per_s = (self::cpu() - cpu).as_secs_f64() * 1000.0 / start.elapsed().as_secs_f64();
    if args.calls == Calls::Repeated {
        calling.shutdown().await;
    }
    let _server = Away::start(&identity, TcpListener::bind(address).await.unwrap());
    let found_again = find_again(channels).await;
    calling.join_all().await;
    let log_lines = lines.load(Relaxed) - before;

    let kept = cpu_ms_per_s <= CPU_MS_PER_S && log_lines <= LOG_LINES && found_again.at(1.0) <= FOUND_AGAIN_MS;
    json!({
        "scenario": "outage",
        "settings": { "channels": args.channels, "seconds": args.seconds, "calls": format!("{:?}", args.calls) },
        "cpu_ms_per_s": (cpu_ms_per_s * 10.0).round() / 10.0,
        "log_lines": log_lines,
        "found_again_ms": found_again.figures(),
        "kept": kept,
    })
}

async fn connect(identity: &Identity, server: SocketAddr, count: usize, calls: Calls) -> Vec<Channel> {
    let mut channels = Vec::with_capacity(count);
    let mut connecting = JoinSet::new();
    for begun in 0..count {
        if begun >= AT_ONCE {
            channels.push(connecting.join_next().await.unwrap().unwrap());
        }
        let endpoint = Endpoint::new(format!("https://{server}")).unwrap().server_name(stage::NAME).unwrap();
        let (identity, endpoint) = (identity.clone(), endpoint.wait_for_ready(calls == Calls::Waiting));
        connecting.spawn(async move { endpoint.connect(&identity).await.unwrap() });
    }
    channels.extend(connecting.join_all().await);
    channels
}

fn call_meanwhile(channels: &[Channel], calls: Calls) -> JoinSet<()> {
    let mut calling = JoinSet::new();
    for channel in channels.iter().filter(|_| calls != Calls::None) {
        let mut client = GreeterClient::new(channel.clone());
        calling.spawn(async move {
            while client.say_hello(HelloRequest::default()).await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    calling
}

/// From the first call on each channel to its first answer.
async fn find_again(channels: Vec<Channel>) -> Latencies {
    let mut found = Latencies::new();
    let mut calling = JoinSet::new();
    for channel in channels {
        if calling.len() >= AT_ONCE {
            found.record(calling.join_next().await.unwrap().unwrap());
        }
        calling.spawn(async move {
            let (start, mut client) = (Instant::now(), GreeterClient::new(channel));
            while client.say_hello(HelloRequest::default()).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            start.elapsed()
        });
    }
    calling.join_all().await.into_iter().for_each(|took| found.record(took));
    found
}

/// The CPU time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap())
}
