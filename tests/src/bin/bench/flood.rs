//! Peers that want to be in the way: silent ones, half a handshake, floods of streams, and so many that the server has no descriptor
//! left. A neighbour must hardly notice, and the server must be as before once they are gone. And the same of the daemon: callers that
//! connect and close in a loop, and silent peers of its HTTP side.
//!
//! Promises that depend on how busy the machine is otherwise are reported, in `promises`, and do not decide `kept`.

mod attack;
mod daemon;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert::{Channel, Identity};
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_fixtures::{Authority, Issued, wait};
use evercert_tests::side;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::latencies::Latencies;
use crate::stage::{self, Delivery};
use attack::{Flood, Outcome};
use server::Server;

/// How many loopback addresses the silent peers come from: a server closes what one address has too many of.
const ADDRESSES: usize = 8;
/// How many times a good client connects meanwhile.
const VISITS: usize = 20;
/// When the last of the peers that stall has to be gone: the SDK's limits for ClientHello and handshake, and some.
const REAPED: Duration = Duration::from_secs(15);
/// How many descriptors a server may have more after that: it reads its mount now and then.
const TOLERANCE: usize = 4;
/// How many descriptors the server is left when they run out, and how many peers more are waiting then.
const SPARE: usize = 16;
const WAITING: usize = 16;
/// How long it may take until a server is as before.
const RECOVERY: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many peers connect and say nothing
    #[arg(long, default_value_t = 500)]
    silent: usize,
    /// How many peers say nothing after their ClientHello
    #[arg(long, default_value_t = 200)]
    half: usize,
    /// How many streams are opened in one flood
    #[arg(long, default_value_t = 50_000)]
    streams: usize,
    /// How many streams are opened and reset in one flood
    #[arg(long, default_value_t = 20_000)]
    resets: usize,
    /// How many floods there are, each before as long a time without
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// How long the server has no descriptors, in seconds
    #[arg(long, default_value_t = 30)]
    emfile_seconds: u64,
    /// How long callers of the daemon connect and close, in seconds
    #[arg(long, default_value_t = 10)]
    connect_seconds: u64,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 300)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    crate::process::raise_descriptor_limit();
    let neighbour = Neighbour::new().await;
    let stalling = stalling(&args, &neighbour).await;
    let streams = streams(&args, &neighbour).await;
    let emfile = emfile(&args, &neighbour).await;
    let connections = daemon::connections(args.connect_seconds).await;
    let http = daemon::http().await;
    let parts = [&stalling, &streams, &emfile, &connections, &http];
    let failed: u64 = parts.iter().map(|part| part["failed"].as_u64().unwrap()).sum();
    json!({
        "scenario": "flood",
        "kept": failed == 0 && parts.iter().all(|part| part["recovered"] == true),
        "settings": {
            "silent": args.silent, "half": args.half, "streams": args.streams, "resets": args.resets,
            "rounds": args.rounds, "emfile_seconds": args.emfile_seconds,
            "connect_seconds": args.connect_seconds,
        },
        "failed": failed,
        "stalling": stalling,
        "streams": streams,
        "emfile": emfile,
        "daemon_connections": connections,
        "daemon_http": http,
    })
}

/// A client that behaves, and what it is known by.
struct Neighbour {
    authority: Authority,
    issued: Issued,
    identity: Identity,
}

impl Neighbour {
    async fn new() -> Self {
        let authority = Authority::new("bench");
        let issued = authority.issue(side::leaf());
        let identity = Delivery::new(&issued, &[authority.ca_der()]).identity().await.unwrap();
        Self { authority, issued, identity }
    }

    /// The config of a peer with a certificate as good as this one's.
    fn peer(&self) -> Arc<ClientConfig> {
        stage::static_client(&self.issued)
    }

    /// Connects and makes a call; gives how long both took.
    async fn visit(&self, server: SocketAddr) -> Result<(Channel, Duration), tonic::Status> {
        let start = Instant::now();
        let channel = Endpoint::new(format!("https://{server}")).unwrap().connect(&self.identity).await?;
        call(&channel).await?;
        Ok((channel, start.elapsed()))
    }
}

async fn call(channel: &Channel) -> Result<Duration, tonic::Status> {
    let start = Instant::now();
    let request = HelloRequest { name: "neighbour".to_owned() };
    GreeterClient::new(channel.clone()).say_hello(request).await?;
    Ok(start.elapsed())
}

/// Silent peers and half handshakes.
async fn stalling(args: &Args, neighbour: &Neighbour) -> Value {
    let server = Server::start(&neighbour.authority);
    drop(neighbour.visit(server.address).await.unwrap());
    let before = settled(&server).await;
    let mut peers = Vec::new();
    for number in 0..args.silent {
        peers.push(tcp_from(number, server.address).await);
    }
    let config = neighbour.peer();
    for number in 0..args.half {
        let mut peer = tcp_from(number, server.address).await;
        let mut hello = Vec::new();
        let name = ServerName::try_from(stage::NAME).unwrap();
        ClientConnection::new(Arc::clone(&config), name).unwrap().write_tls(&mut hello).unwrap();
        peer.write_all(&hello).await.unwrap();
        peers.push(peer);
    }
    let opened = Instant::now();
    let (mut latencies, mut failed, mut held) = (Latencies::new(), 0, Vec::new());
    for _ in 0..VISITS {
        held.push(server.process.descriptors().saturating_sub(before));
        match neighbour.visit(server.address).await {
            Ok((_, took)) => latencies.record(took),
            Err(_) => failed += 1,
        }
    }
    let reaped = loop {
        if server.process.descriptors() <= before + TOLERANCE {
            break Some(opened.elapsed());
        }
        if opened.elapsed() > REAPED {
            break None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Each of them has been told, too.
    let told = async {
        for mut peer in peers {
            _ = peer.read_to_end(&mut Vec::new()).await;
        }
    };
    let told = tokio::time::timeout(REAPED, told).await.is_ok();
    json!({
        "failed": failed,
        "recovered": reaped.is_some() && told,
        "reaped_after_ms": reaped.map(|took| took.as_millis() as u64),
        "descriptors_before": before,
        "stalling_at_first_visit": held[0],
        "stalling_at_last_visit": held[VISITS - 1],
        "connect_and_call_ms": latencies.figures(),
        "promises": { "below_100_ms": latencies.at(1.0) < 100.0 },
    })
}

/// Floods of streams on one connection. The same floods of another server, which is none of the neighbour's, tell what the machine makes of
/// three busy processes from what one connection of a server makes of the others.
async fn streams(args: &Args, neighbour: &Neighbour) -> Value {
    let [server, other] = [(); 2].map(|()| Server::start(&neighbour.authority));
    let (channel, _) = neighbour.visit(server.address).await.unwrap();
    let mut failed = 0;
    // Until caches and the allocator have what they need.
    measure(&channel, &mut Latencies::new(), &mut failed, tokio::time::sleep(Duration::from_secs(1))).await;
    let resident = server.process.memory("VmRSS");
    let [mut quiet, mut flooded, mut beside] = [(); 3].map(|()| Latencies::new());
    let (mut opened, mut reset) = (Outcome::default(), Outcome::default());
    for _ in 0..args.rounds {
        let elsewhere = attack(other.address, neighbour.peer(), args.streams, args.resets);
        measure(&channel, &mut beside, &mut failed, elsewhere).await;
        let start = Instant::now();
        let here = attack(server.address, neighbour.peer(), args.streams, args.resets);
        let (first, second) = measure(&channel, &mut flooded, &mut failed, here).await;
        opened.add(first);
        reset.add(second);
        measure(&channel, &mut quiet, &mut failed, tokio::time::sleep(start.elapsed())).await;
    }
    let ratio = |of: &Latencies, to: &Latencies| (of.at(0.99) / to.at(0.99) * 100.0).round() / 100.0;
    let grown = server.process.memory("VmHWM") - resident;
    json!({
        "failed": failed,
        "recovered": grown < 20.0,
        "opened": opened.json(),
        "reset": reset.json(),
        "rss_before_mib": resident,
        "rss_grown_mib": (grown * 10.0).round() / 10.0,
        "call_ms": quiet.figures(),
        "call_under_flood_ms": flooded.figures(),
        "call_under_flood_of_another_server_ms": beside.figures(),
        "p99_ratio": ratio(&flooded, &quiet),
        "p99_ratio_to_flood_of_another_server": ratio(&flooded, &beside),
        "promises": {
            "rss_below_20_mib": grown < 20.0,
            "p99_below_twice": flooded.at(0.99) < 2.0 * quiet.at(0.99),
            "p99_below_twice_that_of_another_server": flooded.at(0.99) < 2.0 * beside.at(0.99),
        },
    })
}

/// In a thread of its own: the neighbour's side of its calls must not wait for the attacker's.
async fn attack(server: SocketAddr, config: Arc<ClientConfig>, streams: usize, resets: usize) -> (Outcome, Outcome) {
    let flooding = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let opened = attack::flood(server, &config, Flood::Open, streams).await;
            (opened, attack::flood(server, &config, Flood::Reset, resets).await)
        })
    });
    flooding.await.unwrap()
}

/// Calls one after the other, as long as `meanwhile` runs.
async fn measure<T>(
    channel: &Channel,
    latencies: &mut Latencies,
    failed: &mut u64,
    meanwhile: impl Future<Output = T>,
) -> T {
    let calls = async {
        loop {
            match call(channel).await {
                Ok(took) => latencies.record(took),
                Err(_) => *failed += 1,
            }
        }
    };
    tokio::select! {
        done = meanwhile => done,
        () = calls => unreachable!("calls go on for ever"),
    }
}

/// A server without descriptors.
async fn emfile(args: &Args, neighbour: &Neighbour) -> Value {
    let server = Server::start(&neighbour.authority);
    let (channel, _) = neighbour.visit(server.address).await.unwrap();
    let open = settled(&server).await;
    let limit = getrlimit(Resource::Nofile);
    let pid = Pid::from_child(&server.process.0);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some((open + SPARE) as u64), ..limit }).unwrap();
    let config = neighbour.peer();
    let mut held = Vec::new();
    while server.process.descriptors() < open + SPARE {
        held.push(served(server.address, &config).await.unwrap());
    }
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        waiting.push(TcpStream::connect(server.address).await.unwrap());
    }
    let (start, cpu) = (Instant::now(), server.process.cpu());
    let mut failed = 0;
    let mut least = usize::MAX;
    while start.elapsed() < Duration::from_secs(args.emfile_seconds) {
        failed += u64::from(call(&channel).await.is_err());
        least = least.min(server.process.descriptors());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let share = (server.process.cpu() - cpu) / start.elapsed().as_secs_f64() * 100.0;
    drop((held, waiting));
    let start = Instant::now();
    let recovered = loop {
        match neighbour.visit(server.address).await {
            Ok(_) => break Some(start.elapsed()),
            Err(_) if start.elapsed() > RECOVERY => break None,
            Err(_) => {}
        }
    };
    let recovered_ms = recovered.map(|took| took.as_millis() as u64);
    json!({
        "failed": failed,
        "recovered": recovered.is_some(),
        "recovered_after_ms": recovered_ms,
        "cpu_percent": (share * 100.0).round() / 100.0,
        "descriptors_left": (open + SPARE).saturating_sub(least),
        "promises": { "cpu_below_5_percent": share < 5.0, "recovered_below_2_s": recovered_ms.is_some_and(|ms| ms < 2000) },
    })
}

/// A connection that the server serves and that calls nothing.
async fn served(server: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(stage::NAME).unwrap();
    let stream = TcpStream::connect(server).await?;
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    stream.write_all(attack::PREFACE).await?;
    stream.flush().await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// The server's descriptors, once their number stays the same.
async fn settled(server: &Server) -> usize {
    let mut last = None;
    wait::until("the server's descriptors settle", || {
        let now = server.process.descriptors();
        let same = last.replace(now) == Some(now);
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            same.then_some(now)
        }
    })
    .await
}

async fn tcp_from(number: usize, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2 + (number % ADDRESSES) as u8], 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}
