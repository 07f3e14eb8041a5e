//! A tonic client of the secured greeter: with a certificate, a token, both or neither. Where its identity comes from is said by the
//! environment, such as `EVERCERT_DIR=/etc/tls/greeter`.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use evercert::Identity;
use evercert::auth::BearerToken;
use evercert::client::Endpoint;
use evercert::tls::OwnCertificate;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use tonic::Status;
use tonic::client::GrpcService;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Asks a greeter once, and prints the status of the call and what was answered.
#[derive(Parser)]
struct Args {
    /// Where the greeter is
    #[arg(default_value = "https://localhost:50051")]
    server: String,

    /// The method
    #[arg(long, default_value = "SayHello", rename_all = "verbatim")]
    method: Method,

    /// The token to send, in a file that is followed as it changes
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Show no certificate
    #[arg(long)]
    no_certificate: bool,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Method {
    SayHello,
    KeepGreeting,
    Check,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match run(Args::parse()).await {
        Ok(answer) => {
            println!("OK {answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            match error.downcast_ref::<Status>() {
                Some(status) => println!("{:?} {}", status.code(), status.message()),
                None => eprintln!("secured-client: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<String, Box<dyn Error>> {
    let identity = Identity::from_env().await?;
    let mut endpoint = Endpoint::new(&args.server)?.timeout(Duration::from_secs(10));
    if args.no_certificate {
        endpoint = endpoint.client_certificate(OwnCertificate::Withheld);
    }
    let channel = endpoint.connect_lazy(&identity);
    match args.token_file {
        Some(file) => ask(channel.credentials(BearerToken::file(file)?), args.method).await,
        None => ask(channel, args.method).await,
    }
}

async fn ask<S>(channel: S, method: Method) -> Result<String, Box<dyn Error>>
where
    S: GrpcService<tonic::body::Body>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::ResponseBody: tonic::transport::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as tonic::transport::Body>::Error: Into<Box<dyn Error + Send + Sync>> + Send,
{
    let name = "world".to_owned();
    match method {
        Method::SayHello => {
            let reply = GreeterClient::new(channel).say_hello(HelloRequest { name }).await?;
            Ok(reply.into_inner().message)
        }
        Method::KeepGreeting => {
            let asked = KeepGreetingRequest { name, count: 3, interval_ms: 10 };
            let mut replies = GreeterClient::new(channel).keep_greeting(asked).await?.into_inner();
            let mut count = 0;
            while replies.message().await?.is_some() {
                count += 1;
            }
            Ok(format!("{count} replies"))
        }
        Method::Check => {
            let health = HealthClient::new(channel).check(HealthCheckRequest::default()).await?.into_inner();
            Ok(health.status().as_str_name().to_owned())
        }
    }
}
