//! The greeter in a process of its own, so that its memory, descriptors and CPU time are.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use evercert::Identity;
use evercert::source::AgentSettings;
use evercert_tests::service;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::process::Process;
use crate::stage;

/// The hidden first argument with which this program is the greeter.
pub(crate) const GREETER: &str = "greeter";

/// Serves with the SDK's defaults and the certificate mounted in this directory or, where it is a workload socket, with that of
/// [`stage::IDENTITY`] there; and says at which address.
pub(crate) fn serve(path: Option<OsString>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let path = PathBuf::from(path.expect("a directory, or a socket"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let identity = match path.is_dir() {
            true => Identity::from_directory(path).await.unwrap(),
            false => Identity::from_agent(AgentSettings::new(stage::IDENTITY).socket(path)).await.unwrap(),
        };
        let (address, serving) = service::serve(&identity).await;
        println!("{address}");
        serving.await.unwrap();
    });
    ExitCode::SUCCESS
}

/// A greeter that serves with what is at this path.
pub(crate) fn start(path: &Path) -> (SocketAddr, Process) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(GREETER).arg(path).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let mut address = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (address.trim().parse().unwrap(), process)
}
