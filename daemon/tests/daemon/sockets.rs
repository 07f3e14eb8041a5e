use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evercert_api::v1::agent_client::AgentClient;
use evercert_api::v1::{ListRequest, ListResponse};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tonic::{Code, Status};

use crate::home::{Daemon, Home, connects, endpoint, get, until};

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let home = Home::new("");
    let first = home.start();
    let mut second = home.spawn(&mut home.command());
    assert_eq!(second.wait().code(), Some(1));
    let error = format!("evercertd: another evercertd (process {}) serves {}", first.id(), home.agent().display());
    assert!(second.log().contains(&error), "{}", second.log());
    assert!(connects(&home.agent()) && connects(&home.admin()));
}

#[test]
fn what_a_killed_daemon_leaves_is_replaced() {
    let home = Home::new("");
    let mut first = home.start();
    first.signal(Signal::KILL);
    first.wait();
    assert!(home.agent().exists() && !connects(&home.agent()));
    let _second = home.start();
    assert!(connects(&home.agent()) && connects(&home.admin()));
    for (path, mode) in [(home.agent(), 0o666), (home.admin(), 0o660)] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn a_signal_ends_the_daemon_at_once_whoever_is_connected() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new("");
        let mut daemon = home.start();
        // They say nothing, or half of something, and never read.
        let mut stuck: Vec<_> = (0..8).map(|_| UnixStream::connect(home.agent()).unwrap()).collect();
        stuck.extend((0..8).map(|_| UnixStream::connect(home.admin()).unwrap()));
        stuck.iter_mut().step_by(2).for_each(|stream| stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap());
        let signalled = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
        assert!(signalled.elapsed() < Duration::from_secs(2), "{:?}", signalled.elapsed());
        assert!(!home.agent().exists() && !home.admin().exists());
        assert!(home.agent().parent().unwrap().is_dir() && home.admin().parent().unwrap().is_dir());
    }
}

#[test]
fn sockets_that_are_handed_over_are_used_by_their_names_and_left_behind() {
    let home = Home::new("");
    let sockets = tempfile::tempdir().unwrap();
    let paths = ["agent", "admin"].map(|name| sockets.path().join(name));
    let [agent, admin] = paths.clone().map(|path| OwnedFd::from(UnixListener::bind(path).unwrap()));
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = metrics.local_addr().unwrap();
    // The shell moves what a parent can hand to a child, 0 to 2, to where a service manager puts it: from 3 on.
    let script = "LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=admin:metrics:agent exec \"$@\" 3<&1 4<&2 5<&0 </dev/null >/dev/null 2>\"$LOG\"";
    let log = home.path().join("log");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_evercertd"))
        .args(["run", "--config"])
        .arg(home.config())
        .env("LOG", &log)
        .stdin(Stdio::from(agent))
        .stdout(Stdio::from(admin))
        .stderr(Stdio::from(OwnedFd::from(metrics)))
        .spawn()
        .unwrap();
    let logged = || std::fs::read_to_string(&log).unwrap_or_default();
    until("the start", || logged().contains("serving").then_some(()), logged);
    assert_eq!(
        get(address, "/readyz"),
        (200, "ready: 0 of 0 identities served, 0 expired, 0 held back, 0 rejected\n".to_owned())
    );
    assert!(
        logged().contains(&format!("path={} the agent socket was handed over", paths[0].display()))
            || logged().contains(&format!("the agent socket was handed over path={}", paths[0].display())),
        "{}",
        logged()
    );
    assert!(!home.agent().exists() && !home.admin().exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(paths.iter().all(|path| path.exists()), "systemd's sockets are systemd's");
}

#[test]
fn a_caller_that_no_descriptor_is_left_to_look_at_is_put_off_and_served_when_there_is_one() {
    let home = Home::new("");
    let daemon = home.start();
    let refused =
        |status: Status| (status.code() == Code::Unavailable && status.message().contains("LimitNOFILE")).then_some(());
    // Only root may see which descriptors the daemon has, so the limit is lowered until it is met: a connection takes the one
    // that is left then, and what tells whose that is would be another.
    let tried = || {
        let first = (8..=64).rev().find_map(|below| {
            limit_descriptors(&daemon, below);
            list(&home.agent()).err()
        });
        first.and_then(refused)
    };
    until("a caller that is put off", tried, || daemon.log());
    daemon.wait_for_log("raise LimitNOFILE of the unit");
    limit_descriptors(&daemon, 256);
    until("an answer", || list(&home.agent()).ok(), || daemon.log());
    assert!(daemon.metrics().sum("evercert_connections_turned_away_total", &[("reason", "descriptors")]) >= 1.0);
}

/// From now on the daemon's new descriptors have numbers below this.
fn limit_descriptors(daemon: &Daemon, below: u64) {
    // That one is the daemon's too, which inherited it.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let pid = Pid::from_raw(daemon.id().cast_signed());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(below), maximum }).unwrap();
}

/// What a caller is told that asks once, on a connection of its own; it does not wait for long.
fn list(socket: &Path) -> Result<ListResponse, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = async {
        let channel = endpoint(socket).connect().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(AgentClient::new(channel).list(ListRequest::default()).await?.into_inner())
    };
    let asked = async { tokio::time::timeout(Duration::from_secs(2), asked).await };
    runtime.block_on(asked).unwrap_or_else(|_| Err(Status::deadline_exceeded("nobody answers")))
}
