//! A server with health for foreign probes: for callers with certificates, and without TLS. It says where it listens, and then does what
//! the lines of its standard input say: `serving NAME`, `not-serving NAME`, `drain`, until their end.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Parser;
use evercert::health::{Health, ServingStatus};
use evercert::server::HealthListener;
use evercert::source::DirectorySettings;
use evercert::{Identity, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::service::Routes;

/// Serves health from a directory.
#[derive(Parser)]
struct Args {
    /// The mount
    directory: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let identity = Identity::from_directory(DirectorySettings::new(args.directory).observed(false)).await?;
    let health = Health::new(&identity);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let plain = HealthListener::bind((Ipv4Addr::LOCALHOST, 0), &health).await?;
    println!("{} {}", listener.local_addr()?, plain.local_addr()?);
    let server = Server::new(&identity).health(&health).health_listener(plain);
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).for_each(|order| carry_out(&health, &order));
        drop(stop);
    });
    let shutdown = async { drop(stopped.await) };
    Ok(server.serve(Routes::default(), listener, shutdown).await?)
}

fn carry_out(health: &Health, order: &str) {
    match order.split_once(' ') {
        Some(("serving", name)) => health.set(name, ServingStatus::Serving),
        Some(("not-serving", name)) => health.set(name, ServingStatus::NotServing),
        _ if order == "drain" => health.drain(),
        _ => eprintln!("not understood: {order}"),
    }
    println!("done");
}
