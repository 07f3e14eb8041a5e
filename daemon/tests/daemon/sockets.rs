use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::home::{Home, connects, get, until};

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
    assert_eq!(get(address, "/readyz"), (200, "ready\n".to_owned()));
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
