//! A directory with everything one daemon needs, and the daemon.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

pub(crate) use evercert_fixtures::wait::DEADLINE;
use evercert_fixtures::{http_get, wait};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::transport::Endpoint;

pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    /// A home whose configuration is `[sockets]` and `[http]` in it, and `rest`.
    pub(crate) fn new(rest: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap() };
        home.configure(rest);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("evercertd.toml")
    }

    pub(crate) fn agent(&self) -> PathBuf {
        self.path().join("agent/agent.sock")
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.path().join("admin/admin.sock")
    }

    pub(crate) fn configure(&self, rest: &str) {
        let (agent, admin) = (self.agent(), self.admin());
        let watch = if rest.contains("[watch]") { "" } else { "[watch]\ndirectories = []\n" };
        let state = if rest.contains("[state]") {
            String::new()
        } else {
            format!("[state]\ndirectory = {:?}\n", self.path().join("state"))
        };
        let text = format!(
            "[sockets]\nagent = {agent:?}\nadmin = {admin:?}\n[http]\nlisten = \"127.0.0.1:0\"\n{watch}{state}{rest}"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = evercertd();
        command.arg("run").arg("--config").arg(self.config());
        command
    }

    /// A daemon that serves.
    pub(crate) fn start(&self) -> Daemon {
        let daemon = self.spawn(&mut self.command());
        daemon.wait_for_log("serving");
        daemon
    }

    /// What `evercertd` answers to these arguments, asked of the daemon that runs here: exit status, stdout and stderr.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = evercertd().args(arguments).arg("--socket").arg(self.admin()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Starts `command` with its log in a file.
    pub(crate) fn spawn(&self, command: &mut Command) -> Daemon {
        let log = self.path().join(format!("log-{}", fs::read_dir(self.path()).unwrap().count()));
        let child = command.stdin(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Daemon { child, log }
    }
}

pub(crate) fn evercertd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evercertd"));
    command
        .env_remove("EVERCERT_LOG")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("EVERCERT_CONFIG")
        .env_remove("STATE_DIRECTORY");
    command
}

pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log holds `what`.
    pub(crate) fn wait_for_log(&self, what: &str) {
        let gone =
            || fs::read_to_string(format!("/proc/{}/stat", self.id())).map_or(true, |stat| stat.contains(") Z "));
        let ready = || {
            let gone = gone();
            let found = self.log().contains(what);
            assert!(found || !gone, "it ended: {}", self.log());
            found.then_some(())
        };
        until(&format!("{what:?} in the log"), ready, || self.log());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let log = || fs::read_to_string(&self.log).unwrap();
        wait::blocking(|| child.try_wait().unwrap(), || format!("its end: {}", log()))
    }

    /// Asks the HTTP side; the status and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.wait_for_log("the HTTP socket is open address=");
        let log = self.log();
        let address =
            log.split("the HTTP socket is open address=").nth(1).expect(&log).split_whitespace().next().unwrap();
        get(address.parse().unwrap(), path)
    }

    pub(crate) fn metrics(&self) -> crate::metrics::Page {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        crate::metrics::Page::parse(&body)
    }

    /// Waits until the metrics are as `wanted` says.
    pub(crate) fn wait_for_metrics(&self, wanted: impl Fn(&crate::metrics::Page) -> bool) -> crate::metrics::Page {
        until(
            "the metrics",
            || Some(self.metrics()).filter(&wanted),
            || format!("{}\n{}", self.get("/metrics").1, self.log()),
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    http_get(address, path, DEADLINE).unwrap()
}

pub(crate) fn connects(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

pub(crate) fn endpoint(socket: &Path) -> Endpoint {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap()
}

/// Waits for `ready`, and shows `otherwise` when it does not come.
pub(crate) fn until<T>(what: &str, ready: impl Fn() -> Option<T>, otherwise: impl Fn() -> String) -> T {
    wait::blocking(ready, || {
        format!(
            "{what}:
{}",
            otherwise()
        )
    })
}
