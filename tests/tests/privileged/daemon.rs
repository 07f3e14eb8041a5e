//! The daemon of a scenario.

use std::net::SocketAddr;
use std::process::Command;

use evercert_fixtures::http_get;
use evercert_fixtures::wait::DEADLINE;
use evercert_tests::daemon::Home;

use crate::kubelet::Kubelet;
use crate::room::Room;

/// A caller may ask as often as it likes.
pub(crate) const LIMITS: &str = "[limits]\nrequests_per_second = 1000000\nrequests_per_second_per_caller = 1000000\n\n";

/// The daemon's program, started by these words.
pub(crate) fn program(starter: &[&str]) -> Command {
    let words = [starter, &[env!("CARGO_BIN_EXE_evercertd-under-test")]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// How the daemon tells who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attestation {
    /// By a descriptor of the process.
    Pidfd,
    /// By its number and when it started, as on kernels before 6.5.
    StartTime,
}

impl Attestation {
    pub(crate) const BOTH: [Self; 2] = [Self::Pidfd, Self::StartTime];
}

/// A home that every user can reach.
pub(crate) fn home(room: &Room) -> Home {
    home_of(room, Attestation::Pidfd)
}

/// As [`home`], of a daemon that tells in this way who calls.
pub(crate) fn home_of(room: &Room, attestation: Attestation) -> Home {
    Home::open_to_all(room.path(), move || {
        let mut command = program(&[]);
        if attestation == Attestation::StartTime {
            command.env("EVERCERT_TEST_WITHOUT_PIDFD", "1");
        }
        command
    })
}

/// The sections that make it look at these pods.
pub(crate) fn pods(kubelet: &Kubelet) -> String {
    format!("[kubelet]\ndirectory = {:?}\nlogs = {:?}\n\n", kubelet.pods(), kubelet.logs())
}

/// The sum of a counter of `/metrics` over the series whose labels hold each of these texts.
pub(crate) fn counted(address: SocketAddr, counter: &str, labels: &[&str]) -> f64 {
    let (_, metrics) = get(address, "/metrics");
    let series = metrics.lines().filter(|line| line.starts_with(&format!("{counter}{{")));
    let series = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// The daemon's HTTP answer at this path: the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    http_get(address, path, DEADLINE).unwrap()
}

/// The output of a command of the operators' program.
pub(crate) fn cli(home: &Home, arguments: &[&str]) -> String {
    let output = program(&[]).args(arguments).arg("--socket").arg(home.admin_socket()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}
