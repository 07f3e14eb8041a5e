mod rules;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::mpsc;

use evercert_core::identity::IdentityId;
use evercert_core::spec::{Expectations, IdentitySpec};
use evercert_fixtures::set_mode;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::denial::RuleMismatch;
use super::permissions::{Acl, Permissions, Wish};
use super::route::decide;
use super::*;

const ALICE: u32 = 1000;
const STAFF: u32 = 50;

fn caller(uid: u32, gids: &[u32]) -> Caller {
    Caller::new(1, uid, gids.to_vec())
}

/// A process of uid 1000 that is there.
pub(crate) fn caller_in(origin: Origin) -> Caller {
    caller(ALICE, &[ALICE]).of_origin(origin)
}

fn permissions(owner: u32, group: u32, mode: u32) -> Permissions {
    Permissions { owner, group, mode, acl: None }
}

/// The way to the files of `state`, as it is now.
fn sight(state: &IdentityState) -> Sight {
    mount::look(&state.spec.files).unwrap()
}

/// An identity's directory with a key of this mode, all of them of uid 1000, and its state as it is read.
fn home(mode: u32) -> (tempfile::TempDir, IdentityState) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tls.key"), "").unwrap();
    set_mode(home.path(), 0o755);
    set_mode(home.path().join("tls.key"), mode);
    let mut state = state(&home.path().canonicalize().unwrap());
    read(&mut state);
    (home, state)
}

/// Has the key file read, and what is served be of it.
fn read(state: &mut IdentityState) {
    let key = mount::read(&state.spec.files).key.unwrap();
    (state.key_access, state.route) = (key.access, key.route);
}

/// Not the owner of any of the files.
fn stranger() -> Caller {
    caller(4_000_000, &[4_000_001])
}

fn state(directory: &Path) -> IdentityState {
    let id = IdentityId::node("x".parse().unwrap());
    let files = FileSet::cert_manager(directory);
    IdentityState {
        spec: Arc::new(IdentitySpec {
            id,
            files,
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        }),
        snapshot: None,
        published_at: None,
        findings: Arc::default(),
        on_disk: Arc::default(),
        crls: Arc::default(),
        overlap: Arc::default(),
        key_access: None,
        route: mount::Route::default(),
    }
}

#[test]
fn the_first_class_that_fits_the_caller_decides() {
    let cases = [
        (0o400, ALICE, 7, true),
        (0o040, 1, STAFF, true),
        (0o004, 1, 7, true),
        (0o040, ALICE, STAFF, false),
        (0o004, 1, STAFF, false),
        (0o440, 1, 7, false),
    ];
    for (mode, uid, gid, granted) in cases {
        let file = permissions(ALICE, STAFF, mode);
        assert_eq!(file.grant(&caller(uid, &[gid]), Wish::Read), granted, "{mode:o} {uid} {gid}");
    }
}

#[test]
fn a_denial_names_the_rule_the_caller_the_file_and_its_mode() {
    let (home, state) = home(0o400);
    let key = home.path().canonicalize().unwrap().join("tls.key");
    let (owner, group) = fs::metadata(&key).map(|file| (file.uid(), file.gid())).unwrap();
    let denied = decide(&stranger(), &sight(&state), &state).unwrap_err();
    assert_eq!(
        denied.to_string(),
        format!(
            "readers: uid 4000000 (gids 4000001) may not read {} (owner {owner}:{group}, mode 0400)",
            key.display()
        )
    );
}

#[test]
fn a_directory_that_may_not_be_searched_stops_the_caller_and_nothing_is_told_of_what_is_behind_it() {
    let (home, mut state) = home(0o644);
    let closed = home.path().canonicalize().unwrap().join("closed");
    fs::create_dir_all(closed.join("within")).unwrap();
    let link = home.path().join("tls.key");
    fs::write(closed.join("key"), "").unwrap();
    symlink("/dev/null", closed.join("device")).unwrap();
    symlink("circle", closed.join("circle")).unwrap();
    symlink("/proc/self/status", closed.join("proc")).unwrap();
    set_mode(&closed, 0o700);
    let mut told = std::collections::BTreeSet::new();
    for name in ["key", "nothing", "device", "circle", "proc", "within", "within/deeper", "key/further"] {
        fs::remove_file(&link).unwrap();
        symlink(closed.join(name), &link).unwrap();
        read(&mut state);
        told.insert(decide(&stranger(), &sight(&state), &state).unwrap_err().to_string());
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told.first().unwrap().contains(&format!("may not search {} (", closed.display())), "{told:#?}");
}

#[test]
fn the_way_by_which_the_key_was_read_counts_as_well_as_the_one_that_there_is_now() {
    let (home, mut state) = home(0o644);
    let directory = home.path().canonicalize().unwrap();
    assert!(decide(&stranger(), &sight(&state), &state).is_ok());
    set_mode(&directory, 0o700);
    let denied = decide(&stranger(), &sight(&state), &state).unwrap_err();
    assert!(matches!(&denied, RuleMismatch::NotAReader { path, .. } if *path == directory), "{denied}");
    read(&mut state);
    set_mode(&directory, 0o755);
    let denied = decide(&stranger(), &sight(&state), &state).unwrap_err();
    assert!(matches!(&denied, RuleMismatch::NotAReaderThen { path, .. } if *path == directory), "{denied}");
    read(&mut state);
    assert!(decide(&stranger(), &sight(&state), &state).is_ok());
    // Nor does a file that anybody may read by now make the one readable that was read.
    set_mode(directory.join("tls.key"), 0o600);
    read(&mut state);
    fs::remove_file(directory.join("tls.key")).unwrap();
    fs::write(directory.join("tls.key"), "").unwrap();
    set_mode(directory.join("tls.key"), 0o644);
    assert!(matches!(decide(&stranger(), &sight(&state), &state), Err(RuleMismatch::NotAReaderThen { .. })));
    state.route = mount::Route::default();
    state.key_access = None;
    assert!(decide(&stranger(), &sight(&state), &state).is_ok(), "nothing is served");
}

#[test]
fn a_link_in_the_place_of_another_file_may_lead_nowhere_either_that_the_caller_may_not_go() {
    let (home, state) = home(0o644);
    let closed = home.path().canonicalize().unwrap().join("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o700);
    for name in ["ca.crt", "tls.crt"] {
        symlink("closed/nothing", home.path().join(name)).unwrap();
        let denied = decide(&stranger(), &sight(&state), &state).unwrap_err();
        assert!(matches!(&denied, RuleMismatch::NotAReader { path, .. } if *path == closed), "{denied}");
        fs::remove_file(home.path().join(name)).unwrap();
    }
    assert!(decide(&stranger(), &sight(&state), &state).is_ok());
}

impl DecisionObserver for () {
    fn decided(&self, _: DecisionReason, _: Duration) {}

    fn line_left_out(&self) {}
}

#[tokio::test]
async fn root_may_have_everything_and_the_overflow_user_nothing() {
    let attestor = Attestor::new(Arc::new(()));
    let state = state(Path::new("/nonexistent"));
    assert_eq!(attestor.decide(&caller(0, &[]), &state, &Wanted::default()).await.unwrap(), Grant::Root);
    let denied = attestor.decide(&caller(65_534, &[0]), &state, &Wanted::default()).await.unwrap_err();
    assert_eq!(denied.reason(), DecisionReason::UnknownUser, "{denied}");
    assert!(!permissions(0, 65_534, 0o040).grant(&caller(1, &[65_534]), Wish::Read));
}

#[test]
fn the_overflow_group_gives_nobody_more_than_both_to_be_in_it_and_not_to_be() {
    const NONE: u32 = u32::MAX;
    let nobody = caller(1, &[65_534]);
    // A group that is kept out is kept out, though it cannot be told which one it is.
    assert!(!permissions(0, 65_534, 0o604).grant(&nobody, Wish::Read));
    assert!(permissions(0, 65_534, 0o644).grant(&nobody, Wish::Read));
    assert!(permissions(0, STAFF, 0o604).grant(&nobody, Wish::Read));
    let entries = [(0x01, 6, NONE), (0x04, 4, NONE), (0x08, 0, 65_534), (0x10, 7, NONE), (0x20, 4, NONE)];
    let listed = Permissions { acl: Some(acl(&entries)), ..permissions(0, STAFF, 0o674) };
    assert!(!listed.grant(&nobody, Wish::Read));
    assert!(listed.grant(&caller(1, &[STAFF, 65_534]), Wish::Read));
    assert!(listed.grant(&caller(1, &[7]), Wish::Read));
}

/// Entries as `linux/posix_acl_xattr.h` lays them out.
fn acl(entries: &[(u16, u8, u32)]) -> Acl {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::from(*permissions).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Acl::parse(&bytes).unwrap()
}

#[test]
fn an_acl_decides_where_there_is_one() {
    const NONE: u32 = u32::MAX;
    let entries = [(0x01, 6, NONE), (0x02, 4, 1001), (0x04, 0, NONE), (0x08, 4, 60), (0x10, 4, NONE), (0x20, 0, NONE)];
    let file = |acl| Permissions { acl: Some(acl), ..permissions(ALICE, STAFF, 0o640) };
    let given = file(acl(&entries));
    let granted = |file: &Permissions, uid, gids: &[u32]| file.grant(&caller(uid, gids), Wish::Read);
    assert!(granted(&given, ALICE, &[]));
    assert!(granted(&given, 1001, &[]));
    assert!(granted(&given, 1002, &[60]));
    // The mode's group bits are the mask: they do not speak for the owning group.
    assert!(!granted(&given, 1002, &[STAFF]));
    assert!(granted(&given, 1002, &[STAFF, 60]));
    assert!(!granted(&given, 1002, &[7]));
    let mut masked = entries;
    masked[4].1 = 0;
    assert!(!granted(&file(acl(&masked)), 1001, &[60]));
    assert!(granted(&file(acl(&masked)), ALICE, &[]));
    assert!(Acl::parse(&[2, 0, 0, 0, 1]).is_err());
    assert!(Acl::parse(&[3, 0, 0, 0]).is_err());
}

proptest! {
    #[test]
    fn an_acl_that_says_the_same_as_a_mode_decides_the_same(mode in 0_u32..0o1000, uid in 0_u32..3, gid in 0_u32..3) {
        let bits = |shift: u32| (mode >> shift) as u8 & 7;
        let plain = permissions(1, 1, mode);
        let entries = [(0x01, bits(6), 0), (0x04, bits(3), 0), (0x20, bits(0), 0)];
        let listed = Permissions { acl: Some(acl(&entries)), ..plain.clone() };
        for wish in [Wish::Read, Wish::Search] {
            prop_assert_eq!(plain.grant(&caller(uid, &[gid]), wish), listed.grant(&caller(uid, &[gid]), wish));
        }
    }
}

#[test]
fn the_way_goes_through_whatever_data_is_and_absolute_and_relative_links() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    fs::create_dir_all(home.join("volume/..1")).unwrap();
    fs::create_dir_all(home.join("elsewhere")).unwrap();
    fs::write(home.join("elsewhere/key"), "").unwrap();
    symlink(home.join("elsewhere/../elsewhere/key"), home.join("volume/..1/tls.key")).unwrap();
    symlink("..1", home.join("volume/..data")).unwrap();
    set_mode(home.join("elsewhere/key"), 0o440);

    let state = state(&home.join("volume"));
    let now = sight(&state);
    assert_eq!(now.file, home.join("elsewhere/key"));
    assert_eq!(now.access.unwrap().access.mode, 0o440);
    let passed: Vec<_> = now.route.directories().map(mount::Directory::path).collect();
    for directory in ["volume", "volume/..1", "elsewhere"] {
        assert!(passed.contains(&home.join(directory)), "{directory} of {passed:?}");
    }

    fs::remove_file(home.join("elsewhere/key")).unwrap();
    let now = sight(&state);
    assert!(now.access.is_err());
    assert_eq!(now.file, home.join("elsewhere/key"));

    // A directory of this name is read through as a link is.
    fs::remove_file(home.join("volume/..data")).unwrap();
    fs::rename(home.join("volume/..1"), home.join("volume/..data")).unwrap();
    fs::write(home.join("volume/tls.key"), "").unwrap();
    assert_eq!(sight(&state).file, home.join("elsewhere/key"));
}

#[tokio::test]
async fn a_changed_mode_changes_the_next_decision() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("tls.key");
    fs::write(&key, "").unwrap();
    let (attestor, state) = (Attestor::new(Arc::new(())), state(home.path()));
    let me = caller(fs::metadata(&key).unwrap().uid().max(1), &[]);
    let set = |file: &Path, mode| set_mode(file, mode);
    set(home.path(), 0o711);
    set(&key, 0o444);
    assert_eq!(attestor.decide(&me, &state, &Wanted::default()).await.unwrap(), Grant::Rule(Rule::Readers));
    set(&key, 0o000);
    assert_eq!(
        attestor.decide(&me, &state, &Wanted::default()).await.unwrap_err().reason(),
        DecisionReason::NotAReader
    );
    fs::remove_file(&key).unwrap();
    assert!(attestor.decide(&me, &state, &Wanted::default()).await.unwrap_err().is_missing());
    assert_eq!(attestor.turns.living(), 0);
}

#[tokio::test]
async fn a_mount_that_does_not_answer_holds_up_nobody_else() {
    let (release, hung) = mpsc::channel::<()>();
    let hung = Mutex::new(hung);
    let (_home, readable) = home(0o444);
    let look = move |files: &FileSet| {
        if files.deciding().unwrap().starts_with("/hung") {
            let _ = hung.lock().recv();
        }
        mount::look(&readable.spec.files)
    };
    let attestor = Attestor::looking_with(Arc::new(()), Arc::new(look), Duration::from_millis(100));
    let (mut hung, mut fine) = (state(Path::new("/hung")), state(Path::new("/fine")));
    for (state, name) in [(&mut hung, "hung"), (&mut fine, "fine")] {
        Arc::make_mut(&mut state.spec).id = IdentityId::node(name.parse().unwrap());
    }
    let caller = caller(1000, &[]);
    let wanted = Wanted::default();
    let callers = futures_util::future::join_all((0..200).map(|_| attestor.decide(&caller, &hung, &wanted)));
    for decision in callers.await {
        assert!(decision.unwrap_err().is_unanswered());
    }
    // 200 callers of the hung one cost one thread, so there is one for the other.
    assert_eq!(attestor.looks.free(), THREADS - 1);
    assert_eq!(attestor.decide(&caller, &fine, &Wanted::default()).await.unwrap(), Grant::Rule(Rule::Readers));
    release.send(()).unwrap();
}

#[tokio::test]
async fn more_dead_mounts_than_looks_at_once_hold_up_nobody_else() {
    let (release, hung) = mpsc::channel::<()>();
    let hung = Mutex::new(hung);
    let (_home, readable) = home(0o444);
    let look = move |files: &FileSet| {
        if files.deciding().unwrap().starts_with("/hung") {
            let _ = hung.lock().recv();
        }
        mount::look(&readable.spec.files)
    };
    let attestor = Attestor::looking_with(Arc::new(()), Arc::new(look), Duration::from_millis(100));
    let named = |name: String, directory: &str| {
        let mut state = state(Path::new(directory));
        Arc::make_mut(&mut state.spec).id = IdentityId::node(name.parse().unwrap());
        state
    };
    let caller = caller(1000, &[]);
    let dead: Vec<_> = (0..LOOKS + 4).map(|i| named(format!("dead{i}"), "/hung")).collect();
    let wanted = Wanted::default();
    for _ in 0..2 {
        let callers = futures_util::future::join_all(dead.iter().map(|state| attestor.decide(&caller, state, &wanted)));
        for decision in callers.await {
            assert!(decision.unwrap_err().is_unanswered());
        }
    }
    assert_eq!(attestor.looks.free(), THREADS - dead.len());
    assert_eq!(
        attestor.decide(&caller, &named("fine".to_owned(), "/fine"), &Wanted::default()).await.unwrap(),
        Grant::Rule(Rule::Readers)
    );
    drop(release);
}
