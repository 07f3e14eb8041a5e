//! A tonic server that is secured: mutual TLS or TLS alone, tokens, a policy, a rate limit, an access log, health, gRPC-Web. Where its
//! identity comes from is said by the environment, such as `EVERCERT_DIR=/etc/tls/greeter`.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use evercert::auth::{MethodPolicy, RateLimit, Security, Tokens, Web};
use evercert::health::Health;
use evercert::server::HealthListener;
use evercert::{ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::FILE_DESCRIPTOR_SET;
use evercert_examples::v1::greeter_server::GreeterServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;

/// The calls of one principal in a second.
const RATE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Greets whom a policy allows to be greeted.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:50051")]
    listen: SocketAddr,

    /// Whether clients have to show a certificate of the identity's bundle
    #[arg(long, default_value = "required")]
    client_certificates: Certificates,

    /// The keys that tokens are verified with, followed as they change; no tokens are taken without
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// Who issues the tokens
    #[arg(long, default_value = "https://issuer.example.org")]
    issuer: String,

    /// Whom the tokens are for
    #[arg(long, default_value = "greeter")]
    audience: String,

    /// Who may call what, followed as it changes, such as examples/policy.toml; without, whoever has a certificate or a token may call all
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// The origin of web pages that may call by gRPC-Web: scheme, host and, unless it is the scheme's own, port
    #[arg(long, value_name = "ORIGIN")]
    web_origin: Vec<String>,

    /// Where to answer health checks, and nothing else, without TLS: for a kubelet's probes
    #[arg(long, value_name = "LISTEN")]
    health: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Certificates {
    Required,
    Optional,
    None,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("secured-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let identity = Identity::from_env().await?;
    let health = Health::new(&identity);
    let mut server = Server::new(&identity).health(&health).client_certificates(match args.client_certificates {
        Certificates::Required => ClientCertificates::Required,
        Certificates::Optional => ClientCertificates::Optional,
        Certificates::None => ClientCertificates::None,
    });
    // Without certificates and without tokens there is nobody to tell apart: that is TLS alone.
    if args.jwks.is_some() || !matches!(args.client_certificates, Certificates::None) {
        server = server.security(security(&args)?);
    }
    if let Some(listen) = args.health {
        server = server.health_listener(HealthListener::bind(listen, &health).await?);
    }
    let listener = TcpListener::bind(args.listen).await?;
    println!("greeting on {}", listener.local_addr()?);
    server.serve(Routes::new(GreeterServer::new(GreeterService)), listener, terminated()?).await?;
    Ok(())
}

fn security(args: &Args) -> Result<Security, Box<dyn Error>> {
    let policy = args.policy.as_ref().map_or_else(MethodPolicy::any_authenticated, MethodPolicy::file);
    let mut security = Security::builder()
        .policy(policy.checked_against(FILE_DESCRIPTOR_SET))
        .rate_limit(RateLimit::per_principal(RATE, Duration::from_secs(1)));
    if let Some(jwks) = &args.jwks {
        security = security.tokens(Tokens::jwks_file(jwks).issuer(&args.issuer).audience(&args.audience));
    }
    if !args.web_origin.is_empty() {
        security = security.web(Web::origins(&args.web_origin));
    }
    Ok(security.build()?)
}

fn terminated() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
