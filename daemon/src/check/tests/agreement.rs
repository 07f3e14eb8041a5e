//! What is said of a directory is what the daemon does with it: its keeper keeps the same directories, configured as an operator does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::finding::Finding;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Keeper, KeeperSettings, Observer, Reload, StateError, WatchProblem};
use evercert_fixtures::{
    Authority, ExtendedKeyUsagePurpose, Files, Issued, Key, KeyUsagePurpose, KubeletVolume, Leaf, PlainDirectory, odd,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{DAY, only, question};
use crate::config::Config;
use crate::inventory::Accounts;
use crate::inventory::sources::{self, Stay};
use crate::status;

/// Every kind of directory.
fn directories() -> Vec<(&'static str, Files)> {
    let now = SystemTime::now();
    let root = Authority::new("root");
    let between = root.intermediate("between");
    let other = Authority::new("other");
    let leaf = || Leaf::for_dns("a.example.org");
    let valid = |from: SystemTime, to: SystemTime| root.issue(leaf().valid(from, to)).files();
    let (good, below, elsewhere) = (root.issue(leaf()), between.issue(leaf()), other.issue(leaf()));
    let altered = |change: &dyn Fn(&mut Vec<odd::Element>)| {
        let der = root.altered(&good, |fields| change(fields));
        good.files().with("tls.crt", evercert_fixtures::pem("CERTIFICATE", &der))
    };
    let revoked = root.issue(leaf());
    let of = |issued: &Issued| issued.files();
    vec![
        ("empty", Files::new()),
        ("good", of(&good)),
        ("with-an-intermediate", of(&below)),
        ("without-the-intermediate", of(&below).with("tls.crt", &below.leaf_pem)),
        ("without-a-bundle", of(&good).without("ca.crt")),
        ("without-a-key", of(&good).without("tls.key")),
        ("without-a-chain", of(&good).without("tls.crt")),
        ("bundle-alone", Files::new().with("ca.crt", &good.ca_pem)),
        ("foreign-key", of(&good).with("tls.key", &below.key_pem)),
        ("foreign-bundle", of(&good).with("ca.crt", &elsewhere.ca_pem)),
        ("swapped-files", of(&good).with("tls.crt", &good.key_pem).with("tls.key", &good.chain_pem)),
        ("leaf-in-the-bundle", of(&good).with("tls.crt", &good.ca_pem).with("ca.crt", &good.leaf_pem)),
        ("cut-off-chain", of(&good).truncated("tls.crt", 300)),
        ("cut-off-key", of(&good).truncated("tls.key", 60)),
        ("cut-off-bundle", of(&good).truncated("ca.crt", 200)),
        ("empty-bundle", of(&good).with("ca.crt", "")),
        ("empty-chain", of(&good).with("tls.crt", "")),
        ("text-for-a-chain", of(&good).with("tls.crt", "no certificate")),
        ("page-for-a-bundle", of(&good).with("ca.crt", "<html>404</html>")),
        ("leaf-not-first", of(&below).with("tls.crt", between.own_pem() + &below.leaf_pem)),
        ("root-in-the-chain", of(&good).with("tls.crt", good.chain_pem.clone() + &good.ca_pem)),
        ("stray-in-the-chain", of(&good).with("tls.crt", good.chain_pem.clone() + &elsewhere.ca_pem)),
        ("key-in-the-chain", of(&good).with("tls.crt", good.combined_pem())),
        (
            "in-der",
            of(&good).with("tls.crt", &good.leaf_der).with("tls.key", &good.key_der).with("ca.crt", &good.ca_der),
        ),
        ("expired", valid(now - 2 * DAY, now - DAY)),
        ("not-yet-valid", valid(now + DAY, now + 2 * DAY)),
        ("renewal-overdue", valid(now - 60 * DAY, now + 2 * DAY)),
        ("self-signed", Issued::self_signed(leaf()).files()),
        ("a-ca-as-the-leaf", root.issue(leaf().ca()).files()),
        (
            "may-sign",
            root.issue(leaf().key_usages(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign])).files(),
        ),
        ("no-key-usage", root.issue(leaf().key_usages(&[])).files()),
        ("no-extended-key-usage", root.issue(leaf().extended_key_usages(&[])).files()),
        ("any-usage", root.issue(leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::Any])).files()),
        ("code-signing", root.issue(leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::CodeSigning])).files()),
        ("no-name", root.issue(Leaf::new("a")).files()),
        ("spiffe", root.issue(Leaf::new("a").uri("spiffe://example.org/a")).files()),
        (
            "two-spiffe-ids",
            root.issue(Leaf::new("a").uri("spiffe://example.org/a").uri("spiffe://example.org/b")).files(),
        ),
        ("ed25519", root.issue(leaf().key(Key::Ed25519)).files()),
        ("serial-zero", altered(&odd::serial(&[0]))),
        ("serial-negative", altered(&odd::serial(&[0x80]))),
        ("doubled-extension", altered(&odd::first_extension_again)),
        ("version-1", altered(&odd::version_1)),
        ("revoked", of(&revoked).with("ca.crl", root.crl(&[&revoked]).pem)),
        ("crl", of(&good).with("ca.crl", root.crl(&[&revoked]).pem)),
        ("stale-crl", of(&good).with("ca.crl", root.crl_valid(&[], now - 9 * DAY, now - DAY).pem)),
        ("foreign-crl", of(&good).with("ca.crl", other.crl(&[]).pem)),
        ("damaged-crl", of(&good).with("ca.crl", "-----BEGIN X509 CRL-----\nAA\n")),
    ]
}

#[derive(Default)]
struct Recorder {
    states: Mutex<BTreeMap<String, Arc<IdentityState>>>,
    news: Notify,
}

impl Observer for Recorder {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        self.states.lock().insert(id.name.to_string(), state);
        self.news.notify_one();
    }
    fn removed(&self, _: &IdentityId) {}
    fn reload(&self, _: &IdentityId, _: Reload, _: Duration) {}
    fn state_unwritten(&self, _: &IdentityId, _: &StateError) {}
    fn watch_problem(&self, _: WatchProblem) {}
    fn scanned(&self, _: SystemTime) {}
}

/// The state that the daemon's keeper shows of each directory in `root`, once it has shown all.
async fn kept(root: &Path, count: usize) -> BTreeMap<String, Arc<IdentityState>> {
    let text = format!("[watch]\ndirectories = [\"{}/*\"]\n", root.display());
    let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
    let recorder = Arc::new(Recorder::default());
    let keeper = Keeper::start(KeeperSettings::default(), Arc::clone(&recorder) as _);
    keeper.keep(sources::resolve(&config, &[], Stay::All, &Accounts::default()).specs);
    let all = async {
        while recorder.states.lock().len() < count {
            recorder.news.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    recorder.states.lock().clone()
}

/// What is said of a finding, sorted: the order is the reader's.
fn sorted<'f>(findings: impl IntoIterator<Item = &'f status::Finding>) -> Vec<String> {
    let mut told: Vec<_> = findings.into_iter().map(|finding| serde_json::to_string(finding).unwrap()).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_directory_is_what_the_daemon_does_with_it() {
    let root = tempfile::tempdir().unwrap();
    let directories = directories();
    for (name, files) in &directories {
        let _ = PlainDirectory::at(&root.path().join(name), files);
        let _ = KubeletVolume::at(&root.path().join(format!("volume-{name}")), files);
    }
    let states = kept(root.path(), 2 * directories.len()).await;
    let (mut published, mut withheld) = (0, 0);
    for (name, state) in states {
        let judged = only(root.path().join(&name), &question());
        let daemons: Vec<_> = state.findings.iter().map(|finding: &Finding| status::Finding::from(finding)).collect();
        let told = judged.findings.iter().map(|told| &told.finding);
        assert_eq!(sorted(told), sorted(&daemons), "{name}");
        assert_eq!(judged.published, Some(state.snapshot.is_some()), "{name}");
        *if state.snapshot.is_some() { &mut published } else { &mut withheld } += 1;
    }
    assert!(published > 30 && withheld > 30, "{published} published, {withheld} not: both are to be seen");
}
