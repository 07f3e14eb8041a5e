//! What is said of a directory is what the daemon does with it: its keeper keeps the same directories, configured as an operator does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::finding::Finding;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Keeper, KeeperSettings, Observer, Reload, StateError, WatchProblem};
use evercert_fixtures::{KubeletVolume, PlainDirectory, every_kind};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{only, question};
use crate::config::Config;
use crate::inventory::Accounts;
use crate::inventory::sources::{self, Stay};
use crate::status;

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
    let directories = every_kind();
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
