use std::fs;

use evercert_core::identity::Scope;
use evercert_core::spec::{BundleFile, IdentitySpec, Usage};
use evercert_fixtures::{Authority, Files, KubeletVolume};
use tempfile::TempDir;

use super::*;
use crate::inventory::pods::Doubt;

const A: &str = "2c48913c-b29f-11e7-9350-020968147796";
const B: &str = "0123456789abcdef0123456789abcdef";

/// Hears nothing.
pub(in crate::inventory::pods) struct Deaf;

impl Deaf {
    pub(in crate::inventory::pods) fn shared() -> Arc<dyn Listen> {
        Arc::new(Self)
    }
}

impl Listen for Deaf {
    fn directory(&self, _: &Path) {}
    fn volume(&self, _: &Path) {}
    fn settled(&self, _: &Path) {}
}

/// A node with a kubelet's directories.
struct Node {
    home: TempDir,
    discovery: Discovery,
    ca: Authority,
}

impl Node {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("pods")).unwrap();
        let discovery = Discovery::new(Some(&home.path().join("state")));
        Self { home, discovery, ca: Authority::new("Test CA") }
    }

    /// A daemon that is started again knows what was remembered.
    fn restart(&mut self) {
        self.discovery = Discovery::new(Some(&self.memory().with_file_name("")));
    }

    fn memory(&self) -> PathBuf {
        self.home.path().join("state/pod-names.json")
    }

    fn log(&self, namespace: &str, pod: &str, uid: &str) -> PathBuf {
        self.home.path().join("logs").join(format!("{namespace}_{pod}_{uid}"))
    }

    fn pod(&self, uid: &str) {
        fs::create_dir_all(self.home.path().join("pods").join(uid)).unwrap();
    }

    fn called(&self, uid: &str) -> Option<String> {
        self.found("").names.get(uid).map(ToString::to_string)
    }

    fn volume(&self, uid: &str, plugin: &str, name: &str, files: &Files) -> KubeletVolume {
        KubeletVolume::at(&self.place(uid, plugin, name), files)
    }

    fn place(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        let pods = self.home.path().canonicalize().unwrap().join("pods");
        pods.join(uid).join(format!("volumes/kubernetes.io~{plugin}")).join(name)
    }

    fn credential(&self, uid: &str, name: &str) -> KubeletVolume {
        self.volume(uid, "secret", name, &self.ca.issue_dns("a").files())
    }

    fn name(&self, uid: &str, namespace: &str, pod: &str) {
        fs::create_dir_all(self.log(namespace, pod, uid)).unwrap();
    }

    fn found(&self, rules: &str) -> Found {
        let home = self.home.path().display();
        let text = format!("[kubelet]\ndirectory = \"{home}/pods\"\nlogs = \"{home}/logs\"\n{rules}");
        let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
        self.discovery.look(&config, &Again::default(), &Deaf::shared())
    }

    fn specs(&self, rules: &str) -> Vec<IdentitySpec> {
        self.found(rules).specs
    }

    fn ids(&self, rules: &str) -> Vec<String> {
        self.specs(rules).iter().map(|spec| spec.id.to_string()).collect()
    }
}

#[test]
fn an_identity_comes_with_its_volume_and_goes_with_it() {
    let node = Node::new();
    assert_eq!(node.ids(""), [""; 0]);
    let tls = node.credential(A, "tls");
    let both = node.ca.issue_dns("b");
    let files =
        Files::new().with("one/bundle.pem", both.combined_pem()).with("two/tls.crt", "").with("two/tls.key", "");
    node.volume(B, "projected", "certs", &files);
    let ids = [format!("pod/{B}/certs/one"), format!("pod/{B}/certs/two"), format!("pod/{A}/tls")];
    assert_eq!(node.ids(""), ids);
    let specs = node.specs("");
    assert_eq!(specs[2].id.scope, Scope::Pod(A.into()));
    assert_eq!(specs[2].files.volumes, [tls.path()]);
    assert_eq!(specs[2].files.paths().next().unwrap(), tls.path().join("tls.crt"));
    assert_eq!(specs[0].files.paths().next().unwrap(), node.place(B, "projected", "certs").join("one/bundle.pem"));

    // What was once there is expected there: what its files lack then is a finding.
    tls.swap(&Files::new());
    assert_eq!(node.ids(""), ids);
    tls.swap(&node.ca.issue_dns("a").files());
    assert_eq!(node.ids(""), ids);
    tls.remove();
    assert_eq!(node.ids(""), ids[..2]);
    // A volume that is unmounted leaves an empty directory: another one.
    let other = node.place(B, "projected", "other");
    fs::create_dir(&other).unwrap();
    fs::rename(node.place(B, "projected", "certs"), node.home.path().join("away")).unwrap();
    fs::rename(other, node.place(B, "projected", "certs")).unwrap();
    assert_eq!(node.ids(""), [""; 0]);
}

#[test]
fn a_volume_that_holds_others_each_time_is_not_more_and_more_identities() {
    let node = Node::new();
    let volume = node.volume(A, "projected", "certs", &Files::new());
    for round in 0..4 {
        let names = (0..40).map(|number| format!("{round}-{number}"));
        volume.swap(&names.fold(Files::new(), |files, name| {
            files.with(&format!("{name}/tls.crt"), "").with(&format!("{name}/tls.key"), "")
        }));
        let ids = node.ids("");
        assert!((40..=64).contains(&ids.len()), "{} in round {round}", ids.len());
        assert!(ids.contains(&format!("pod/{A}/certs/{round}-0")), "what is there comes first");
    }
}

#[test]
fn of_two_volumes_of_one_name_in_a_pod_one_is_its_identities() {
    let node = Node::new();
    let files = node.ca.issue_dns("a").files().with("sub/tls.crt", "").with("sub/tls.key", "");
    ["projected", "secret"].iter().for_each(|plugin| drop(node.volume(A, plugin, "tls", &files)));
    assert_eq!(node.ids(""), [format!("pod/{A}/tls"), format!("pod/{A}/tls/sub")]);
}

#[test]
fn a_volume_that_is_filled_late_is_found_when_it_is() {
    let node = Node::new();
    let tls = node.volume(A, "secret", "tls", &Files::new());
    assert_eq!(node.ids(""), [""; 0]);
    tls.swap(&node.ca.issue_dns("a").files());
    assert_eq!(node.ids(""), [format!("pod/{A}/tls")]);
}

#[test]
fn the_first_rule_that_fits_says_what_is_asked() {
    let node = Node::new();
    ["tls", "tls-client", "other"].iter().for_each(|volume| drop(node.credential(A, volume)));
    let rules = "[[pods]]\nvolume = \"other\"\nignore = true\n\
        [[pods]]\nvolume = \"tls-*\"\nusages = [\"client auth\"]\noverlap = \"1h\"\nrequire_chain = true\n\
        [[pods]]\nusages = [\"server auth\"]\n\
        [[pods]]\nvolume = \"tls\"\nignore = true\n";
    let specs = node.specs(rules);
    let asked: Vec<_> = specs.iter().map(|spec| (spec.id.name.as_str(), spec.expectations.usages.clone())).collect();
    assert_eq!(asked, [("tls", vec![Usage::ServerAuth]), ("tls-client", vec![Usage::ClientAuth])]);
    assert_eq!(specs[1].overlap, std::time::Duration::from_secs(3600));
    assert_eq!(specs[0].overlap, IdentitySpec::OVERLAP);
}

#[test]
fn a_rule_may_be_about_one_directory_of_a_volume() {
    let node = Node::new();
    let empty = Files::new().with("a/tls.crt", "").with("a/tls.key", "").with("b/tls.crt", "").with("b/tls.key", "");
    node.volume(A, "projected", "certs", &empty);
    assert_eq!(node.ids("[[pods]]\nvolume = \"certs/a\"\nignore = true\n"), [format!("pod/{A}/certs/b")]);
    assert_eq!(node.ids("[[pods]]\nvolume = \"certs\"\nignore = true\n"), [""; 0]);
}

#[test]
fn a_volume_that_a_namespace_decides_about_waits_for_the_name_of_its_pod() {
    let node = Node::new();
    node.credential(A, "tls");
    node.credential(A, "plain");
    let rules = "[[pods]]\nvolume = \"plain\"\n[[pods]]\nnamespace = \"test-*\"\nignore = true\n";
    let [plain, tls] = ["plain", "tls"].map(|volume| format!("pod/{A}/{volume}"));
    // Without logs no rule with a namespace is ever met.
    assert_eq!(node.ids(rules), [plain.clone(), tls.clone()]);
    node.name(B, "shop", "other");
    assert_eq!(node.ids(rules), std::slice::from_ref(&plain));
    node.name(A, "shop", "payments");
    assert_eq!(node.ids(rules), [plain.clone(), tls]);
    let found = node.found("[[pods]]\nnamespace = \"sh?p\"\nignore = true\n");
    assert_eq!(found.specs, []);
    assert_eq!(found.names.get(A).unwrap().name, "payments".into());

    // The logs may go before the volumes, but not the other way round.
    fs::remove_dir_all(node.home.path().join(format!("logs/shop_payments_{A}"))).unwrap();
    assert!(node.found("").names.get(A).is_some());
    fs::remove_dir_all(node.home.path().join("pods").join(A)).unwrap();
    node.pod(B);
    assert!(node.found("").names.get(A).is_none());
}

#[test]
fn an_identity_may_trust_a_bundle_of_its_pod_or_of_the_node() {
    let node = Node::new();
    node.credential(A, "tls");
    let rule = "[[pods]]\nbundle = \"trust/ca.crt\"\n";
    let bundle = |spec: &IdentitySpec| spec.files.bundle.clone().unwrap();
    let map = node.place(A, "configmap", "trust");
    let waiting = node.specs(rule);
    assert_eq!(bundle(&waiting[0]), BundleFile::Dedicated(map.join("ca.crt")));

    // Of another pod it is another one.
    node.volume(B, "projected", "trust", &Files::new());
    assert_eq!(node.specs(rule), waiting);
    let trust = node.volume(A, "projected", "trust", &Files::new().with("ca.crt", node.ca.ca_pem()));
    let spec = &node.specs(rule)[0];
    assert_eq!(bundle(spec), BundleFile::Dedicated(trust.path().join("ca.crt")));
    assert_eq!(spec.files.volumes, [node.place(A, "secret", "tls"), trust.path().to_owned()]);

    let spec = &node.specs("[[pods]]\nbundle = \"/etc/tls/ca.crt\"\n")[0];
    assert_eq!(bundle(spec), BundleFile::Dedicated("/etc/tls/ca.crt".into()));
    assert_eq!(spec.files.volumes.len(), 1);
}

#[test]
fn without_a_kubelets_directory_there_are_no_pods() {
    let node = Node::new();
    node.credential(A, "tls");
    assert_eq!(node.ids("").len(), 1);
    fs::rename(node.home.path().join("pods"), node.home.path().join("away")).unwrap();
    assert_eq!(node.found(""), Found::default());
    fs::rename(node.home.path().join("away"), node.home.path().join("pods")).unwrap();
    assert_eq!(node.ids("").len(), 1);
    let off = Config::parse(Path::new("/test.toml"), "[kubelet]\ndirectory = \"\"\nlogs = \"\"\n").unwrap();
    assert_eq!(node.discovery.look(&off, &Again::default(), &Deaf::shared()), Found::default());
}

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

/// What there is of a directory for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
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
    for of_pods in [Place::There, Place::Empty, Place::Gone] {
        for of_logs in [Place::There, Place::Empty, Place::Gone] {
            fs::create_dir(&away).unwrap();
            let places =
                [(&pods, of_pods), (&logs, of_logs)].map(|(place, is)| (place, is, place.file_name().unwrap()));
            for (place, is, name) in places.iter().filter(|(_, is, _)| *is != Place::There) {
                fs::rename(place, away.join(name)).unwrap();
                if *is == Place::Empty {
                    fs::create_dir(place).unwrap();
                }
            }
            node.restart();
            assert_eq!(node.called(A).as_deref(), Some("shop/a"), "pods {of_pods:?}, logs {of_logs:?}");
            for (place, is, name) in places.iter().filter(|(_, is, _)| *is != Place::There) {
                if *is == Place::Empty {
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
fn what_was_not_read_is_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let memory = Memory::new(home.path());
    let names = |name| {
        let name = crate::callers::PodName::new("shop", name).unwrap();
        let (seen, there) = ([(A.into(), [name].into())].into(), [A.into()].into());
        let mut names = Names::default();
        names.see(Sight { pods: Some(&there), logs: Some(&seen), namespaces: &BTreeMap::new() });
        names
    };
    memory.write(&names("a").lasting()).unwrap();
    let mut known = Known { names: names("b"), ..Known::default() };
    known.remember(&memory);
    assert_eq!(memory.read().unwrap(), names("a").lasting());
    known.recall(&memory);
    known.remember(&memory);
    assert_eq!((known.names.lasting(), memory.read().unwrap()), (names("a").lasting(), names("a").lasting()));
}
