//! The names of pods, over looks and restarts.

use super::*;
use crate::inventory::pods::Doubt;
use crate::inventory::pods::memory::tests::{At, hanging};

#[test]
fn what_a_pod_was_called_first_or_that_it_is_in_doubt_outlasts_a_restart() {
    let mut node = Node::new();
    [A, B].iter().for_each(|uid| node.pod(uid));
    node.name(A, "shop", "a");
    node.name(B, "shop", "b");
    node.name(B, "bank", "b");
    assert_eq!((node.called(A).as_deref(), node.called(B)), (Some("shop/a"), None));
    fs::rename(node.log("shop", "a", A), node.log("bank", "x", A)).unwrap();
    fs::remove_dir(node.log("shop", "b", B)).unwrap();
    node.restart();
    let found = node.found("");
    assert_eq!(found.names.get(A).map(ToString::to_string).as_deref(), Some("shop/a"));
    assert_eq!((found.names.get(B), found.names.doubt(B)), (None, Some(Doubt::LogDirectories)));
    assert_eq!((found.contested.in_doubt, found.contested.first_stays), (1, 1));
}

/// The state of a directory for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DirectoryState {
    There,
    Empty,
    Gone,
}

#[test]
fn names_outlast_a_kubelets_directory_or_logs_that_come_late() {
    let mut node = Node::new();
    [A, B].iter().for_each(|uid| node.pod(uid));
    node.name(A, "shop", "a");
    node.name(B, "shop", "b");
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    fs::rename(node.log("shop", "a", A), node.log("bank", "x", A)).unwrap();
    let [pods, logs, away] = ["pods", "logs", "away"].map(|name| node.home.path().join(name));
    for of_pods in [DirectoryState::There, DirectoryState::Empty, DirectoryState::Gone] {
        for of_logs in [DirectoryState::There, DirectoryState::Empty, DirectoryState::Gone] {
            fs::create_dir(&away).unwrap();
            let places =
                [(&pods, of_pods), (&logs, of_logs)].map(|(place, is)| (place, is, place.file_name().unwrap()));
            for (place, is, name) in places.iter().filter(|(_, is, _)| *is != DirectoryState::There) {
                fs::rename(place, away.join(name)).unwrap();
                if *is == DirectoryState::Empty {
                    fs::create_dir(place).unwrap();
                }
            }
            node.restart();
            assert_eq!(node.called(A).as_deref(), Some("shop/a"), "pods {of_pods:?}, logs {of_logs:?}");
            for (place, is, name) in places.iter().filter(|(_, is, _)| *is != DirectoryState::There) {
                if *is == DirectoryState::Empty {
                    fs::remove_dir(place).unwrap();
                }
                fs::rename(away.join(name), place).unwrap();
            }
            fs::remove_dir(&away).unwrap();
            assert_eq!(node.called(A).as_deref(), Some("shop/a"), "after pods {of_pods:?}, logs {of_logs:?}");
        }
    }
    // A pod that is gone is forgotten, also in the file.
    fs::remove_dir(pods.join(A)).unwrap();
    fs::remove_dir_all(node.log("bank", "x", A)).unwrap();
    assert_eq!(node.called(A), None);
    assert!(!fs::read_to_string(node.memory()).unwrap().contains(A));
}

#[test]
fn names_are_written_when_they_change_and_again_where_they_could_not_be() {
    let mut node = Node::new();
    node.pod(A);
    node.name(A, "shop", "a");
    let state = node.home.path().join("state");
    fs::write(&state, "in the way").unwrap();
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    assert!(!node.memory().exists());
    fs::remove_file(&state).unwrap();
    node.found("");
    let inode = |node: &Node| std::os::unix::fs::MetadataExt::ino(&fs::metadata(node.memory()).unwrap());
    let written = inode(&node);
    node.name(B, "shop", "never-there");
    node.restart();
    node.found("");
    node.found("");
    assert_eq!(inode(&node), written, "nothing changed");

    // While it cannot be read, it is not replaced.
    let away = state.with_file_name("away");
    fs::rename(&state, &away).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), &state).unwrap();
    fs::rename(node.log("shop", "a", A), node.log("bank", "x", A)).unwrap();
    node.restart();
    assert_eq!(node.called(A).as_deref(), Some("bank/x"), "the first that is known");
    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    assert_eq!(inode(&node), written);
}

#[test]
fn without_a_state_directory_names_are_known_for_as_long_as_the_process_lasts() {
    let mut node = Node::new();
    node.pod(A);
    node.name(A, "shop", "a");
    node.discovery = Discovery::new(None);
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    fs::rename(node.log("shop", "a", A), node.log("bank", "x", A)).unwrap();
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    assert!(!node.memory().exists());
}

#[test]
fn a_volume_of_another_namespace_than_the_log_directory_tells_puts_its_pod_in_doubt() {
    let mut node = Node::new();
    let rules = "[[pods]]\nnamespace = \"shop\"\n[[pods]]\nignore = true\n";
    node.credential(A, "tls");
    node.name(A, "shop", "a");
    let tls = [format!("pod/{A}/tls")];
    assert_eq!(node.ids(rules), tls);
    // It comes late, and is filled later still.
    let token = node.volume(A, "projected", "kube-api-access-x7k2p", &Files::new().with("token", "x"));
    assert_eq!(node.ids(rules), tls);
    token.swap(&Files::new().with("token", "x").with("namespace", "bank"));
    assert_eq!(node.ids(rules), [""; 0]);
    let found = node.found(rules);
    assert_eq!((found.names.doubt(A), found.contested.in_doubt), (Some(Doubt::Namespace), 1));
    token.remove();
    node.restart();
    assert_eq!(node.ids(rules), [""; 0], "also after a restart");
}

#[test]
fn a_volume_of_a_service_account_is_read_once() {
    let node = Node::new();
    node.name(A, "shop", "a");
    let files = |namespace: &str| Files::new().with("tls.crt", "").with("tls.key", "").with("namespace", namespace);
    let token = node.volume(A, "projected", "kube-api-access-x7k2p", &files("shop"));
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    token.swap(&files("bank"));
    let home = node.home.path().display();
    let text = format!("[kubelet]\ndirectory = \"{home}/pods\"\nlogs = \"{home}/logs\"\n");
    let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
    let again = Again { all: true, touched: [token.path().to_owned()].into() };
    let found = node.discovery.look(&config, &again, &Deaf::shared());
    assert_eq!(found.names.get(A).map(ToString::to_string).as_deref(), Some("shop/a"));
    assert_eq!(found.specs, [], "it is nobody's identity");
}

#[test]
fn where_more_pods_are_there_than_are_looked_at_none_is_forgotten() {
    let node = Node::new();
    [A, B].iter().for_each(|uid| node.pod(uid));
    node.name(A, "shop", "a");
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    (0..=tree::ENTRIES_LIMIT).for_each(|number| node.pod(&format!("{number:032x}")));
    fs::remove_dir(node.home.path().join("pods").join(A)).unwrap();
    fs::remove_dir(node.log("shop", "a", A)).unwrap();
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    assert_eq!(node.found("").limits_reached, [LookLimit::PodDirectoryEntries].into());
}

#[test]
fn more_log_directories_than_are_looked_at_are_told_until_they_are_gone() {
    let node = Node::new();
    (0..=LOGS_LIMIT).for_each(|number| node.name(&format!("{number:032x}"), "shop", "a"));
    assert_eq!(node.found("").limits_reached, [LookLimit::PodLogs].into());
    fs::remove_dir(node.log("shop", "a", &format!("{:032x}", 0))).unwrap();
    assert_eq!(node.found("").limits_reached, [].into());
}

#[test]
fn what_is_remembered_counts_again_when_discovery_is_turned_on_again() {
    let node = Node::new();
    node.pod(A);
    node.name(A, "shop", "a");
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    let pods = node.home.path().join("pods");
    for off in [String::new(), pods.display().to_string()] {
        let text = format!("[kubelet]\ndirectory = {off:?}\nlogs = \"\"\n");
        let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
        let found = node.discovery.look(&config, &Again::default(), &Deaf::shared());
        assert!(found.names.is_empty(), "{off}");
        _ = fs::rename(node.log("shop", "a", A), node.log("bank", "x", A));
        assert_eq!(node.called(A).as_deref(), Some("shop/a"), "{off}");
    }
}

#[test]
fn a_pod_with_more_volumes_than_are_looked_at_keeps_no_name_from_being_remembered_or_forgotten() {
    let mut node = Node::new();
    [A, B].iter().for_each(|uid| node.pod(uid));
    node.name(A, "shop", "a");
    node.name(B, "shop", "b");
    let volumes = node.place(B, "secret", "");
    (0..=tree::ENTRIES_LIMIT)
        .for_each(|number| fs::create_dir_all(volumes.join(format!("kube-api-access-{number}"))).unwrap());
    assert_eq!(node.called(A).as_deref(), Some("shop/a"));
    assert!(fs::read_to_string(node.memory()).unwrap().contains(A));
    fs::remove_dir(node.home.path().join("pods").join(A)).unwrap();
    fs::remove_dir(node.log("shop", "a", A)).unwrap();
    assert_eq!(node.called(A), None);
    node.restart();
    assert_eq!(node.called(B).as_deref(), Some("shop/b"));
    assert!(!fs::read_to_string(node.memory()).unwrap().contains(A));
}

#[test]
fn a_state_directory_that_does_not_answer_stops_no_discovery() {
    let mut node = Node::new();
    let state = tempfile::tempdir().unwrap();
    let (memory, gate) = hanging(state.path());
    node.discovery.memory = Some(memory);
    node.credential(A, "tls");
    node.name(A, "shop", "a");
    let text = format!("[kubelet]\ndirectory = \"{0}/pods\"\nlogs = \"{0}/logs\"\n", node.home.path().display());
    let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
    let look = |node: &Node| {
        let found = node.discovery.look(&config, &Again::default(), &Deaf::shared());
        (found.specs.len(), found.names.get(A).map(ToString::to_string))
    };
    assert_eq!(look(&node), (1, Some("shop/a".to_owned())), "while it is read");
    assert_eq!(gate.entered(), At::Reading);
    gate.answer();
    node.discovery.memory.iter().for_each(Memory::wait_until_idle);
    for count in 2..4 {
        node.credential(A, &format!("tls{count}"));
        assert_eq!(look(&node), (count, Some("shop/a".to_owned())), "while it is written");
    }
    assert_eq!(gate.entered(), At::Writing);
    gate.answer();
    node.discovery.memory.iter().for_each(Memory::wait_until_idle);
    assert!(fs::read_to_string(state.path().join("pod-names.json")).unwrap().contains("shop/a"));
}
