//! A service that reads its own mount and tells a daemon what it serves, for the privileged scenarios to start as another user or in
//! a pod. It says "open" once it serves, and then does nothing until it is ended.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use evercert::Identity;
use evercert::source::DirectorySettings;
use evercert::source::directory::Expectations;

/// Serves from a directory.
#[derive(Parser)]
struct Args {
    /// The mount
    directory: PathBuf,
    /// The daemon's workload socket
    socket: PathBuf,
    /// The name the leaf must have; others are refused
    #[arg(long)]
    dns_name: Option<String>,
    /// The UID of the pod that it says it is in
    #[arg(long)]
    pod_uid: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut expectations = Expectations::default();
    expectations.dns_names = args.dns_name.into_iter().collect();
    let mut settings = DirectorySettings::new(args.directory).socket(args.socket).expectations(expectations);
    if let Some(uid) = args.pod_uid {
        settings = settings.in_pod(uid);
    }
    let _identity = Identity::from_directory(settings).await?;
    println!("open");
    std::future::pending().await
}
