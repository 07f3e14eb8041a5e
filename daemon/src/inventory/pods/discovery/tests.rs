use std::fs;

use evercert_core::identity::Scope;
use evercert_core::spec::{BundleFile, IdentitySpec, Usage};
use evercert_fixtures::{Authority, Files, KubeletVolume};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::*;

mod names;

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
    fn unlisten(&self, _: &Path) {}
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
        let found = self.discovery.look(&config, &Again::default(), &Deaf::shared());
        self.discovery.memory.iter().for_each(Memory::wait_until_idle);
        found
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

    // A credential that was once there is expected there: what its files lack then is a finding.
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
    let mut limits_reached = Vec::new();
    for round in 0..4 {
        let names = (0..40).map(|number| format!("{round}-{number}"));
        volume.swap(&names.fold(Files::new(), |files, name| {
            files.with(&format!("{name}/tls.crt"), "").with(&format!("{name}/tls.key"), "")
        }));
        let Found { specs, limits_reached: reached, .. } = node.found("");
        let ids: Vec<_> = specs.iter().map(|spec| spec.id.to_string()).collect();
        assert!((40..=64).contains(&ids.len()), "{} in round {round}", ids.len());
        assert!(ids.contains(&format!("pod/{A}/certs/{round}-0")), "what is there comes first");
        limits_reached.push(reached);
    }
    let forgotten = BTreeSet::from([LookLimit::PodVolumeCredentials]);
    assert_eq!(limits_reached, [BTreeSet::new(), forgotten.clone(), forgotten.clone(), forgotten]);
    assert_eq!(node.found("").limits_reached, [].into(), "nothing more was forgotten");
}

#[test]
fn a_volume_with_more_than_is_looked_at_is_told_for_as_long_as_it_is_so() {
    let node = Node::new();
    let many = (0..100).fold(Files::new(), |files, number| files.with(&format!("a{number}.txt"), "x"));
    let volume = node.volume(A, "secret", "many", &many);
    node.credential(A, "tls");
    let entries = BTreeSet::from([LookLimit::PodVolumeEntries]);
    assert_eq!((node.ids("").len(), node.found("").limits_reached), (1, entries.clone()));
    assert_eq!(node.found("").limits_reached, entries, "it is known, and as it was");
    volume.swap(&Files::new());
    assert_eq!(node.found("").limits_reached, [].into());
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
fn what_is_known_of_a_pod_stays_where_its_directories_cannot_be_told() {
    let node = Node::new();
    node.credential(A, "tls");
    let ids = node.ids("");
    let mut known = node.discovery.known.lock();
    let root = known.volumes.keys().next().unwrap().clone();
    known.answered(root.clone(), Err(Errno::MFILE), None, A.into());
    assert!(known.volumes.contains_key(&root));
    known.answered(root.clone(), Err(Errno::NOENT), None, A.into());
    assert!(!known.volumes.contains_key(&root));
    drop(known);
    assert_eq!(node.ids(""), ids);
}

/// Tells this program that it is a process of its own, whose descriptors may run out.
const SHORT_OF_DESCRIPTORS: &str = "EVERCERT_TEST_SHORT_OF_DESCRIPTORS";

#[test]
fn without_descriptors_what_is_known_of_pods_stays() {
    const TEST: &str = "inventory::pods::discovery::tests::without_descriptors_what_is_known_of_pods_stays";
    if std::env::var_os(SHORT_OF_DESCRIPTORS).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", TEST]).env(SHORT_OF_DESCRIPTORS, "").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let node = Node::new();
    for uid in [A, B] {
        node.credential(uid, "tls");
        node.credential(uid, "other");
        node.volume(uid, "projected", "kube-api-access-x7k2p", &Files::new().with("namespace", "shop"));
        node.name(uid, "shop", "a");
    }
    node.volume(A, "csi", "certs/mount", &node.ca.issue_dns("a").files());
    fs::write(node.place(A, "csi", "certs").join("vol_data.json"), "{\"driverName\":\"csi.cert-manager.io\"}").unwrap();
    let before = node.found("");
    assert_eq!(before.specs.len(), 5);
    let limit = getrlimit(Resource::Nofile);
    let in_use = fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    for spare in 0..8 {
        let text = format!("[kubelet]\ndirectory = \"{0}/pods\"\nlogs = \"{0}/logs\"\n", node.home.path().display());
        let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
        let few = Rlimit { current: Some(in_use + spare), ..limit };
        setrlimit(Resource::Nofile, few).unwrap();
        let found = [false, true].map(|all| {
            let again = Again { all, ..Again::default() };
            node.discovery.look(&config, &again, &Deaf::shared())
        });
        setrlimit(Resource::Nofile, limit).unwrap();
        assert_eq!(found, [before.clone(), before.clone()], "with {spare} descriptors");
    }
}
