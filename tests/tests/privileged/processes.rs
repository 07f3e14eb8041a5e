//! Connections that outlive, or change hands from, the process that made them.

use std::fs;
use std::path::{Path, PathBuf};

use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use evercert_tests::daemon::{Daemon, Home, identity};
use rustix::mount::mount_bind_recursive;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::actor::Actor;
use crate::caller::{self, Caller, ask_one, key};
use crate::cgroup::Cgroup;
use crate::daemon::{self, Attestation};
use crate::kubelet::{Kind, Kubelet};
use crate::room::Room;

const A: u32 = 70_001;
const B: u32 = 70_002;
/// A group.
const G: u32 = 70_003;

/// A daemon with an identity "b" of the node that only user B may have.
async fn with_identity_of_b<'home>(room: &Room, home: &'home Home) -> (KubeletVolume, Daemon<'home>) {
    let (volume, running) = with_identity(room, home, &format!("allow = [\"uid:{B}\"]\n")).await;
    assert!(key(&ask_one(room, &Actor::user(B), &home.agent_socket(), "b").await) > 0, "its own");
    (volume, running)
}

/// A daemon with an identity "b" of the node, of which this is configured besides. Every user of the node may read its files.
async fn with_identity<'home>(room: &Room, home: &'home Home, configured: &str) -> (KubeletVolume, Daemon<'home>) {
    let volume = KubeletVolume::at(&room.directory("etc/tls/b"), &files());
    home.configure(&(identity("b", volume.path()) + configured));
    let running = home.start().await;
    running.until("it is published", "b", |status| status.generation == 1).await;
    (volume, running)
}

fn files() -> Files {
    Authority::new("root.example.org").issue(Leaf::for_dns("b.example.org")).files()
}

/// A place where all of the host is seen as it is at its own root.
fn jail(room: &Room) -> PathBuf {
    let jail = room.directory("jail");
    mount_bind_recursive("/", &jail).unwrap();
    jail
}

/// The words by which a caller of this actor's that finds a connection on its standard input asks for `name`.
fn heir(room: &Room, actor: &Actor, name: &str) -> Vec<String> {
    [actor.words(&caller::program(room)), vec!["ask".to_owned(), name.to_owned()]].concat()
}

/// The answers over a connection that `first` made and handed to `heir` in this way.
async fn handed(room: &Room, home: &Home, first: &Actor, how: &str, heir: &[String]) -> Vec<Value> {
    let socket = home.agent_socket();
    let mut arguments = vec!["--socket", socket.to_str().unwrap(), how, "--"];
    arguments.extend(heir.iter().map(String::as_str));
    Caller::start(room, first, &arguments).answers().await
}

/// A process of `first`'s that has connected, started an heir that is to ask for `name` once the gate is opened, and died.
async fn bequeathed(room: &Room, home: &Home, first: &Actor, gate: &Path, name: &str) -> (u32, Caller) {
    const PATIENT: &str = "while [ ! -e \"$1\" ]; do sleep 0.01; done; shift; exec \"$@\"";
    let (socket, program) = (home.agent_socket(), caller::program(room));
    let [socket, program, gate] = [&socket, &program, gate].map(|path| path.to_str().unwrap());
    let arguments = ["--socket", socket, "bequeath", "--", "sh", "-c", PATIENT, "sh", gate, program, "ask", name];
    let testator = Caller::start(room, first, &arguments);
    (testator.pid(), testator.ended().await)
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn the_socket_of_a_dead_parent_gives_its_child_nothing() {
    let room = Room::enter();
    for attestation in Attestation::BOTH {
        let home = daemon::home_of(&room, attestation);
        let (_volume, _running) = with_identity_of_b(&room, &home).await;
        let gate = room.path().join(format!("gate-{attestation:?}"));
        let (_, heir) = bequeathed(&room, &home, &Actor::user(B), &gate, "b").await;
        fs::write(&gate, "").unwrap();
        let answers = heir.answers().await;
        assert_eq!(answers.iter().map(key).sum::<u64>(), 0, "{attestation:?}: {answers:?}");
        assert_eq!(answers.len(), 1, "{attestation:?}: it is answered");
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_process_that_connects_as_root_and_becomes_another_user_is_given_nothing() {
    let room = Room::enter();
    for attestation in Attestation::BOTH {
        let home = daemon::home_of(&room, attestation);
        let (_volume, _running) = with_identity_of_b(&room, &home).await;
        let answers = handed(&room, &home, &Actor::user(0), "become", &heir(&room, &Actor::user(A), "b")).await;
        assert_eq!(answers.iter().map(key).sum::<u64>(), 0, "{attestation:?}: {answers:?}");
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_process_that_gives_up_a_group_after_it_connected_has_nothing_by_it() {
    let room = Room::enter();
    for attestation in Attestation::BOTH {
        let home = daemon::home_of(&room, attestation);
        let (volume, _running) = with_identity(&room, &home, &format!("allow = [\"gid:{G}\"]\n")).await;
        let member = Actor::user(B).in_group(G).with("setgid");
        let own = handed(&room, &home, &member, "become", &heir(&room, &Actor::user(B).in_group(G), "b")).await;
        assert!(own.iter().map(key).sum::<u64>() > 0, "{attestation:?}: a member stays one: {own:?}");
        let none = handed(&room, &home, &member, "become", &heir(&room, &Actor::user(B), "b")).await;
        assert_eq!(none.iter().map(key).collect::<Vec<_>>(), [0], "{attestation:?}: {none:?}");

        let socket = home.agent_socket();
        let arguments = ["--socket", socket.to_str().unwrap(), "follow", "--leave-groups", "b"];
        let mut follower = Caller::start(&room, &member, &arguments);
        assert!(key(&follower.answer().await.unwrap()) > 0, "{attestation:?}: while it was a member");
        volume.swap(&files());
        let refused = follower.answer().await.unwrap();
        assert_eq!((key(&refused), &refused["code"]), (0, &"PermissionDenied".into()), "{attestation:?}: {refused}");
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_process_with_another_root_directory_or_other_mounts_is_no_reader_of_the_hosts_files() {
    let room = Room::enter();
    let jail = jail(&room);
    let jail = jail.to_str().unwrap();
    for attestation in Attestation::BOTH {
        let home = daemon::home_of(&room, attestation);
        let (volume, running) = with_identity(&room, &home, "").await;
        let socket = home.agent_socket();
        let free = Actor::user(B).with("setgid").with("sys_chroot").with("sys_admin");
        assert!(key(&ask_one(&room, &free, &socket, "b").await) > 0, "{attestation:?}: a reader");
        let there = free.clone().through(&["chroot", "/"]);
        assert!(key(&ask_one(&room, &there, &socket, "b").await) > 0, "{attestation:?}: it is where it was");
        for away in [&["chroot", jail][..], &["unshare", "--mount"]] {
            for actor in [free.clone(), Actor::user(0)] {
                let before = ask_one(&room, &actor.clone().through(away), &socket, "b").await;
                assert_eq!(key(&before), 0, "{attestation:?} {away:?}: {before}");
                let after = heir(&room, &actor.clone().through(away), "b");
                let answers = handed(&room, &home, &actor, "become", &after).await;
                assert_eq!(answers.iter().map(key).collect::<Vec<_>>(), [0], "{attestation:?} {away:?}: {answers:?}");
            }
        }
        let arguments = ["--socket", socket.to_str().unwrap(), "follow", "--enter", jail, "b"];
        let mut follower = Caller::start(&room, &free, &arguments);
        assert!(key(&follower.answer().await.unwrap()) > 0, "{attestation:?}: while it was a reader");
        volume.swap(&files());
        let refused = follower.answer().await.unwrap();
        assert_eq!((key(&refused), &refused["code"]), (0, &"PermissionDenied".into()), "{attestation:?}: {refused}");
        drop(running);

        // A named caller may be anywhere.
        let (_volume, _running) = with_identity_of_b(&room, &home).await;
        let named = ask_one(&room, &free.through(&["chroot", jail]), &socket, "b").await;
        assert!(key(&named) > 0, "{attestation:?}: {named}");
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_number_that_has_come_to_be_a_victims_gives_its_former_owner_nothing_of_the_victims() {
    let room = Room::enter();
    for attestation in Attestation::BOTH {
        let kubelet = Kubelet::new(&room);
        let (victim, attacker) = (kubelet.pod("victim-0"), kubelet.pod("attacker-0"));
        let issued = Authority::new("root.example.org").issue(Leaf::for_dns("victim.example.org"));
        let _volume = victim.mount(Kind::Secret, "victim-tls", &issued.files());
        let home = daemon::home_of(&room, attestation);
        home.configure(&daemon::pods(&kubelet));
        let running = home.start().await;
        running.until("it is published", "victim-tls", |status| status.generation == 1).await;
        let groups = [Cgroup::of_pod(victim.uid()), Cgroup::of_pod(attacker.uid())];

        // While the daemon stands still the attacker connects and dies, and its number goes to a process of the victim's pod.
        running.signal(Signal::STOP);
        let gate = room.path().join(format!("gate-{attestation:?}"));
        let attacker = Actor::user(A).within(&groups[1]);
        let (number, mut heir) = bequeathed(&room, &home, &attacker, &gate, "victim-tls").await;
        let mut recycled = recycle(number, &groups[0]);
        running.signal(Signal::CONT);
        fs::write(&gate, "").unwrap();
        let answer = heir.answer().await;
        kill_process(Pid::from_child(&recycled), Signal::KILL).unwrap();
        recycled.wait().unwrap();
        let answer = answer.expect("an answer");
        assert_eq!(key(&answer), 0, "{attestation:?}: {answer}");
    }
}

/// A process of this number in this group.
fn recycle(number: u32, group: &Cgroup) -> std::process::Child {
    for _ in 0..1000 {
        fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        if child.id() == number {
            fs::write(group.path().join("cgroup.procs"), number.to_string()).unwrap();
            return child;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    panic!("the number {number} does not come again");
}
