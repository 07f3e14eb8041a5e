//! The keeper on a machine whose clock, mounts and limits are a test's to set.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use evercert_fixtures::wait::{self, DEADLINE};
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf, PlainDirectory};
use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use tokio::sync::watch;

use super::pace::Pace;
use super::sweep::GIVEN;
use super::system::{Machine, System};
use super::{IdentityState, Keeper, KeeperSettings, Observer, Reload, StateError, WatchProblem};
use crate::clock::Now;
use crate::digest::Digest;
use crate::finding::{Check, Severity};
use crate::identity::IdentityId;
use crate::mount::{Reading, Visit};
use crate::mounts::MountChanges;
use crate::reactor::Reactor;
use crate::spec::{BundleFile, Expectations, FileSet, IdentitySpec};
use crate::watch::{Inotify, Placed};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(30);

/// The machine, but for what a test does to it.
#[derive(Default)]
struct Rigged {
    /// How far the wall clock is ahead, in seconds.
    ahead: AtomicU64,
    /// Directories that do not answer.
    dead: Mutex<HashSet<PathBuf>>,
    revived: Condvar,
    /// No inotify instance can be had.
    no_instance: AtomicBool,
    /// No inotify watch can be had.
    no_watch: AtomicBool,
    /// How many looks waited for a dead directory.
    waiting: AtomicUsize,
    /// The key is mounted by itself, and was deleted where it is mounted from.
    stale: AtomicBool,
    /// Where the list of mounts changes at a test's word; absent: it never does.
    mounts: Mutex<Option<OwnedFd>>,
}

impl Rigged {
    fn kill(&self, directory: &Path) {
        self.dead.lock().insert(directory.to_owned());
    }

    fn revive(&self, directory: &Path) {
        self.dead.lock().remove(directory);
        self.revived.notify_all();
    }

    fn answer(&self, files: &FileSet) {
        let is_dead = |dead: &mut HashSet<PathBuf>| files.paths().any(|file| dead.contains(file.parent().unwrap()));
        let mut dead = self.dead.lock();
        if is_dead(&mut dead) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.revived.wait_while(&mut dead, is_dead);
        }
    }
}

impl System for Rigged {
    fn now(&self) -> Now {
        let now = Machine.now();
        Now { wall: now.wall + Duration::from_secs(self.ahead.load(Ordering::SeqCst)), ..now }
    }

    fn inotify(&self) -> io::Result<Inotify> {
        if self.no_instance.load(Ordering::SeqCst) { Err(Errno::MFILE.into()) } else { Machine.inotify() }
    }

    fn mounts(&self) -> io::Result<MountChanges> {
        let mounts = self.mounts.lock().take();
        mounts.map_or_else(|| Err(Errno::NOENT.into()), MountChanges::of)
    }

    fn place(&self, inotify: &Inotify, files: &FileSet) -> Placed {
        self.answer(files);
        if self.no_watch.load(Ordering::SeqCst) {
            return Placed { interests: Vec::new(), problem: Some(WatchProblem::Exhausted) };
        }
        Machine.place(inotify, files)
    }

    fn visit<'a>(&self, files: &'a FileSet) -> Visit<'a> {
        self.answer(files);
        Machine.visit(files)
    }

    fn read(&self, visit: Visit<'_>) -> Reading {
        let mut reading = Machine.read(visit);
        reading.key.iter_mut().for_each(|key| key.is_stale_mount = self.stale.load(Ordering::SeqCst));
        reading
    }
}

/// The latest an observer was told of each identity, in the order of the last changes.
#[derive(Default)]
struct Recorder {
    states: Mutex<Vec<(IdentityId, Arc<IdentityState>)>>,
    /// How often what is retained could not be written down.
    unwritten: AtomicUsize,
    reloads: Mutex<Vec<Reload>>,
    problems: Mutex<Vec<WatchProblem>>,
    scans: AtomicUsize,
    changes: watch::Sender<()>,
}

impl Recorder {
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        let wait = async {
            while !is_so() {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            panic!("never saw {what}: {:#?}", self.states.lock());
        }
    }

    fn latest(&self, name: &str) -> Option<Arc<IdentityState>> {
        let states = self.states.lock();
        states.iter().rev().find(|(id, _)| *id == id_of(name)).map(|(_, state)| Arc::clone(state))
    }

    fn serves(&self, name: &str, issued: &Issued) -> bool {
        self.latest(name).is_some_and(|state| leaf_of(&state) == Some(Digest::fingerprint(&issued.leaf_der)))
    }

    fn finds(&self, name: &str, check: Check) -> bool {
        self.latest(name).is_some_and(|state| state.findings.iter().any(|finding| finding.check == check))
    }

    async fn until_serves(&self, name: &str, issued: &Issued) {
        self.until(&format!("{name} serve its leaf"), || self.serves(name, issued)).await;
    }

    async fn until_finds(&self, name: &str, check: Check) {
        self.until(&format!("{check} of {name}"), || self.finds(name, check)).await;
    }
}

impl Observer for Recorder {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        self.states.lock().push((id.clone(), state));
        self.changes.send_replace(());
    }

    fn removed(&self, _id: &IdentityId) {}

    fn reload(&self, _id: &IdentityId, result: Reload, _took: Duration) {
        self.reloads.lock().push(result);
        self.changes.send_replace(());
    }

    fn state_unwritten(&self, _id: &IdentityId, _error: &StateError) {
        self.unwritten.fetch_add(1, Ordering::SeqCst);
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.problems.lock().push(problem);
        self.changes.send_replace(());
    }

    fn scanned(&self, _at: SystemTime) {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.changes.send_replace(());
    }
}

fn id_of(name: &str) -> IdentityId {
    IdentityId::node(name.parse().unwrap())
}

fn leaf_of(state: &IdentityState) -> Option<Digest> {
    state.snapshot.as_ref()?.credential().map(|credential| credential.leaf().fingerprint)
}

fn spec(name: &str, directory: &Path) -> IdentitySpec {
    IdentitySpec {
        id: id_of(name),
        files: FileSet::cert_manager(directory),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    }
}

fn leaf(authority: &Authority) -> Issued {
    authority.issue_dns("a.example.org")
}

fn start(system: &Arc<Rigged>, tick: Duration, specs: Vec<IdentitySpec>) -> (Keeper, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let pace =
        Pace { counted: SHORT, unresponsive: SHORT * 4, restless: SHORT * 10, sweep_stuck: SHORT, ..Pace::default() };
    let keeper = Keeper::start_with(
        Arc::clone(system) as Arc<dyn System>,
        pace,
        KeeperSettings { tick, ..KeeperSettings::default() },
        Arc::clone(&recorder) as Arc<dyn Observer>,
        Some(Reactor::start("test").unwrap()),
    );
    keeper.keep(specs);
    (keeper, recorder)
}

#[tokio::test]
async fn the_tick_carries_alone_when_no_instance_can_be_had_and_says_so_once() {
    let authority = Authority::new("root");
    let volume = KubeletVolume::new(&leaf(&authority).files());
    let system = Arc::new(Rigged { no_instance: AtomicBool::new(true), ..Rigged::default() });
    let (_keeper, recorder) = start(&system, SHORT, vec![spec("a", volume.path())]);
    for _ in 0..5 {
        let next = leaf(&authority);
        volume.swap(&next.files());
        recorder.until_serves("a", &next).await;
    }
    assert_eq!(*recorder.problems.lock(), [WatchProblem::Exhausted]);
}

#[tokio::test]
async fn a_tick_looks_at_more_identities_than_a_thread_is_given_at_a_time() {
    let authority = Authority::new("root");
    let (first, next) = (leaf(&authority), leaf(&authority));
    let volumes: Vec<_> = (0..2 * GIVEN + 1).map(|_| KubeletVolume::new(&first.files())).collect();
    let system = Arc::new(Rigged { no_instance: AtomicBool::new(true), ..Rigged::default() });
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path())).collect();
    let (_keeper, recorder) = start(&system, SHORT * 2, specs);
    for n in 0..volumes.len() {
        recorder.until_serves(&format!("n{n}"), &first).await;
    }
    volumes.iter().for_each(|volume| _ = volume.swap(&next.files()));
    for n in 0..volumes.len() {
        recorder.until_serves(&format!("n{n}"), &next).await;
    }
}

#[tokio::test]
async fn an_instance_is_had_at_a_tick_once_there_is_one() {
    let authority = Authority::new("root");
    let first = leaf(&authority);
    let volume = KubeletVolume::new(&first.files());
    let system = Arc::new(Rigged { no_instance: AtomicBool::new(true), ..Rigged::default() });
    // The second tick comes at the earliest when the test is over.
    let tick = Duration::from_secs(2);
    let (_keeper, recorder) = start(&system, tick, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &first).await;
    system.no_instance.store(false, Ordering::SeqCst);
    recorder.until("the tick", || recorder.scans.load(Ordering::SeqCst) == 1).await;
    let began = std::time::Instant::now();
    for _ in 0..5 {
        let next = leaf(&authority);
        volume.swap(&next.files());
        recorder.until_serves("a", &next).await;
    }
    assert!(began.elapsed() < tick, "five swaps were carried by the tick");
}

#[tokio::test]
async fn watches_are_had_at_a_tick_once_there_are_some() {
    let authority = Authority::new("root");
    let first = leaf(&authority);
    let volumes: Vec<_> = (0..3).map(|_| KubeletVolume::new(&first.files())).collect();
    let system = Arc::new(Rigged { no_watch: AtomicBool::new(true), ..Rigged::default() });
    let tick = Duration::from_secs(2);
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path())).collect();
    let (_keeper, recorder) = start(&system, tick, specs);
    for n in 0..3 {
        recorder.until_serves(&format!("n{n}"), &first).await;
    }
    assert_eq!(*recorder.problems.lock(), [WatchProblem::Exhausted], "said once, not for each");
    system.no_watch.store(false, Ordering::SeqCst);
    recorder.until("the tick", || recorder.scans.load(Ordering::SeqCst) == 1).await;
    let began = std::time::Instant::now();
    for (n, volume) in volumes.iter().enumerate() {
        let next = leaf(&authority);
        volume.swap(&next.files());
        recorder.until_serves(&format!("n{n}"), &next).await;
    }
    assert!(began.elapsed() < tick, "the swaps were carried by the tick");
}

#[tokio::test]
async fn a_clock_that_is_set_has_everything_judged_anew() {
    let authority = Authority::new("root");
    let now = SystemTime::now();
    let issued = authority.issue(Leaf::for_dns("a.example.org").valid(now - HOUR, now + HOUR * 24));
    let volume = KubeletVolume::new(&issued.files());
    let system = Arc::new(Rigged::default());
    let (_keeper, recorder) = start(&system, SHORT, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &issued).await;
    assert!(!recorder.finds("a", Check::Expired));
    system.ahead.store(25 * 3600, Ordering::SeqCst);
    recorder.until_finds("a", Check::Expired).await;
    assert!(recorder.serves("a", &issued), "what is served stays, loudly");
    system.ahead.store(0, Ordering::SeqCst);
    recorder.until("the end of the finding", || !recorder.finds("a", Check::Expired)).await;
    assert_eq!(recorder.reloads.lock().len(), 1, "no file was read for it");
}

#[tokio::test]
async fn plain_files_that_never_come_to_rest_are_a_finding() {
    let authority = Authority::new("root");
    let first = leaf(&authority);
    let directory = PlainDirectory::new(&first.files());
    let (_keeper, recorder) = start(&Arc::new(Rigged::default()), HOUR, vec![spec("a", directory.path())]);
    recorder.until_serves("a", &first).await;
    let (path, second) = (directory.path().to_owned(), leaf(&authority));
    let files = second.files();
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let writer = tokio::task::spawn_blocking(move || {
        while !stop.load(Ordering::SeqCst) {
            let _ = PlainDirectory::at(&path, &files);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    recorder.until_finds("a", Check::TornRead).await;
    assert!(recorder.serves("a", &first));
    done.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    recorder.until_serves("a", &second).await;
    recorder.until("the end of the finding", || !recorder.finds("a", Check::TornRead)).await;
}

#[tokio::test]
async fn a_file_whose_mount_is_stale_is_a_warning_until_it_is_not() {
    let first = leaf(&Authority::new("root"));
    let directory = PlainDirectory::new(&first.files());
    let system = Arc::new(Rigged { stale: AtomicBool::new(true), ..Rigged::default() });
    let (keeper, recorder) = start(&system, HOUR, vec![spec("a", directory.path())]);
    recorder.until_serves("a", &first).await;
    let state = recorder.latest("a").unwrap();
    let [finding] = &*state.findings else { panic!("{:?}", state.findings) };
    assert_eq!((finding.check, finding.severity), (Check::StaleFileMount, Severity::Warn));
    assert_eq!(finding.file.as_deref(), Some(&*directory.path().join("tls.key")));
    system.stale.store(false, Ordering::SeqCst);
    keeper.rescan();
    recorder.until("the end of the finding", || !recorder.finds("a", Check::StaleFileMount)).await;
}

#[tokio::test]
async fn what_a_job_brings_for_an_identity_that_is_gone_is_dropped() {
    let authority = Authority::new("root");
    let first = leaf(&authority);
    let (gone, kept) = (KubeletVolume::new(&first.files()), KubeletVolume::new(&first.files()));
    let system = Arc::new(Rigged::default());
    system.kill(gone.path());
    let (keeper, recorder) = start(&system, HOUR, vec![spec("gone", gone.path())]);
    recorder.until_finds("gone", Check::MountUnresponsive).await;
    keeper.keep(vec![spec("kept", kept.path())]);
    recorder.until_serves("kept", &first).await;
    let states = recorder.states.lock().len();
    system.revive(gone.path());
    let next = leaf(&authority);
    kept.swap(&next.files());
    recorder.until_serves("kept", &next).await;
    assert_eq!(recorder.states.lock().len(), states + 1);
}

#[tokio::test]
async fn identities_that_share_a_bundle_file_hold_it_once() {
    let authority = Authority::new("root");
    let trust = PlainDirectory::new(&leaf(&authority).files());
    let issued = leaf(&authority);
    let volumes: Vec<_> = (0..5).map(|_| KubeletVolume::new(&issued.files())).collect();
    let specs = volumes.iter().enumerate().map(|(n, volume)| {
        let mut spec = spec(&format!("n{n}"), volume.path());
        spec.files.bundle = Some(BundleFile::Dedicated(trust.path().join("ca.crt")));
        spec
    });
    let (_keeper, recorder) = start(&Arc::default(), HOUR, specs.collect());
    let mut held = Vec::new();
    for n in 0..5 {
        let name = format!("n{n}");
        recorder.until_serves(&name, &issued).await;
        let state = recorder.latest(&name).unwrap();
        let bundle = state.snapshot.as_ref().unwrap().bundles().own.clone().unwrap();
        let facts = state.on_disk.iter().find(|found| found.file.ends_with("ca.crt")).unwrap().facts.clone();
        held.push((bundle, facts));
    }
    for (bundle, facts) in &held[1..] {
        assert!(Arc::ptr_eq(bundle, &held[0].0) && Arc::ptr_eq(facts, &held[0].1));
    }
}

mod dead_mounts;
mod keys;
mod mounting;
mod overlap;
mod pairs;
mod slot;
