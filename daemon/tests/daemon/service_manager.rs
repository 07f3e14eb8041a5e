use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::home::{DEADLINE, Home};

/// The datagrams until one holds `wanted`, that one last.
fn messages(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}: no {wanted} in {all:?}"));
        all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        if all.last().unwrap().lines().any(|line| line.starts_with(wanted)) {
            return all;
        }
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_life_and_end() {
    let home = Home::new("");
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut daemon = home
        .spawn(home.command().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000").env_remove("WATCHDOG_PID"));

    let start = messages(&socket, "READY=1");
    assert!(start.last().unwrap().contains("STATUS=0 of 0 identities published"), "{start:?}");
    messages(&socket, "WATCHDOG=1");
    messages(&socket, "WATCHDOG=1");

    daemon.signal(Signal::HUP);
    let reloading = messages(&socket, "RELOADING=1");
    assert!(reloading.last().unwrap().contains("MONOTONIC_USEC="), "{reloading:?}");
    messages(&socket, "READY=1");

    home.configure("[nonsense]\n");
    daemon.signal(Signal::HUP);
    messages(&socket, "RELOADING=1");
    let refused = messages(&socket, "READY=1");
    assert!(refused.last().unwrap().contains("the configuration was refused"), "{refused:?}");

    daemon.signal(Signal::TERM);
    messages(&socket, "STOPPING=1");
    assert!(daemon.wait().success());
}
