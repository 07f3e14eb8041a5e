//! Services in pods that read their own mounts, and an operator who asks which of them are behind.

use std::process::{Child, Stdio};
use std::time::Duration;

use evercert_fixtures::wait::until_within;
use evercert_fixtures::{Authority, KubeletVolume, Leaf};
use evercert_tests::daemon::Home;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::actor::Actor;
use crate::cgroup::Cgroup;
use crate::daemon;
use crate::kubelet::{Kind, Kubelet};
use crate::room::Room;

const USER: u32 = 2101;
/// How soon an operator has to see who is behind.
const SEEN: Duration = Duration::from_secs(2);
const ATTACHED: Duration = Duration::from_secs(20);

/// A service over the volume, of the pod whose control group this is.
fn service(room: &Room, home: &Home, group: &Cgroup, volume: &KubeletVolume, expects: &[&str]) -> Child {
    let mut command = Actor::user(USER).within(group).command(&room.program(env!("CARGO_BIN_EXE_evercert-observer")));
    command.arg(volume.path()).arg(home.agent_socket()).args(expects).stdout(Stdio::null()).spawn().unwrap()
}

/// The one subscriber of the volume "tls" of this pod, as the command for operators prints it.
fn shown(home: &Home, pod: &str) -> Option<Value> {
    let status: Value = serde_json::from_str(&daemon::cli(home, &["status", "--json"])).ok()?;
    let of_pod = |identity: &&Value| identity["pod"]["name"] == pod && identity["name"] == "tls";
    let identity = status["identities"].as_array()?.iter().find(of_pod)?;
    let subscribers = identity["subscribers"].as_array()?;
    (subscribers.len() == 1).then(|| subscribers[0].clone())
}

async fn until(home: &Home, limit: Duration, pod: &str, state: &[&str], why: &str) {
    until_within(limit, &format!("the service in {pod} is shown as {state:?}"), || async {
        let one = shown(home, pod)?;
        let reason = one["reason"].as_str().unwrap_or_default();
        let is_so = state.iter().any(|state| one["state"] == *state) && reason.contains(why);
        (is_so && one["pod"]["name"] == pod).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_service_that_is_stopped_or_refuses_while_its_mount_rotates_is_shown_as_behind_with_its_pod_and_why() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let home = daemon::home(&room);
    home.configure(&daemon::pods(&kubelet));
    let _running = home.start().await;
    let authority = Authority::new("root.example.org");
    let files = |name: &str| authority.issue(Leaf::for_dns(name)).files();

    let pods = ["stopped", "refusing", "well"].map(|name| kubelet.pod(name));
    let volumes = pods.each_ref().map(|pod| pod.mount(Kind::Secret, "tls", &files("shop.example.org")));
    let groups = pods.each_ref().map(|pod| Cgroup::of_pod(pod.uid()));
    let mut services = [0, 1, 2].map(|n| {
        let expects: &[&str] = if n == 1 { &["--dns-name", "shop.example.org"] } else { &[] };
        service(&room, &home, &groups[n], &volumes[n], expects)
    });
    for pod in ["stopped", "refusing", "well"] {
        until(&home, ATTACHED, pod, &["current", "settled"], "").await;
    }

    let stopped = Pid::from_child(&services[0]);
    kill_process(stopped, Signal::STOP).unwrap();
    volumes.iter().for_each(|volume| _ = volume.swap(&files("other.example.org")));
    until(&home, SEEN, "stopped", &["behind"], "its process is stopped (SIGSTOP)").await;
    until(&home, SEEN, "refusing", &["refused", "behind"], "shop.example.org").await;
    until(&home, SEEN, "well", &["current", "settled"], "").await;

    kill_process(stopped, Signal::CONT).unwrap();
    until(&home, ATTACHED, "stopped", &["current", "settled"], "").await;
    for service in &mut services {
        service.kill().unwrap();
        service.wait().unwrap();
    }
}
