//! Each scenario by pidfd and by start time alike.

use std::path::PathBuf;

use evercert_fixtures::wait::{soon, until_so};
use evercert_fixtures::{become_user, set_mode, wait};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use super::other::Other;
use super::*;
use crate::callers::process::{Living, Process};
use crate::callers::processes::Proof;

const PROOFS: [Proof; 2] = [Proof::Pidfd, Proof::Start];

/// A socket, and who is known to have connected to it.
struct Door {
    home: TempDir,
    listener: UnixListener,
    processes: Arc<Processes>,
}

impl Door {
    fn new(proof: Proof) -> Self {
        let home = tempfile::tempdir().unwrap();
        set_mode(home.path(), 0o755);
        let listener = UnixListener::bind(home.path().join("socket")).unwrap();
        set_mode(home.path().join("socket"), 0o666);
        Self { home, listener, processes: Arc::new(Processes::proven_by(proof, Vec::new())) }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    /// The next one that has connected, with this side of its connection.
    async fn caller(&self) -> (Result<Caller, ProcessError>, UnixStream) {
        let (stream, _) = self.listener.accept().await.unwrap();
        (Caller::of(&stream, &self.processes), stream)
    }
}

fn is_open(stream: &UnixStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_process_is_confirmed_while_it_lives_and_its_end_is_told() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let (mut other, _held) = Other::connect(&door.socket(), None);
        let (caller, stream) = door.caller().await;
        let caller = caller.unwrap();
        assert_eq!(caller.pid(), other.pid());
        caller.confirm().unwrap();
        assert!(!caller.has_ended());
        other.end();
        // The connection is held by this process: it is as a child's that its parent left it to.
        assert!(is_open(&stream), "{proof:?}");
        assert!(matches!(caller.confirm(), Err(ProcessError::Ended)), "{proof:?}");
        soon("the end", caller.ended()).await;
    }
}

#[tokio::test]
async fn an_end_is_told_though_nobody_asks() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let (mut other, _held) = Other::connect(&door.socket(), None);
        let caller = door.caller().await.0.unwrap();
        other.end();
        soon("the end", caller.ended()).await;
        assert!(caller.has_ended());
    }
}

#[tokio::test]
async fn a_process_that_ended_before_it_was_accepted_is_nobody() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let (mut other, _held) = Other::connect(&door.socket(), None);
        other.end();
        let gone = door.caller().await.0.unwrap_err();
        assert!(matches!(gone, ProcessError::Ended), "{proof:?}: {gone}");
    }
}

#[tokio::test]
async fn a_process_that_runs_another_program_stays_who_it_is() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let (mut other, _held) = Other::connect(&door.socket(), None);
        let caller = door.caller().await.0.unwrap();
        other.exec();
        until_so("it runs the other program", || caller.command() == "cat").await;
        caller.confirm().unwrap();
        assert!(!caller.has_ended());
        other.end();
        assert!(matches!(caller.confirm(), Err(ProcessError::Ended)), "{proof:?}");
    }
}

#[tokio::test]
async fn a_number_that_has_gone_to_another_process_proves_nothing() {
    let mut living = Living::numbered(std::process::id()).unwrap();
    living.standing(&[]).unwrap();
    living.started += 1;
    assert!(matches!(living.standing(&[]), Err(ProcessError::Ended)));
    let process = Process::watch(living, Arc::default());
    soon("the end", process.ended().cancelled()).await;
}

#[tokio::test]
async fn a_process_is_watched_once_however_often_it_connects() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let mut callers = Vec::new();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(UnixStream::connect(door.socket()).await.unwrap());
            callers.push(door.caller().await.0.unwrap());
        }
        let (other, _held) = Other::connect(&door.socket(), None);
        let stranger = door.caller().await.0.unwrap();
        assert!(callers.iter().all(|caller| caller.is_the_process_of(&callers[0])), "{proof:?}");
        assert!(!stranger.is_the_process_of(&callers[0]));
        assert_eq!(stranger.pid(), other.pid());
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_process_with_another_user_than_its_connection_is_refused() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let socket = door.socket();
        // A user is the thread's: this connection is another one's than the process that holds it.
        let connected = std::thread::spawn(move || {
            become_user(1000);
            std::os::unix::net::UnixStream::connect(socket).unwrap()
        });
        let _held = connected.join().unwrap();
        let caller = door.caller().await.0.unwrap();
        assert_eq!(caller.uid(), 1000);
        let changed = caller.confirm().unwrap_err();
        assert!(matches!(changed, ProcessError::Changed("user or group")), "{proof:?}: {changed}");
        // One that is this user's altogether is not refused.
        let (_other, _held) = Other::connect(&door.socket(), Some(1000));
        door.caller().await.0.unwrap().confirm().unwrap();
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_process_without_a_group_of_its_connections_is_refused() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let socket = door.socket();
        // Groups are the thread's, too: the process that holds this connection is in none of this number.
        let connected = std::thread::spawn(move || {
            rustix::thread::set_thread_groups(&[rustix::thread::Gid::from_raw(4711)]).unwrap();
            std::os::unix::net::UnixStream::connect(socket).unwrap()
        });
        let _held = connected.join().unwrap();
        let caller = door.caller().await.0.unwrap();
        assert!(caller.is_in(4711), "{proof:?}: the kernel says what it was in");
        let changed = caller.confirm().unwrap_err();
        assert!(matches!(changed, ProcessError::Changed("list of supplementary groups")), "{proof:?}: {changed}");
    }
}

#[tokio::test]
async fn a_process_beside_this_one_shares_the_hosts_namespaces() {
    for proof in PROOFS {
        let door = Door::new(proof);
        let (_other, _held) = Other::connect(&door.socket(), None);
        assert_eq!(door.caller().await.0.unwrap().namespaces(), Namespaces::Host);
    }
}

#[test]
fn what_a_process_calls_itself_is_one_line_whatever_bytes_it_is_made_of() {
    use std::os::unix::ffi::OsStrExt as _;
    // The kernel names a process after its file.
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join(std::ffi::OsStr::from_bytes(b"\xff\n\x1b[2J"));
    std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    let mut child = std::process::Command::new(program).arg("60").spawn().unwrap();
    // `spawn` may return before the kernel has given the process its new name.
    let expected = "\\xff\\n\\u{1b}[2J";
    let name = || Caller::new(child.id(), 0, vec![]).command();
    wait::blocking(|| (name() == expected).then_some(()), || format!("{expected}: it is {} still", name()));
    child.kill().unwrap();
    child.wait().unwrap();
}
