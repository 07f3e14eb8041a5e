//! A tonic server whose certificate and trust roots swap live. Where they come from is said by the environment, such as
//! `EVERCERT_IDENTITY=greeter`, or `EVERCERT_DIR=/etc/tls/greeter` to run without a daemon.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use evercert::{ClientCertificates, Identity};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::GreeterServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;

/// Greets clients that show a certificate of the identity's bundle.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let identity = Identity::from_env().await?;
    let listener = TcpListener::bind(args.listen).await?;
    // The first process of a container hears no SIGTERM that it does not ask for.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    println!("greeting on {}", listener.local_addr()?);

    evercert::Server::new(&identity)
        .client_certificates(ClientCertificates::Required)
        .serve(Routes::new(GreeterServer::new(GreeterService)), listener, told_to_stop)
        .await?;
    Ok(())
}
