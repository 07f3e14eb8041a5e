//! The server under attack: a process of its own, so that its memory, descriptors and CPU time are.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use evercert::Identity;
use evercert_fixtures::{Authority, KubeletVolume};
use evercert_tests::{service, side};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::process::Process;

/// The hidden first argument with which this program is the server.
pub(crate) const SERVER: &str = "flood-server";

/// Serves the greeter with the SDK's defaults and the certificate mounted in this directory, and says at which address.
pub(crate) fn serve(directory: Option<OsString>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let identity = Identity::from_directory(PathBuf::from(directory.expect("a directory"))).await.unwrap();
        let (address, serving) = service::serve(&identity).await;
        println!("{address}");
        serving.await.unwrap();
    });
    ExitCode::SUCCESS
}

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    _volume: KubeletVolume,
}

impl Server {
    pub(super) fn start(authority: &Authority) -> Self {
        let volume = KubeletVolume::new(&authority.issue(side::leaf()).files());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(SERVER).arg(volume.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let mut address = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { address: address.trim().parse().unwrap(), process, _volume: volume }
    }
}
