//! Where the daemon puts its socket, and where it does not.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use evercert_fixtures::set_mode;

use crate::daemon;
use crate::room::Room;

const ATTACKER: u32 = 70_003;

/// The outcome of a daemon whose workload socket is to be in `directory`.
fn refused(room: &Room, directory: &Path) -> Output {
    let place = room.directory("refused");
    let config = place.join("evercertd.toml");
    let text = format!(
        "[sockets]\nagent = {:?}\nadmin = {:?}\n[state]\ndirectory = {:?}\n[http]\nlisten = \"off\"\n[watch]\ndirectories = []\n",
        directory.join("agent.sock"),
        place.join("admin/admin.sock"),
        place.join("state"),
    );
    fs::write(&config, text).unwrap();
    let mut command: Command = daemon::program(&["timeout", "10"]);
    command.args(["run", "--config"]).arg(config).output().unwrap()
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_directory_that_is_a_link_or_anothers_or_writable_by_others_is_refused() {
    let room = Room::enter();
    let (real, linked) = (room.directory("real"), room.path().join("linked"));
    symlink(&real, &linked).unwrap();
    chown(&real, Some(ATTACKER), None).unwrap();
    let open = room.directory("open");
    set_mode(&open, 0o777);
    let others = room.directory("others");
    chown(&others, Some(ATTACKER), Some(ATTACKER)).unwrap();
    for directory in [&linked, &open, &others] {
        let start = Instant::now();
        let output = refused(&room, directory);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && start.elapsed() < Duration::from_secs(5),
            "{}: {told}",
            directory.display()
        );
        assert!(told.contains("another user could put a socket in place"), "{}: {told}", directory.display());
        assert!(!directory.join("agent.sock").exists(), "{}", directory.display());
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn of_many_daemons_that_start_at_once_over_a_stale_socket_one_owns_it() {
    let room = Room::enter();
    let home = daemon::home(&room);
    home.configure("");
    home.start().await.kill();
    let stale = fs::metadata(home.agent_socket()).unwrap().ino();
    let mut daemons: Vec<_> =
        (0..8).map(|_| daemon::program(&[]).args(["run", "--config"]).arg(home.config()).spawn().unwrap()).collect();
    let start = Instant::now();
    let ended = loop {
        let ended = daemons.iter_mut().filter_map(|daemon| daemon.try_wait().unwrap()).collect::<Vec<_>>();
        if ended.len() >= daemons.len() - 1 || start.elapsed() > Duration::from_secs(20) {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let replaced = fs::metadata(home.agent_socket()).unwrap();
    let answers = evercert_tests::channel::connect(home.admin_socket()).await.is_some();
    for daemon in &mut daemons {
        _ = daemon.kill();
        daemon.wait().unwrap();
    }
    assert_eq!(ended.len(), daemons.len() - 1, "all but one end");
    assert!(ended.iter().all(|status| !status.success()), "{ended:?}");
    assert!(answers && replaced.ino() != stale && replaced.uid() == 0, "the one that is left answers");
}
