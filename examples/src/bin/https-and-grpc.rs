//! HTTPS by axum and gRPC by tonic on one identity: two listeners whose certificate and trust roots swap live, and which are drained
//! together. Where the identity comes from is said by the environment, such as `EVERCERT_IDENTITY=greeter`, or
//! `EVERCERT_DIR=/etc/tls/greeter` to run without a daemon.

use std::convert::Infallible;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::get;
use clap::Parser;
use evercert::peer::PeerIdentity;
use evercert::server::{IncomingSettings, SHUTDOWN_TIMEOUT};
use evercert::tls::ServerTls;
use evercert::{HttpVersions, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::GreeterServer;
use futures_util::FutureExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::IntervalStream;
use tonic::service::Routes;

/// The numbers that a countdown begins with, and the time between two of them.
const COUNTDOWN: usize = 10;
const COUNTDOWN_STEP: Duration = Duration::from_millis(100);

/// Greets clients that show a certificate of the identity's bundle, over gRPC and over HTTPS.
#[derive(Parser)]
struct Args {
    /// Where to listen for gRPC
    #[arg(long, default_value = "127.0.0.1:50051")]
    grpc: SocketAddr,

    /// Where to listen for HTTPS
    #[arg(long, default_value = "127.0.0.1:8443")]
    https: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("https-and-grpc: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let identity = Identity::from_env().await?;
    let (grpc, https) = (TcpListener::bind(args.grpc).await?, TcpListener::bind(args.https).await?);
    println!("gRPC on {}", grpc.local_addr()?);
    println!("HTTPS on {}", https.local_addr()?);

    // Before anything is served: a signal that comes early is not to end the process undrained.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let told = told.boxed().shared();

    let routes = Routes::new(GreeterServer::new(GreeterService));
    let (grpc, ()) = tokio::join!(
        Server::new(&identity).serve(routes, grpc, told.clone()),
        serve_https(&identity, router(), https, told),
    );
    Ok(grpc?)
}

/// Serves HTTP/1.1 and HTTP/2 until `told` is ready, and then as long as running requests take.
async fn serve_https(identity: &Identity, router: Router, listener: TcpListener, told: impl Future<Output = ()>) {
    let tls = ServerTls::default().http_versions(HttpVersions::Http1And2);
    let mut incoming = identity.incoming_with(listener, IncomingSettings::default().tls(tls));
    tokio::pin!(told);
    loop {
        let mut io = tokio::select! {
            () = &mut told => break,
            Some(Ok(io)) = incoming.next() => io,
        };
        let draining = io.draining();
        // Every client shows a certificate, since these settings require it.
        let Some(peer) = io.peer_identity() else { continue };
        let service = TowerToHyperService::new(router.clone().layer(Extension(peer)));
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            let connection = http.serve_connection_with_upgrades(TokioIo::new(io), service);
            let ended = draining.drive(connection, |connection| connection.graceful_shutdown()).await;
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    incoming.shut_down(SHUTDOWN_TIMEOUT).await;
}

fn router() -> Router {
    Router::new().route("/", get(greet)).route("/countdown", get(count_down))
}

async fn greet(Extension(peer): Extension<PeerIdentity>) -> String {
    format!("Hello {}!", peer.dns_names().first().map_or(peer.common_name(), String::as_str))
}

/// A response that takes its time.
async fn count_down() -> Body {
    let mut left = COUNTDOWN + 1;
    let steps = IntervalStream::new(interval(COUNTDOWN_STEP)).take(COUNTDOWN);
    Body::from_stream(steps.map(move |_| {
        left -= 1;
        Ok::<_, Infallible>(format!("{left}\n"))
    }))
}
