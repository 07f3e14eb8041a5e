//! The server of HTTPS and gRPC, as a process: while its certificate rotates no request fails, and at its end none is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::{Future, ready};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evercert::client::Endpoint;
use evercert::server::SHUTDOWN_TIMEOUT;
use evercert::tls::ClientTls;
use evercert::{Channel, Identity};
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf, wait};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, body::Incoming, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ROTATIONS: usize = 5;
/// Of each kind.
const BETWEEN_ROTATIONS: u64 = 20;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    wait::soon("what the service does", future).await
}

/// The server as a process; killed when the test gives up.
struct Service {
    process: Child,
    grpc: SocketAddr,
    https: SocketAddr,
}

impl Service {
    fn start(volume: &KubeletVolume) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_https-and-grpc"))
            .args(["--grpc", "127.0.0.1:0", "--https", "127.0.0.1:0"])
            .env("EVERCERT_DIR", volume.path())
            .env("EVERCERT_OBSERVE", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |what: &str| lines.next().unwrap().unwrap().strip_prefix(what).unwrap().parse().unwrap();
        let (grpc, https) = (address("gRPC on "), address("HTTPS on "));
        Self { process, grpc, https }
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        wait::until("the end of the service", || ready(self.process.try_wait().unwrap())).await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Stage {
    ca: Authority,
    volume: KubeletVolume,
    service: Service,
    client: Identity,
    _client_volume: KubeletVolume,
}

impl Stage {
    async fn new() -> Self {
        let ca = Authority::new("root");
        let private = |issued: &Issued| KubeletVolume::new(&issued.files());
        let volume = private(&Self::leaf(&ca));
        let client_volume = private(&ca.issue_dns("client.example.org"));
        let client = Identity::from_directory(client_volume.path()).await.unwrap();
        let service = Service::start(&volume);
        Self { ca, volume, service, client, _client_volume: client_volume }
    }

    fn leaf(ca: &Authority) -> Issued {
        ca.issue(Leaf::for_dns("localhost").ip(Ipv4Addr::LOCALHOST.into()))
    }

    fn channel(&self) -> GreeterClient<Channel> {
        let endpoint = Endpoint::new(format!("https://{}", self.service.grpc)).unwrap().wait_for_ready(true);
        GreeterClient::new(endpoint.connect_lazy(&self.client))
    }

    fn https(&self) -> Https {
        let mut config = self.client.client_config(&ClientTls::default()).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Https { config: Arc::new(config), address: self.service.https }
    }
}

/// A client of HTTPS.
#[derive(Clone)]
struct Https {
    config: Arc<ClientConfig>,
    address: SocketAddr,
}

impl Https {
    async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    async fn leaf(&self) -> CertificateDer<'static> {
        soon(self.tls()).await.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    async fn connect(&self) -> Result<http1::SendRequest<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.tls().await?)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// HTTP/2 instead.
    async fn connect_2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = soon(Self { config: Arc::new(config), ..self.clone() }.tls()).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn of(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).header(header::HOST, "localhost").body(Empty::new()).unwrap()
}

async fn text(response: Response<Incoming>) -> Result<String, hyper::Error> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Requests of one kind.
#[derive(Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn count<E: std::fmt::Debug>(&self, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.done.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                eprintln!("a request failed: {error:?}");
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Until more of them have come to an end.
    async fn more(&self) {
        let (done, failed) = self.both();
        let wanted = done + failed + BETWEEN_ROTATIONS;
        wait::until_so("more requests", || self.both().0 + self.both().1 >= wanted).await;
    }

    fn both(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_either_kind_fails_while_the_certificate_rotates() {
    let stage = Stage::new().await;
    let (https, grpc) = (stage.https(), stage.channel());
    let [over_new_connections, over_one_connection, calls] = [(); 3].map(|()| Arc::<Counts>::default());
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    workers.spawn({
        let (https, counts, stopped) = (https.clone(), Arc::clone(&over_new_connections), stopped.clone());
        async move {
            while !*stopped.borrow() {
                let greeted = async {
                    let greeting = text(https.connect().await?.send_request(of("/")).await?).await?;
                    assert_eq!(greeting, "Hello client.example.org!");
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                };
                counts.count(soon(greeted).await);
            }
        }
    });
    workers.spawn({
        let (counts, stopped) = (Arc::clone(&over_one_connection), stopped.clone());
        let mut kept = https.connect_2().await;
        async move {
            while !*stopped.borrow() {
                counts.count(async { text(soon(kept.send_request(of("/"))).await?).await.map(drop) }.await);
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    workers.spawn({
        let (mut grpc, counts) = (grpc, Arc::clone(&calls));
        async move {
            while !*stopped.borrow() {
                counts.count(soon(grpc.say_hello(HelloRequest { name: "a".to_owned() })).await.map(drop));
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..ROTATIONS {
        let next = Stage::leaf(&stage.ca);
        stage.volume.swap(&next.files());
        soon(async { while https.leaf().await.as_ref() != next.leaf_der {} }).await;
        for counts in [&over_new_connections, &over_one_connection, &calls] {
            counts.more().await;
        }
    }
    stop.send_replace(true);
    while let Some(ended) = soon(workers.join_next()).await {
        ended.unwrap();
    }
    for counts in [over_new_connections, over_one_connection, calls] {
        let (done, failed) = counts.both();
        assert!(done > 0 && failed == 0, "{done} were answered and {failed} failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_termination_lets_what_runs_finish_on_both_and_ends_the_process() {
    let mut stage = Stage::new().await;
    let https = stage.https();
    let _idle = soon(https.connect()).await.unwrap();
    let (mut one, mut two) = (soon(https.connect()).await.unwrap(), https.connect_2().await);
    let mut running = [soon(one.send_request(of("/countdown"))).await.unwrap().into_body(), {
        soon(two.send_request(of("/countdown"))).await.unwrap().into_body()
    }];
    for running in &mut running {
        assert_eq!(soon(running.frame()).await.unwrap().unwrap().into_data().unwrap(), "10\n");
    }
    let greeting = KeepGreetingRequest { name: "a".to_owned(), count: 10, interval_ms: 100 };
    let mut stream = soon(stage.channel().keep_greeting(greeting)).await.unwrap().into_inner();
    soon(stream.message()).await.unwrap().unwrap();

    let told = Instant::now();
    stage.service.terminate();
    for address in [stage.service.https, stage.service.grpc] {
        soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    }
    for running in running {
        let rest = soon(running.collect()).await.unwrap().to_bytes();
        assert!(rest.ends_with(b"2\n1\n"), "{rest:?}");
    }
    let mut replies = 1;
    while soon(stream.message()).await.unwrap().is_some() {
        replies += 1;
    }
    assert_eq!(replies, 10);
    assert!(stage.service.ended().await.success());
    assert!(told.elapsed() < SHUTDOWN_TIMEOUT, "idle connections were not told to go");
}
