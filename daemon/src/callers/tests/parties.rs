use super::super::party::{Crowd, Party};
use crate::callers::Origin;

const HOST: Origin = Origin::Host { unit: None };

#[test]
fn a_pod_is_one_party_and_so_are_all_users_of_the_namespaces_that_one_user_made() {
    let rootless = Some(Crowd::Of(1000));
    for uid in [100_000, 100_001, 1000] {
        assert_eq!(Party::of(&HOST, uid, rootless), Party::Crowd(Crowd::Of(1000)));
        assert_eq!(Party::of(&Origin::Container, uid, rootless), Party::Crowd(Crowd::Of(1000)));
        assert_eq!(Party::of(&Origin::Pod("p".into()), uid, rootless), Party::Pod("p".into()));
        assert_eq!(Party::of(&HOST, uid, None), Party::User(uid));
        assert_eq!(Party::of(&Origin::Unclear, uid, None), Party::Elsewhere(uid));
    }
    assert_ne!(Party::of(&HOST, 1, Some(Crowd::In(1))), Party::of(&HOST, 1, Some(Crowd::In(2))));
}

#[test]
fn this_process_is_in_its_own_user_namespace() {
    assert_eq!(Crowd::of(crate::callers::Proc(std::process::id())), None);
}

#[test]
#[ignore = "needs root, to be other users"]
fn whoever_makes_namespaces_within_namespaces_is_one_party_as_their_owner() {
    use std::process::{Command, Stdio};

    use evercert_fixtures::wait;

    const OWNER: u32 = 70_001;
    let nested = "unshare --user --map-root-user unshare --user --map-root-user";
    for (user, levels) in [(OWNER, "unshare --user"), (OWNER, nested), (0, "unshare --user")] {
        let words = format!("exec setpriv --reuid={user} --regid={user} --clear-groups {levels} cat");
        let mut child = Command::new("sh").args(["-c", &words]).stdin(Stdio::piped()).spawn().unwrap();
        let process = crate::callers::Proc(child.id());
        // Each program takes the place of the one before, so the last is there when its name is.
        let name = || std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
        wait::blocking(|| (name() == "cat\n").then_some(()), || words.clone());
        let crowd = Crowd::of(process);
        drop(child.stdin.take());
        child.wait().unwrap();
        match user {
            0 => assert!(matches!(crowd, Some(Crowd::In(_))), "{words}: {crowd:?}"),
            _ => assert_eq!(crowd, Some(Crowd::Of(user)), "{words}"),
        }
    }
}
