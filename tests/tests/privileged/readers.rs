//! Somebody who may write the directory of an identity, and points it at what lies behind directories that are closed to him.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evercert_api::v1::IdentityStatus;
use evercert_fixtures::wait::until;
use evercert_fixtures::{Authority, Files, Leaf, make_fifo, replace_by_link, set_mode};
use evercert_tests::daemon::{Daemon, Home, identity};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, inotify, makedev, mknodat};
use rustix::io::Errno;
use serde_json::Value;

use crate::actor::Actor;
use crate::caller::{Caller, ask, ask_one, key};
use crate::daemon::{self, LIMITS};
use crate::room::Room;

const VICTIM: u32 = 70_101;
const ATTACKER: u32 = 70_102;

/// How often the attacker asks while names are exchanged.
const TRIES: usize = 2_000;

const NAMES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

fn files(name: &str) -> Files {
    Authority::new("root.example.org").issue(Leaf::for_dns(name)).files()
}

fn write(directory: &Path, files: &Files, owner: u32) {
    fs::create_dir_all(directory).unwrap();
    for (name, content) in files.iter() {
        let file = directory.join(name);
        fs::write(&file, content).unwrap();
        set_mode(&file, 0o644);
        chown(&file, Some(owner), Some(owner)).unwrap();
    }
    chown(directory, Some(owner), Some(owner)).unwrap();
}

/// A victim whose key anybody could read but for the directory above it, and an attacker who owns the directory of an identity.
struct Scene {
    home: &'static Home,
    daemon: Daemon<'static>,
    closed: PathBuf,
    own: PathBuf,
    attacker: Actor,
    room: Room,
}

impl Scene {
    async fn set(victims: &Files, attackers: &Files) -> Self {
        let room = Room::enter();
        let (closed, own) = (room.directory("closed"), room.directory("own"));
        write(&closed.join("tls"), victims, VICTIM);
        chown(&closed, Some(VICTIM), Some(VICTIM)).unwrap();
        set_mode(&closed, 0o700);
        write(&own, attackers, ATTACKER);
        // Its files on disk end with the room.
        let home: &'static Home = Box::leak(daemon::home(&room).into());
        home.configure(
            &(LIMITS.to_owned()
                + &identity("own", &own)
                + "overlap = \"0s\"\n"
                + &identity("victim", &closed.join("tls"))),
        );
        let daemon = home.start().await;
        for name in ["own", "victim"] {
            daemon.until("it is published", name, |status| status.generation == 1).await;
        }
        let scene = Self { home, daemon, closed, own, attacker: Actor::user(ATTACKER), room };
        assert_eq!(key(&scene.ask("victim").await), 0);
        assert!(key(&scene.ask("own").await) > 0, "its own");
        scene
    }

    async fn ask(&self, name: &str) -> Value {
        ask_one(&self.room, &self.attacker, &self.home.agent_socket(), name).await
    }

    /// Points each of the identity's files at the victim's, in this directory.
    fn point_at_the_victims(&self, directory: &Path) {
        NAMES.iter().for_each(|name| replace_by_link(self.closed.join("tls").join(name), directory.join(name)));
    }

    /// Waits until the daemon has published the victim's files for the attacker's identity.
    async fn until_read(&self) {
        self.daemon.until("the victim's files are published", "own", |status| status.generation == 2).await;
    }

    /// The attacker is refused, for the directory that is closed to it and for nothing behind that.
    async fn is_stopped_at_the_directory(&self, mark: &str) {
        let answer = self.ask("own").await;
        let (message, expected) = (answer["message"].as_str().unwrap(), self.closed.display().to_string());
        assert_eq!((key(&answer), answer["code"].as_str()), (0, Some("PermissionDenied")), "{mark}: {answer}");
        assert!(message.contains(&format!("search {expected} ")), "{mark}: {message}");
        assert!(!message.contains(&format!("{expected}/")), "{mark}: {message}");
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn links_to_a_key_behind_a_closed_directory_bring_no_key() {
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    scene.point_at_the_victims(&scene.own);
    scene.until_read().await;
    scene.is_stopped_at_the_directory("links").await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_directory_of_links_that_is_called_as_the_one_of_a_kubelet_brings_no_key() {
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    let data = scene.room.directory("own/..new");
    scene.point_at_the_victims(&data);
    fs::rename(data, scene.own.join("..data")).unwrap();
    scene.until_read().await;
    scene.is_stopped_at_the_directory("..data").await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn whoever_puts_his_own_files_back_is_given_no_key_that_was_read_before() {
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    let own_key = fs::read(scene.own.join("tls.key")).unwrap();
    scene.point_at_the_victims(&scene.own);
    scene.until_read().await;
    // It is not the key of the victim's certificate, so what was read before is served on.
    fs::remove_file(scene.own.join("tls.key")).unwrap();
    fs::write(scene.own.join("tls.key"), own_key).unwrap();
    chown(scene.own.join("tls.key"), Some(ATTACKER), Some(ATTACKER)).unwrap();
    scene
        .daemon
        .until("the key is rejected", "own", |status| {
            status.findings.iter().any(|finding| finding.check == "key-mismatch")
        })
        .await;
    scene.is_stopped_at_the_directory("then").await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn names_that_are_exchanged_all_the_time_bring_no_key() {
    let victims = files("victim.example.org");
    // Both ways lead to files that are admitted: to the victim's, and to a set that is the attacker's.
    let scene = Scene::set(&victims, &files("own.example.org")).await;
    write(&scene.room.directory("open/tls"), &files("other.example.org"), ATTACKER);
    symlink("../open", scene.own.join("a")).unwrap();
    symlink("../closed", scene.own.join("b")).unwrap();
    NAMES.iter().for_each(|name| replace_by_link(Path::new("a/tls").join(name), scene.own.join(name)));
    let (own, done) = (scene.own.clone(), Arc::new(AtomicBool::new(false)));
    let flipping = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut flips = 0_u64;
            while !done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, own.join("a"), CWD, own.join("b"), RenameFlags::EXCHANGE).unwrap();
                flips += 1;
            }
            flips
        }
    });
    let serial = {
        let reader = Actor::user(VICTIM);
        ask_one(&scene.room, &reader, &scene.home.agent_socket(), "victim").await["serial"].clone()
    };
    assert!(serial.is_string(), "{serial}");
    let mut keys = 0;
    for _ in 0..TRIES / 100 {
        let names = vec!["own".to_owned(); 100];
        for answer in ask(&scene.room, &scene.attacker, &scene.home.agent_socket(), &names).await {
            keys += u64::from(answer["serial"] == serial && key(&answer) > 0);
        }
    }
    done.store(true, Ordering::Relaxed);
    assert!(flipping.join().unwrap() > TRIES as u64);
    assert_eq!(keys, 0, "keys of the victim");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn the_root_that_a_process_has_in_procfs_is_no_way_to_a_key() {
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    let caller = Caller::start(
        &scene.room,
        &scene.attacker,
        &["--socket", scene.home.agent_socket().to_str().unwrap(), "follow", "own"],
    );
    let root = PathBuf::from(format!("/proc/{}/root", caller.pid()));
    for name in NAMES {
        let target = scene.closed.join("tls").join(name);
        replace_by_link(root.join(target.strip_prefix("/").unwrap()), scene.own.join(name));
    }
    scene
        .daemon
        .until("it is refused", "own", |status| {
            status.findings.iter().any(|finding| finding.sentence.contains("its path leads through procfs"))
        })
        .await;
    let answer = scene.ask("own").await;
    assert_eq!((key(&answer), answer["code"].as_str()), (0, Some("PermissionDenied")), "{answer}");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn nothing_is_told_of_what_lies_behind_a_closed_directory() {
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    let at = |name: &str| scene.closed.join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("large"), vec![b'x'; 2 << 20]).unwrap();
    fs::write(at("ssh"), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n")
        .unwrap();
    symlink("circle", at("circle")).unwrap();
    symlink("/dev/null", at("device")).unwrap();
    make_fifo(at("fifo"));
    // The operator is told this of each, and the attacker is not.
    let targets = [
        ("directory", "is a directory"),
        ("large", "bytes are more"),
        ("ssh", ""),
        ("circle", "leads in a circle"),
        ("device", "not a regular file"),
        ("nothing", ""),
        ("fifo", "not a regular file"),
        ("ssh/further", ""),
        ("tls/ca.crt", ""),
    ];
    for file in NAMES {
        let kept = fs::read(scene.own.join(file)).unwrap();
        let mut before = "";
        for (target, found) in targets {
            replace_by_link(at(target), scene.own.join(file));
            scene.is_stopped_at_the_directory(&format!("{file} at {target}, at once")).await;
            let says = |status: &IdentityStatus, what: &str| {
                status.findings.iter().any(|finding| finding.file.ends_with(file) && finding.sentence.contains(what))
            };
            let is_read = |status: &IdentityStatus| match found {
                "" => before.is_empty() || !says(status, before),
                found => says(status, found),
            };
            scene.daemon.until(&format!("{file} at {target} was read"), "own", is_read).await;
            before = found;
            scene.is_stopped_at_the_directory(&format!("{file} at {target}")).await;
        }
        fs::remove_file(scene.own.join(file)).unwrap();
        fs::write(scene.own.join(file), kept).unwrap();
    }
    until("its own are let out again", || async { (key(&scene.ask("own").await) > 0).then_some(()) }).await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_fifo_or_a_device_in_a_directory_of_the_node_is_never_opened() {
    const NULL: (u32, u32) = (1, 3);
    let scene = Scene::set(&files("victim.example.org"), &files("own.example.org")).await;
    let (fifo, device) = (scene.own.join("fifo"), scene.own.join("device"));
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, &device, FileType::CharacterDevice, mode, makedev(NULL.0, NULL.1)).unwrap();
    // Looking at a file is no event, opening it is.
    let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    for special in [&fifo, &device] {
        inotify::add_watch(&inotify, special, inotify::WatchFlags::OPEN).unwrap();
    }
    for (special, file) in [(fifo, "tls.crt"), (device, "tls.key")] {
        fs::rename(special, scene.own.join(file)).unwrap();
        let is_refused = |status: &IdentityStatus| {
            status
                .findings
                .iter()
                .any(|found| found.file.ends_with(file) && found.sentence.contains("not a regular file"))
        };
        scene.daemon.until("it is refused", "own", is_refused).await;
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let opened = inotify::Reader::new(&inotify, &mut buffer).next().map(|event| event.events());
    assert_eq!(opened.err(), Some(Errno::AGAIN), "nothing is to be told");
}
