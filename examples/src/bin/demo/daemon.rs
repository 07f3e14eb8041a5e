//! The real daemon, as a child that is this program once more, and what it says of itself on its admin socket.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use evercert_api::v1::admin_client::AdminClient;
use evercert_api::v1::{IdentityStatus, StatusRequest, SubscriberState};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::Result;

/// The hidden first argument by which this program is the daemon.
const DAEMON: &str = "daemon-of-the-demo";

/// The identity's name.
pub(crate) const IDENTITY: &str = "greeter";

/// How often the daemon is asked for its status.
const POLL: Duration = Duration::from_millis(50);

/// Where the last lines of the daemon's log begin, for a demo that failed.
const LOG_LINES: usize = 20;

/// Runs the daemon if this process is the child that [`Daemon::start`] made.
pub(crate) fn run_if_child() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(DAEMON)) {
        return None;
    }
    // A demo that is killed outright can end nobody, so the kernel does.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    Some(evercertd::main_from(std::iter::once("evercertd".into()).chain(args)))
}

/// A running daemon. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    pub(crate) socket: PathBuf,
    status: watch::Receiver<Option<Status>>,
    poller: tokio::task::AbortHandle,
}

/// The daemon's account of the identity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    pub(crate) generation: u64,
    /// Of the published leaf, decimal.
    pub(crate) serial: String,
    pub(crate) subscribers: usize,
    /// Subscribers behind the published generation.
    pub(crate) behind: Vec<String>,
    /// The names of the findings.
    pub(crate) findings: Vec<String>,
}

impl Daemon {
    /// Starts a daemon in `home` that watches `volume`.
    pub(crate) fn start(home: &Path, volume: &Path) -> Result<Self> {
        let (socket, admin) = (home.join("agent/agent.sock"), home.join("admin/admin.sock"));
        let (config, state) = (home.join("evercertd.toml"), home.join("state"));
        fs::write(
            &config,
            format!(
                "[sockets]\nagent = {socket:?}\nadmin = {admin:?}\n\n[http]\nlisten = \"off\"\n\n\
                 [state]\ndirectory = {state:?}\n\n\
                 [[identity]]\nname = \"{IDENTITY}\"\npath = {volume:?}\n\
                 usages = [\"server auth\", \"client auth\"]\ndns_names = [\"localhost\"]\n"
            ),
        )?;
        let log = home.join("evercertd.log");
        let child = Command::new(std::env::current_exe()?)
            .args([DAEMON, "run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let (sender, status) = watch::channel(None);
        let admin = Endpoint::from_shared(format!("unix:{}", admin.display()))?.connect_lazy();
        let poller = tokio::spawn(poll(AdminClient::new(admin), sender)).abort_handle();
        Ok(Self { child, log, socket, status, poller })
    }

    /// The daemon's latest status; absent until it answers.
    pub(crate) fn status(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| format!("evercertd: {line}\n")).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.poller.abort();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn poll(mut client: AdminClient<Channel>, status: watch::Sender<Option<Status>>) {
    loop {
        if let Ok(pages) = client.status(StatusRequest {}).await
            && let Ok(response) = evercert_api::whole_status(pages.into_inner()).await
        {
            let identity = response.identities.into_iter().find(|identity| identity.identity == IDENTITY);
            let said = identity.map(Status::from);
            status.send_if_modified(|known| std::mem::replace(known, said.clone()) != said);
        }
        sleep(POLL).await;
    }
}

impl From<IdentityStatus> for Status {
    fn from(identity: IdentityStatus) -> Self {
        let settled = |state| matches!(state, SubscriberState::Current | SubscriberState::Settled);
        let behind = identity.subscribers.iter().filter(|subscriber| !settled(subscriber.state()));
        Self {
            generation: identity.generation,
            serial: identity.leaf.map(|leaf| leaf.serial).unwrap_or_default(),
            subscribers: identity.subscribers.len(),
            behind: behind.map(|subscriber| format!("#{}", subscriber.id)).collect(),
            findings: identity.findings.into_iter().map(|finding| finding.check).collect(),
        }
    }
}
