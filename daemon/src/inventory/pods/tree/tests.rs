use std::fs;
use std::os::unix::fs::symlink;

use parking_lot::Mutex;

use super::*;
use crate::inventory::pods::discovery::tests::Deaf;

const A: &str = "2c48913c-b29f-11e7-9350-020968147796";
const B: &str = "0123456789abcdef0123456789abcdef";

#[derive(Default)]
struct Heard(Mutex<Vec<PathBuf>>);

impl Listen for Heard {
    fn directory(&self, directory: &Path) {
        self.0.lock().push(directory.to_owned());
    }

    fn volume(&self, _: &Path) {}
    fn unlisten(&self, _: &Path) {}
}

fn tree(pods: &Path) -> Tree {
    walk(pods, &["csi.cert-manager.io".to_owned()], &Tree::default(), &Heard::default()).unwrap()
}

fn make(pods: &Path, directories: &[String]) {
    directories.iter().for_each(|directory| fs::create_dir_all(pods.join(directory)).unwrap());
}

fn volumes(pods: &Path) -> Vec<String> {
    let path = |volume: &Volume| volume.root.strip_prefix(pods).unwrap().display().to_string();
    tree(pods).volumes.iter().map(|volume| format!("{} {:?} {}", volume.name, volume.kind, path(volume))).collect()
}

#[test]
fn the_volumes_of_pods_are_found_and_nothing_else() {
    let pods = tempfile::tempdir().unwrap();
    let pods = pods.path();
    make(
        pods,
        &[
            format!("{A}/volumes/kubernetes.io~secret/tls"),
            format!("{A}/volumes/kubernetes.io~projected/bundle"),
            format!("{A}/volumes/kubernetes.io~projected/kube-api-access-x7k2p"),
            format!("{A}/volumes/kubernetes.io~projected/kube-api-access-x7k2q"),
            format!("{A}/volumes/kubernetes.io~secret/kube-api-access-a"),
            format!("{A}/volumes/kubernetes.io~empty-dir/cache"),
            format!("{A}/volume-subpaths/tls/app/0"),
            format!("{A}/plugins/kubernetes.io~secret/tls"),
            format!("{B}/volumes/kubernetes.io~configmap/trust"),
            "not-a-uid/volumes/kubernetes.io~secret/tls".to_owned(),
            "elsewhere".to_owned(),
        ],
    );
    fs::write(pods.join(A).join("volumes/kubernetes.io~secret/file"), "").unwrap();
    symlink(pods.join("elsewhere"), pods.join(A).join("volumes/kubernetes.io~secret/link")).unwrap();
    symlink(pods.join(A), pods.join(A.replace('2', "3"))).unwrap();
    assert_eq!(
        volumes(pods),
        [
            format!("trust Trust {B}/volumes/kubernetes.io~configmap/trust"),
            format!("bundle Credential {A}/volumes/kubernetes.io~projected/bundle"),
            format!("kube-api-access-x7k2p ServiceAccount {A}/volumes/kubernetes.io~projected/kube-api-access-x7k2p"),
            format!("tls Credential {A}/volumes/kubernetes.io~secret/tls"),
        ]
    );
    assert_eq!(tree(pods).pods.iter().map(|uid| &**uid).collect::<Vec<_>>(), [B, A]);
}

#[test]
fn of_csi_volumes_only_those_of_a_driver_that_is_named_are_found() {
    let pods = tempfile::tempdir().unwrap();
    let pods = pods.path();
    let csi = format!("{A}/volumes/kubernetes.io~csi");
    make(pods, &["good", "other", "none", "broken", "long", "link"].map(|volume| format!("{csi}/{volume}/mount")));
    make(pods, &[format!("{csi}/unmounted")]);
    let data = |volume: &str, text: &str| fs::write(pods.join(&csi).join(volume).join("vol_data.json"), text).unwrap();
    let good = "{\"attachmentID\":\"x\",\"driverName\":\"csi.cert-manager.io\",\"specVolID\":\"good\"}";
    data("good", good);
    data("unmounted", good);
    data("other", "{\"driverName\":\"secrets-store.csi.k8s.io\"}");
    data("broken", "{\"driverName\":");
    data("long", &(" ".repeat(100_000) + good));
    symlink("../good/vol_data.json", pods.join(&csi).join("link/vol_data.json")).unwrap();
    assert_eq!(volumes(pods), [format!("good Credential {csi}/good/mount")]);
}

#[test]
fn every_directory_in_which_something_may_come_is_heard_first() {
    let pods = tempfile::tempdir().unwrap();
    make(pods.path(), &[format!("{A}/volumes/kubernetes.io~csi/certs")]);
    let heard = Heard::default();
    walk(pods.path(), &[], &Tree::default(), &heard).unwrap();
    let volumes = pods.path().join(A).join("volumes");
    let mut expected = vec![pods.path().to_owned(), pods.path().join(A), volumes.clone()];
    expected.extend(PLUGINS.iter().map(|(plugin, _)| volumes.join(plugin)));
    expected.extend([volumes.join(CSI_PLUGIN), volumes.join(CSI_PLUGIN).join("certs")]);
    assert_eq!(*heard.0.lock(), expected);
}

#[test]
fn more_pods_than_are_looked_at_are_told() {
    let pods = tempfile::tempdir().unwrap();
    make(pods.path(), &(0..=ENTRIES_LIMIT).map(|number| format!("{number:032x}")).collect::<Vec<_>>());
    let tree = tree(pods.path());
    assert_eq!((tree.limits_reached, tree.lists_all_pods), ([LookLimit::PodDirectoryEntries].into(), false));
    assert_eq!(tree.pods.len(), ENTRIES_LIMIT);
    assert_eq!(walk(&pods.path().join("none"), &[], &Tree::default(), &Heard::default()), Err(Errno::NOENT));
}

#[test]
fn more_volumes_than_are_looked_at_hide_no_pod_and_no_service_account() {
    let volume = |number: usize, kind| Volume {
        uid: A.into(),
        name: format!("{number:05}"),
        root: PathBuf::from(number.to_string()),
        kind,
        driver: None,
    };
    let mut walk = bare_walk();
    walk.tree.volumes = (0..=VOLUMES_LIMIT).map(|number| volume(number, VolumeKind::Credential)).collect();
    walk.tree.volumes.push(volume(VOLUMES_LIMIT + 1, VolumeKind::ServiceAccount));
    walk.cut_volumes();
    assert_eq!(walk.tree.limits_reached, [LookLimit::PodVolumes].into());
    let [.., last, account] = &walk.tree.volumes[..] else { panic!() };
    assert_eq!(
        (account.kind, last.root.to_str().unwrap().parse().unwrap()),
        (VolumeKind::ServiceAccount, VOLUMES_LIMIT - 1)
    );

    let pods = tempfile::tempdir().unwrap();
    let names = (0..=ENTRIES_LIMIT).map(|number| format!("{A}/volumes/kubernetes.io~secret/{number}"));
    make(pods.path(), &names.collect::<Vec<_>>());
    let tree = tree(pods.path());
    assert_eq!((tree.limits_reached, tree.lists_all_pods), ([LookLimit::PodDirectoryEntries].into(), true));
}

fn bare_walk() -> Walk<'static> {
    Walk { csi_drivers: &[], listen: &Deaf, tree: Tree::default(), unread: None }
}

#[test]
fn a_list_of_pods_that_cannot_be_read_to_its_end_proves_no_pod_gone() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &[A.to_owned()]);
    let pods = rustix::fs::openat(CWD, home.path(), LISTED, Mode::empty()).unwrap();
    let before = Tree { pods: [A.into(), B.into()].into(), ..Tree::default() };
    for errno in [Errno::IO, Errno::MFILE, Errno::NOENT] {
        let mut walk = bare_walk();
        walk.list_pods(&pods, &before, |walk| walk.told(Err(errno)).into_iter().collect());
        let is_whole = errno == Errno::NOENT;
        let expected: BTreeSet<Arc<str>> = if is_whole { BTreeSet::new() } else { [A.into()].into() };
        assert_eq!(
            (walk.tree.lists_all_pods, walk.tree.pods),
            (is_whole, expected),
            "{errno}: by name {A} is there, {B} is not"
        );
    }
}

#[test]
fn an_entry_of_unknown_kind_is_a_directory_or_not_or_that_cannot_be_told() {
    let told = |errno: Errno| is_directory(FileType::Unknown, || Err(errno));
    assert_eq!(told(Errno::XDEV), Ok(true));
    for absent in [Errno::NOENT, Errno::NOTDIR, Errno::LOOP] {
        assert_eq!(told(absent), Ok(false));
    }
    for untold in [Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::IO] {
        assert_eq!(told(untold), Err(untold));
    }
    let nobody_looks = || -> Result<OwnedFd, Errno> { panic!() };
    assert_eq!(is_directory(FileType::Directory, nobody_looks), Ok(true));
    assert_eq!(is_directory(FileType::Symlink, nobody_looks), Ok(false));
}
