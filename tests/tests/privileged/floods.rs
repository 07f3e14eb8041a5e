//! Crowds that take all that there is.

use std::fs;
use std::path::Path;

use evercert_fixtures::wait::until;
use evercert_fixtures::{Authority, KubeletVolume};
use evercert_tests::daemon::identity;
use rustix::process::Pid;
use tokio::process::{Child, Command};

use crate::actor::Actor;
use crate::caller::{self, Caller, ask_one, key};
use crate::daemon::{self, counted};
use crate::room::Room;

const OWNER: u32 = 70_001;
const NEWCOMER: u32 = 70_002;

/// The users of the host that the owner's subordinate users are, as /etc/subuid would have it.
const SUBORDINATES: u32 = 1_700_000;
const USERS: u32 = 4;

/// A user namespace of the owner's, in which its subordinate users are 0, 1 and so on.
struct Namespace(Child);

impl Namespace {
    async fn of_the_owner() -> Self {
        let sleep = Actor::user(OWNER).through(&["unshare", "--user"]).command(Path::new("sleep"));
        let child = Command::from(sleep).arg("600").kill_on_drop(true).spawn().unwrap();
        let namespace = Self(child);
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).ok();
        let made = || async { (of(&namespace.pid().to_string())? != of("self")?).then_some(()) };
        until("it is in its namespace", made).await;
        // newuidmap(1) does this where /etc/subuid gives these users.
        for map in ["uid_map", "gid_map"] {
            let line = format!("0 {SUBORDINATES} {USERS}");
            fs::write(format!("/proc/{}/{map}", namespace.pid()), line).unwrap();
        }
        namespace
    }

    fn pid(&self) -> u32 {
        self.0.id().expect("it has not been waited for")
    }

    /// Starts a caller as this user of it.
    fn start(&self, room: &Room, user: u32, arguments: &[&str]) -> Caller {
        let mut command = std::process::Command::new("nsenter");
        command.args(["--user", "--target", &self.pid().to_string()]);
        command.args(["--setuid", &user.to_string(), "--setgid", &user.to_string()]).arg(caller::program(room));
        Caller::run(command, arguments)
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn one_owners_subordinate_users_take_all_connections_and_lose_the_newest_to_a_newcomer() {
    let room = Room::enter();
    let volume = KubeletVolume::at(&room.directory("tls"), &Authority::new("root").issue_dns("x").files());
    let home = daemon::home(&room);
    let limits = format!("[limits]\nconnections = {USERS}\nconnections_per_caller = {USERS}\n\n");
    home.configure(&(limits + &identity("x", volume.path()) + &format!("allow = [\"uid:{NEWCOMER}\"]\n")));
    let running = home.start().await;
    running.until("it is published", "x", |status| status.generation == 1).await;
    let socket = home.agent_socket();

    let namespace = Namespace::of_the_owner().await;
    let mut holders = Vec::new();
    for user in 0..USERS {
        let mut holder = namespace.start(&room, user, &["--socket", socket.to_str().unwrap(), "hold"]);
        assert_eq!(holder.answer().await.unwrap()["code"], "Ok");
        let uid = fs::read_to_string(format!("/proc/{}/status", holder.pid())).unwrap();
        assert!(uid.contains(&format!("Uid:\t{0}\t{0}", SUBORDINATES + user)), "{uid}");
        holders.push(holder);
    }
    let turned_away = async |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        counted(home.http().unwrap(), "evercert_connections_turned_away_total", &[&label])
    };
    assert_eq!(turned_away("displaced").await, 0.0, "{}", home.log());

    assert!(key(&ask_one(&room, &Actor::user(NEWCOMER), &socket, "x").await) > 0, "{}", home.log());
    assert_eq!((turned_away("displaced").await, turned_away("too_many_in_all").await), (1.0, 0.0));
    let told = home.log();
    let told = told.lines().find(|line| line.contains("`connections` of [limits] allows no more")).unwrap_or(&told);
    assert!(told.contains("loses one to those") && told.contains(&format!("user namespaces of uid {OWNER}")), "{told}");
    // The newest of them is told so by the end of its connection; the others stay.
    assert_eq!(holders.pop().unwrap().answer().await.unwrap()["code"], "Ended");
    for holder in &holders {
        assert!(rustix::process::test_kill_process(Pid::from_raw(holder.pid().cast_signed()).unwrap()).is_ok());
    }
    assert_eq!(running.status().await.unwrap().identities.len(), 1);
}
