//! An observer in a PID namespace of its own, as in a pod without `hostPID: true`, and services that it cannot see.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use evercert_api::v1::watch_response::Message;
use evercert_api::v1::{Deliver, Open};
use evercert_fixtures::wait::until_within;
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf, become_user};
use evercert_tests::daemon::Home;
use evercert_tests::subscriber::Subscriber;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::actor::Actor;
use crate::daemon;
use crate::kubelet::{Kind, Kubelet, Pod};
use crate::room::Room;

const USER: u32 = 2111;
const SEEN: Duration = Duration::from_secs(20);

/// A daemon that sees no process but its own.
struct Blind<'home> {
    child: Child,
    home: &'home Home,
}

impl<'home> Blind<'home> {
    async fn start(home: &'home Home) -> Self {
        let mut command = daemon::program(&["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["run", "--config"]).arg(home.config()).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let blind = Self { child, home };
        until_within(SEEN, "the daemon is ready", || async {
            (evercert_fixtures::http_get(home.http()?, "/readyz", SEEN).ok()?.0 == 200).then_some(())
        })
        .await;
        blind
    }

    /// The daemon's process, as this one sees it.
    fn daemon(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }

    /// The output of a command of the operators' program in the daemon's own PID namespace.
    fn cli(&self, arguments: &[&str]) -> String {
        let pid = self.daemon().as_raw_nonzero().to_string();
        let mut command = daemon::program(&["nsenter", "--target", &pid, "--pid", "--"]);
        let output = command.args(arguments).arg("--socket").arg(self.home.admin_socket()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The subscribers of the volume "tls" of this pod.
    fn subscribers(&self, pod: &str) -> Vec<Value> {
        let status: Value = serde_json::from_str(&self.cli(&["status", "--json"])).unwrap_or_default();
        let identities = status["identities"].as_array().cloned().unwrap_or_default();
        let of_pod = identities.into_iter().find(|one| one["pod"]["name"] == pod && one["name"] == "tls");
        of_pod.and_then(|one| one["subscribers"].as_array().cloned()).unwrap_or_default()
    }

    async fn until(&self, pod: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until_within(SEEN, &format!("the one subscriber in {pod} is {what}"), || async {
            let mut all = self.subscribers(pod);
            (all.len() == 1 && is_so(&all[0])).then(|| all.remove(0))
        })
        .await
    }
}

impl Drop for Blind<'_> {
    fn drop(&mut self) {
        // What started it ends when it has, and not before: the next one finds the sockets free.
        _ = kill_process(self.daemon(), Signal::KILL);
        _ = self.child.wait();
    }
}

/// A service that runs; dropping it ends it.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A service over the volume, which says that it is in this pod.
fn service(room: &Room, home: &Home, volume: &KubeletVolume, pod: &Pod) -> Service {
    let mut command: Command = Actor::user(USER).command(&room.program(env!("CARGO_BIN_EXE_evercert-observer")));
    command.arg(volume.path()).arg(home.agent_socket()).args(["--pod-uid", pod.uid()]);
    Service(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn is_serving(subscriber: &Value) -> bool {
    subscriber["state"] == "settled" || subscriber["state"] == "current"
}

/// A connection that answers and asks for nothing, of this user, as a container that may become any has them. The kernel holds who
/// connects, not who writes.
fn idle(home: &Home, uid: u32) -> UnixStream {
    let socket = home.agent_socket();
    let connect = move || {
        become_user(uid);
        UnixStream::connect(socket).unwrap()
    };
    let mut stream = std::thread::spawn(connect).join().unwrap();
    // It may have lost its place already.
    _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    stream
}

/// The stream of this process, which the daemon cannot see either.
async fn open(home: &Home, open: Open) -> Result<Subscriber, tonic::Status> {
    Subscriber::open_with(home.agent_socket(), Open { deliver: Deliver::Digest.into(), ..open }).await
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn services_that_an_observer_cannot_see_are_shown_as_unattested_and_raise_no_alarm() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let home = daemon::home(&room);
    home.configure(&daemon::pods(&kubelet));
    let configured = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), format!("mode = \"observer\"\n{configured}")).unwrap();
    let authority = Authority::new("root.example.org");
    let files = |name: &str| -> Files { authority.issue(Leaf::for_dns(name)).files() };
    // Replicas of one Secret, and a service whose mount is never refreshed, as one by subPath.
    let pods = ["one", "two", "stale"].map(|name| kubelet.pod(name));
    let shared = files("shop.example.org");
    let volumes = pods.each_ref().map(|pod| pod.mount(Kind::Secret, "tls", &shared));
    let copy = KubeletVolume::at(&room.directory("copy/tls"), &shared);
    let running = Blind::start(&home).await;

    let mounts = [&volumes[0], &volumes[1], &copy];
    let _services: Vec<_> = pods.iter().zip(mounts).map(|(pod, mount)| service(&room, &home, mount, pod)).collect();
    for pod in ["one", "two", "stale"] {
        let shown = running.until(pod, "serving", is_serving).await;
        assert_eq!((&shown["unattested"], &shown["pid"], &shown["uid"]), (&true.into(), &0.into(), &USER.into()));
        assert_eq!(shown["pod"]["name"], pod);
    }

    volumes.iter().for_each(|volume| _ = volume.swap(&files("next.example.org")));
    running.until("one", "serving", is_serving).await;
    running.until("stale", "behind", |one| one["state"] == "behind").await;
    // Even where the daemon never knew what it serves.
    drop(running);
    let running = Blind::start(&home).await;
    running.until("stale", "behind", |one| one["state"] == "behind").await;
    running.until("two", "serving", is_serving).await;
    let told = running.cli(&["status", "--long"]);
    assert!(told.contains("unattested process of uid 2111 that says it is in shop/stale: behind"), "{told}");
    let counted = |metric: &str| daemon::counted(home.http().unwrap(), metric, &["workload_pod=\"stale\""]);
    assert_eq!(counted("evercert_subscribers_unattested_behind"), 1.0);
    assert_eq!(counted("evercert_subscribers_unattested"), 1.0);
    assert_eq!(
        ["evercert_subscribers_behind", "evercert_subscribers_lost", "evercert_subscribers"].map(counted),
        [0.0; 3]
    );

    // A liar learns which generation there is, and no certificate; without a pod's UID or what it serves, nothing.
    let liar = Open { identity: "tls".to_owned(), pod_uid: pods[0].uid().to_owned(), ..Open::default() };
    let mut lying = open(&home, liar.clone()).await.unwrap();
    let Message::Update(update) = lying.message().await.unwrap() else { panic!("no update") };
    assert_eq!((update.digest.len(), update.chain.len(), update.bundle, update.findings.len()), (32, 0, None, 0));
    assert!(update.key.is_none() && update.not_after.is_none());
    let refused = open(&home, Open { pod_uid: String::new(), ..liar.clone() }).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::NotFound, "{refused}");
    assert!(refused.message().contains("cannot see this process"), "{refused}");
    let held = Open { held_digest: update.digest, pod_uid: String::new(), ..liar.clone() };
    open(&home, held).await.unwrap();

    // And fills nobody's status.
    let mut crowd = Vec::new();
    let full = loop {
        match open(&home, liar.clone()).await {
            Ok(stream) => crowd.push(stream),
            Err(status) => break status,
        }
        assert!(crowd.len() < 200, "there is no bound");
    };
    assert_eq!(full.code(), tonic::Code::ResourceExhausted, "{full}");
    assert_eq!(running.subscribers("two").len(), 1);
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn whoever_is_as_many_users_as_there_are_connections_keeps_no_service_from_an_observer_that_cannot_see_it() {
    const CONNECTIONS: u32 = 16;
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let home = daemon::home(&room);
    let limits = format!("[limits]\nconnections = {CONNECTIONS}\nconnections_per_caller = {CONNECTIONS}\n");
    home.configure(&daemon::pods(&kubelet));
    let configured = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), format!("mode = \"observer\"\n{configured}\n{limits}")).unwrap();
    let pod = kubelet.pod("one");
    let volume = pod.mount(Kind::Secret, "tls", &Authority::new("root.example.org").issue(Leaf::for_dns("a")).files());
    let running = Blind::start(&home).await;
    let mut flood: Vec<_> = (0..CONNECTIONS).map(|user| idle(&home, 70_000 + user)).collect();
    let _service = service(&room, &home, &volume, &pod);
    let served = running.until("one", "serving", is_serving).await;
    // Nor do more of them take its place.
    flood.extend((0..4 * CONNECTIONS).map(|user| idle(&home, 80_000 + user)));
    let other = Open { identity: "tls".to_owned(), pod_uid: pod.uid().to_owned(), ..Open::default() };
    // It says what it wants once it is connected, and may have lost its place until then to one that was only looked at after it.
    let _other =
        until_within(SEEN, "another service is let in", || async { open(&home, other.clone()).await.ok() }).await;
    let subscribers = until_within(SEEN, "both are shown", || async {
        Some(running.subscribers("one")).filter(|subscribers| subscribers.len() == 2)
    });
    assert_eq!(subscribers.await[0]["connected"], served["connected"], "it had to connect again");
}
