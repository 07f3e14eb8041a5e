//! The foreign peer, as a child process.
//!
//! It finds its certificate, key and bundle as `tls.crt`, `tls.key` and `ca.crt` in the directory `CERTIFICATES`, a kubelet's volume.
//! A server says `listening PORT`. A client calls `SERVER` until its input ends; whenever the volume was swapped it moves to a
//! new channel, lets the calls on the old one finish, and says `moved`. At the end either says what became of its calls, in one line of JSON.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use evercert_fixtures::wait::DEADLINE;

/// A running peer; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Foreign {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    pub(crate) fn start(command: &[OsString], certificates: &Path, server: &str) -> Self {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("CERTIFICATES", certificates)
            .env("SERVER", server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// The next line it says.
    pub(crate) async fn says(&mut self) -> String {
        let line =
            timeout(DEADLINE, self.output.next_line()).await.expect("the peer says something within the deadline");
        line.unwrap().expect("the peer goes on")
    }

    /// Tells it to end, and gives what became of its calls.
    pub(crate) async fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let outcome = serde_json::from_str(&self.says().await).unwrap();
        let status = timeout(DEADLINE, self.child.wait()).await.expect("the peer ends within the deadline").unwrap();
        assert!(status.success(), "the peer ended with {status}");
        outcome
    }
}
