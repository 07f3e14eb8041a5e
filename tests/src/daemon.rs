//! The real daemon as a child process.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use evercert_api::v1::admin_client::AdminClient;
use evercert_api::v1::{IdentityStatus, StatusRequest, StatusResponse, SubscriberState};
use evercert_fixtures::wait::{self, DEADLINE};
use evercert_fixtures::{free_address, set_mode};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::channel::connect;

/// Where a daemon lives: its configuration, sockets and log. It outlives the daemon, so that another can be started in it.
pub struct Home {
    directory: TempDir,
    program: Box<dyn Fn() -> Command + Send + Sync>,
    http: Option<SocketAddr>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("directory", &self.directory.path()).finish_non_exhaustive()
    }
}

impl Home {
    /// A home for daemons that `program` starts (in a test [`program!`](crate::program)); the command gets the arguments of `evercertd` appended.
    #[must_use]
    pub fn new(program: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), program: Box::new(program), http: None }
    }

    /// As [`Home::new`], below `parent`, and every user may go in. Its HTTP side is at a port of the loopback interface.
    #[must_use]
    pub fn open_to_all(parent: &Path, program: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir_in(parent).unwrap();
        set_mode(directory.path(), 0o755);
        Self { directory, program: Box::new(program), http: Some(free_address()) }
    }

    /// Where the daemon serves `/metrics`; `None` where it does not.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The workload socket.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.directory.path().join("agent/agent.sock")
    }

    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.directory.path().join("admin/admin.sock")
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("evercertd.toml")
    }

    /// The daemons' log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The file of that log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Writes the configuration: the sockets of this home, and these identities and other sections.
    pub fn configure(&self, identities: &str) {
        let http = self.http.map_or_else(|| "off".to_owned(), |address| address.to_string());
        let config = format!(
            "[sockets]\nagent = {:?}\nadmin = {:?}\n\n[state]\ndirectory = {:?}\n\n[http]\nlisten = {http:?}\n\n[watch]\ndirectories = []\n\n{identities}",
            self.agent_socket(),
            self.admin_socket(),
            self.directory.path().join("state"),
        );
        fs::write(self.config(), config).unwrap();
    }

    /// Starts a daemon and waits until it answers on the admin socket.
    pub async fn start(&self) -> Daemon<'_> {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let child = (self.program)()
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child, home: self };
        let start = Instant::now();
        while daemon.status().await.is_none() {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            assert!(start.elapsed() < DEADLINE, "the daemon does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon
    }
}

/// The daemon's program, as a command: for integration tests, which cargo tells where it is.
#[macro_export]
macro_rules! program {
    () => {
        ::std::process::Command::new(env!("CARGO_BIN_EXE_evercertd-under-test"))
    };
}

/// An `[[identity]]` table for a directory with cert-manager's file names.
#[must_use]
pub fn identity(name: &str, path: &Path) -> String {
    format!("[[identity]]\nname = {name:?}\npath = {path:?}\n")
}

/// A running daemon; dropping it kills it.
#[derive(Debug)]
pub struct Daemon<'home> {
    child: Child,
    home: &'home Home,
}

impl Daemon<'_> {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its status by the admin socket; `None` while it does not answer.
    pub async fn status(&self) -> Option<StatusResponse> {
        let channel = connect(self.home.admin_socket()).await?;
        let pages = AdminClient::new(channel).status(StatusRequest {}).await.ok()?;
        evercert_api::whole_status(pages.into_inner()).await.ok()
    }

    /// The status of one identity.
    pub async fn identity(&self, name: &str) -> Option<IdentityStatus> {
        self.status().await?.identities.into_iter().find(|identity| identity.identity == name)
    }

    /// Waits until the status of `name` is as `wanted`.
    pub async fn until(&self, what: &str, name: &str, wanted: impl Fn(&IdentityStatus) -> bool) -> IdentityStatus {
        wait::until(what, || async { self.identity(name).await.filter(|status| wanted(status)) }).await
    }

    /// Waits until `name` has a finding of this check.
    pub async fn until_finding(&self, name: &str, check: &str) -> IdentityStatus {
        let what = format!("{name} has the finding {check}");
        self.until(&what, name, |status| status.findings.iter().any(|finding| finding.check == check)).await
    }

    /// Waits until `name` has `count` subscribers and all serve what is published.
    pub async fn until_current(&self, name: &str, count: usize) -> IdentityStatus {
        self.until(&format!("{count} subscribers of {name} are current"), name, |status| {
            status.subscribers.len() == count
                && status
                    .subscribers
                    .iter()
                    .all(|subscriber| matches!(subscriber.state(), SubscriberState::Current | SubscriberState::Settled))
        })
        .await
    }

    /// Waits until `name` has `count` subscribers, and none has a connection older than what is published.
    pub async fn until_settled_within(&self, limit: Duration, name: &str, count: usize) -> IdentityStatus {
        wait::until_within(limit, &format!("{count} subscribers of {name} are settled"), || async {
            let status = self.identity(name).await?;
            let settled = status.subscribers.iter().all(|subscriber| subscriber.state() == SubscriberState::Settled);
            (settled && status.subscribers.len() == count).then_some(status)
        })
        .await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it as an out-of-memory killer would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as systemd would; returns how it ended and how long that took.
    pub async fn terminate(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let child = &mut self.child;
        let ended = wait::until("the daemon ends", || std::future::ready(child.try_wait().unwrap())).await;
        (ended, start.elapsed())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
