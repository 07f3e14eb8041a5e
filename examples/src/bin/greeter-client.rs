//! A tonic client whose certificate and trust roots swap live. Where they come from is said by the environment, such as
//! `EVERCERT_IDENTITY=greeter`, or `EVERCERT_DIR=/etc/tls/greeter` to run without a daemon.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use evercert::Identity;
use evercert::client::Endpoint;
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;

/// Asks a greeter for its greeting.
#[derive(Parser)]
struct Args {
    /// Where the greeter is
    #[arg(default_value = "https://localhost:50051")]
    server: String,

    /// Name to greet
    #[arg(long, default_value = "world")]
    name: String,

    /// How often to ask; 0: until interrupted
    #[arg(long, default_value_t = 1)]
    times: u32,

    /// The pause between two questions
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let identity = Identity::from_env().await?;
    // It may be started before its server: calls wait for a connection instead of failing at once.
    let endpoint = Endpoint::new(&args.server)?.wait_for_ready(true).timeout(Duration::from_secs(10));
    let mut client = GreeterClient::new(endpoint.connect_lazy(&identity));

    for asked in 1.. {
        let asking = client.say_hello(HelloRequest { name: args.name.clone() });
        let reply = asking.await.map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        println!("{}", reply.into_inner().message);
        if asked == args.times {
            break;
        }
        tokio::time::sleep(args.every).await;
    }
    Ok(())
}
