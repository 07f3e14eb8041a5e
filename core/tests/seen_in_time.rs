//! A change is seen wherever on the way to the files it happens: the tick is an hour away, so what is seen here was heard.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod recorder;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evercert_core::finding::Check;
use evercert_core::keeper::{IdentityState, Keeper};
use evercert_core::spec::{BundleFile, CredentialFiles, IdentitySpec};
use evercert_fixtures::{Authority, Issued, KubeletVolume, PlainDirectory, set_mode};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use recorder::{Recorder, Told, anchors_of, issued, keeper, spec};

const FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// A temporary directory, and what is kept of it.
struct Stage {
    root: TempDir,
    recorder: Arc<Recorder>,
}

impl Stage {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), recorder: Recorder::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// A plain directory with these files, made with its parents; files that are there are replaced by a rename each.
    fn put(&self, directory: &str, issued: &Issued) {
        let directory = self.path(directory);
        fs::create_dir_all(&directory).unwrap();
        PlainDirectory::at(&directory, &Default::default()).replace(&issued.files());
    }

    /// A symlink, which takes the place of what is there at one blow.
    fn link(&self, target: &str, link: &str) {
        let (link, new) = (self.path(link), self.path("new-link"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, &new).unwrap();
        fs::rename(new, link).unwrap();
    }

    /// A symlink for each of the files.
    fn links(&self, targets: &str, directory: &str) {
        FILES.iter().for_each(|file| self.link(&format!("{targets}/{file}"), &format!("{directory}/{file}")));
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Keeps identity `a` of this directory.
    fn keep(&self, directory: &str) -> Keeper {
        self.keep_as(spec("a", &self.path(directory)))
    }

    fn keep_as(&self, spec: IdentitySpec) -> Keeper {
        keeper(&self.recorder, vec![spec])
    }

    async fn serves(&self, issued: &Issued) -> Arc<IdentityState> {
        self.recorder.serves("a", issued).await
    }
}

#[tokio::test]
async fn a_file_that_a_link_leads_to_is_replaced_in_its_own_directory() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("common", &a);
    stage.links("../common", "app");
    let _keeper = stage.keep("app");
    stage.serves(&a).await;
    stage.put("common", &b);
    stage.serves(&b).await;
}

#[tokio::test]
async fn a_bundle_that_a_link_leads_to_is_replaced_in_its_own_directory() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let issued = one.issue_dns("a.example.org");
    let stage = Stage::new();
    stage.put("app", &issued);
    fs::create_dir(stage.path("usr")).unwrap();
    fs::write(stage.path("usr/ca.crt"), one.ca_pem()).unwrap();
    stage.link("../usr/ca.crt", "ssl/ca.pem");
    let mut spec = spec("a", &stage.path("app"));
    spec.files.bundle = Some(BundleFile::Dedicated(stage.path("ssl/ca.pem")));
    let _keeper = stage.keep_as(spec);
    stage.serves(&issued).await;
    fs::write(stage.path("usr/.new"), one.ca_pem().to_owned() + two.ca_pem()).unwrap();
    stage.rename("usr/.new", "usr/ca.crt");
    let two_anchors = |told: &Told| told.latest("a").filter(|state| anchors_of(state) == Some(2)).cloned();
    stage.recorder.until("two anchors", two_anchors).await;
}

/// A lineage as certbot keeps it: `live` leads to the numbered files in `archive`.
fn renew(stage: &Stage, number: usize, issued: &Issued) {
    fs::create_dir_all(stage.path("le/archive/x")).unwrap();
    for (name, content) in [("privkey", &issued.key_pem), ("fullchain", &issued.chain_pem)] {
        let file = format!("../../archive/x/{name}{number}.pem");
        fs::write(stage.path(&format!("le/archive/x/{name}{number}.pem")), content).unwrap();
        stage.link(&file, &format!("le/live/x/{name}.pem"));
    }
}

fn lineage(chain: PathBuf, key: PathBuf, ca: PathBuf) -> IdentitySpec {
    let mut spec = spec("a", Path::new("/"));
    spec.files.credential = Some(CredentialFiles::Pair { chain, key });
    spec.files.bundle = Some(BundleFile::Dedicated(ca));
    spec
}

#[tokio::test]
async fn a_renewal_of_certbots_is_followed_from_its_own_directory_and_through_links_to_it() {
    let [a, b, c] = issued();
    let stage = Stage::new();
    renew(&stage, 1, &a);
    stage.put("trust", &a);
    stage.link("../le/live/x/fullchain.pem", "app/tls.crt");
    stage.link("../le/live/x/privkey.pem", "app/tls.key");
    let live =
        lineage(stage.path("le/live/x/fullchain.pem"), stage.path("le/live/x/privkey.pem"), stage.path("trust/ca.crt"));
    let mut app = lineage(stage.path("app/tls.crt"), stage.path("app/tls.key"), stage.path("trust/ca.crt"));
    app.id = recorder::id_of("app");
    let _keeper = keeper(&stage.recorder, vec![live, app]);
    for (number, issued) in [(1, &a), (2, &b), (3, &c)] {
        renew(&stage, number, issued);
        stage.serves(issued).await;
        stage.recorder.serves("app", issued).await;
    }
}

#[tokio::test]
async fn a_link_to_a_link_is_followed_when_either_is_swapped() {
    let [a, b, c] = issued();
    let stage = Stage::new();
    for (directory, issued) in [("one", &a), ("two", &b), ("three", &c)] {
        stage.put(directory, issued);
    }
    stage.link("../one", "releases/current");
    stage.link("releases/current", "tls");
    let _keeper = stage.keep("tls");
    stage.serves(&a).await;
    stage.link("../two", "releases/current");
    stage.serves(&b).await;
    stage.link("three", "tls");
    stage.serves(&c).await;
}

#[tokio::test]
async fn an_ancestor_is_swapped_two_levels_up() {
    let [a, b, c] = issued();
    let stage = Stage::new();
    stage.put("certs/web/tls", &a);
    stage.put("certs.new/web/tls", &b);
    let _keeper = stage.keep("certs/web/tls");
    stage.serves(&a).await;
    stage.rename("certs", "certs.old");
    stage.rename("certs.new", "certs");
    stage.serves(&b).await;
    stage.put("certs/web/tls", &c);
    stage.serves(&c).await;
}

#[tokio::test]
async fn an_ancestor_of_what_a_link_leads_to_is_swapped() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("store/x/tls", &a);
    stage.put("store.new/x/tls", &b);
    stage.links("../store/x/tls", "app");
    let _keeper = stage.keep("app");
    stage.serves(&a).await;
    stage.rename("store", "store.old");
    stage.rename("store.new", "store");
    stage.serves(&b).await;
}

#[tokio::test]
async fn a_directory_is_exchanged_for_another_at_one_blow() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("up/tls", &a);
    stage.put("up.new/tls", &b);
    let _keeper = stage.keep("up/tls");
    stage.serves(&a).await;
    let exchange = |one: &str, other: &str| {
        renameat_with(CWD, stage.path(one), CWD, stage.path(other), RenameFlags::EXCHANGE).unwrap();
    };
    exchange("up/tls", "up.new/tls");
    stage.serves(&b).await;
    exchange("up", "up.new");
    stage.serves(&a).await;
}

#[tokio::test]
async fn a_missing_ancestor_appears_as_a_link() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("elsewhere/x/tls", &a);
    let _keeper = stage.keep("not/yet/tls");
    stage.recorder.finds("a", Check::FileMissing).await;
    stage.link("../elsewhere/x", "not/yet");
    stage.serves(&a).await;
    stage.put("elsewhere/x/tls", &b);
    stage.serves(&b).await;
}

#[tokio::test]
async fn a_link_dangles_until_what_it_leads_to_appears() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.links("../later/on", "app");
    let _keeper = stage.keep("app");
    stage.recorder.finds("a", Check::FileMissing).await;
    stage.put("later/on", &a);
    stage.serves(&a).await;
    stage.put("later/on", &b);
    stage.serves(&b).await;
}

#[tokio::test]
async fn a_loop_of_links_is_a_finding_until_it_is_broken() {
    let [a] = issued();
    let stage = Stage::new();
    stage.put("app", &a);
    stage.link("../loop/two", "loop/one");
    stage.link("../loop/one", "loop/two");
    stage.link("../loop/one", "app/tls.key");
    let _keeper = stage.keep("app");
    stage.recorder.finds("a", Check::FileUnreadable).await;
    fs::write(stage.path("loop/key"), &a.key_pem).unwrap();
    stage.link("key", "loop/two");
    stage.serves(&a).await;
}

#[tokio::test]
async fn as_many_links_as_the_kernel_follows_are_followed() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("end", &a);
    stage.link("../end", "way/1");
    (2..=40).for_each(|n| stage.link(&format!("../way/{}", n - 1), &format!("way/{n}")));
    let _keeper = stage.keep("way/40");
    stage.serves(&a).await;
    stage.put("end", &b);
    stage.serves(&b).await;
    stage.put("other", &a);
    stage.link("../other", "way/1");
    stage.serves(&a).await;
}

#[tokio::test]
async fn a_chmod_behind_data_is_on_record_at_once() {
    let [a] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    for mode in [0o600, 0o640, 0o444] {
        set_mode(volume.file("..data/tls.key"), mode);
        let record = |told: &Told| told.latest("a")?.key_access.as_ref().map(|record| record.access.mode);
        recorder.until("its mode", |told| record(told).filter(|found| *found == mode)).await;
    }
    assert_eq!(recorder.read(|told| told.published("a").len()), 1);
}

#[tokio::test]
async fn files_that_are_written_in_place_behind_data_are_published_once_they_are_whole() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (a, b) = (old.issue_dns("a.example.org"), new.issue_dns("a.example.org"));
    let bundle = new.ca_pem().to_owned() + old.ca_pem();
    let volume = KubeletVolume::new(&a.files().with("ca.crt", &bundle));
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &a).await;
    let write = |file: &str, content: &str| fs::write(volume.file(&format!("..data/{file}")), content).unwrap();
    // Half of the bundle would parse as one that trusts less.
    for _ in 0..5 {
        write("ca.crt", new.ca_pem());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut file = OpenOptions::new().append(true).open(volume.file("..data/ca.crt")).unwrap();
        file.write_all(old.ca_pem().as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    write("tls.key", &b.key_pem);
    write("tls.crt", &b.chain_pem);
    recorder.serves("a", &b).await;
    recorder.read(|told| {
        assert_eq!(told.published("a").len(), 2);
        assert!(told.states.iter().all(|(_, state)| anchors_of(state) == Some(2)), "half a bundle was published");
    });
    volume.swap(&a.files());
    recorder.serves("a", &a).await;
    let took = recorder.read(|told| told.reloads.iter().map(|(_, _, took)| *took).next_back().unwrap());
    assert!(took < Duration::from_millis(90), "a swap had to come to rest: {took:?}");
}

#[tokio::test]
async fn the_directory_that_data_leads_to_is_replaced_under_it() {
    let [a, b] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &a).await;
    let data = volume.path().join(fs::read_link(volume.file("..data")).unwrap());
    let _next = PlainDirectory::at(&volume.file("next"), &b.files());
    fs::rename(&data, volume.file("gone")).unwrap();
    fs::rename(volume.file("next"), &data).unwrap();
    recorder.serves("a", &b).await;
}

#[tokio::test]
async fn a_key_behind_data_is_a_link_to_another_directory() {
    let [a, b] = issued();
    let stage = Stage::new();
    stage.put("hsm", &a);
    let volume = KubeletVolume::at(&stage.path("volume"), &a.files().without("tls.key"));
    symlink(stage.path("hsm/tls.key"), volume.file("..data/tls.key")).unwrap();
    let _keeper = stage.keep("volume");
    stage.serves(&a).await;
    fs::write(volume.file("..data/tls.crt"), &b.chain_pem).unwrap();
    stage.recorder.finds("a", Check::KeyMismatch).await;
    stage.put("hsm", &b);
    stage.serves(&b).await;
}
