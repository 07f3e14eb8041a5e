use std::fs;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use evercert_fixtures::set_mode;
use parking_lot::Mutex;

use super::*;
use crate::callers::{POD_NAME_LIMIT, PodName};
use crate::host::memory::DEADLINE;
use crate::inventory::pods::names::Doubt;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
const STATIC: &str = "0123456789abcdef0123456789abcdef";

fn names() -> PodNames {
    let name = Naming::Name(PodName::new("shop", "payments").unwrap());
    [(UID.into(), name), (STATIC.into(), Naming::Doubt(Doubt::LogDirectories))].into_iter().collect()
}

#[test]
fn names_and_doubts_are_read_as_they_were_written_and_nothing_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state").join(FILE);
    assert_eq!(read(&path).unwrap(), PodNames::default());
    write(&path, &PodNames::default()).unwrap();
    write(&path, &names()).unwrap();
    assert_eq!(read(&path).unwrap(), names());
    let expected = format!(
        r#"{{"version":1,"pods":{{"{STATIC}":{{"doubt":"log_directories"}},"{UID}":{{"name":"shop/payments"}}}}}}"#
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    write(&path, &PodNames::default()).unwrap();
    assert!(!path.exists());
}

#[test]
fn what_others_may_have_written_or_is_no_name_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    write(&path, &names()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for (name, other) in [("shop/payments", "shop"), ("shop/payments", "Shop/payments"), ("log_dir", "no_dir")] {
        fs::write(&path, good.replace(name, other)).unwrap();
        assert_eq!(read(&path).unwrap(), PodNames::default(), "{other}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(read(&path).unwrap(), names());
    set_mode(&path, 0o660);
    assert_eq!(read(&path).unwrap(), PodNames::default());
    // The first one is kept for those who find out who wrote it; what is remembered from then on replaces none.
    write(&path, &names()).unwrap();
    let aside = fs::read_to_string(home.path().join("pod-names.json.not-believed")).unwrap();
    assert_eq!(aside, good.replace("shop/payments", "shop"));
}

#[test]
fn as_many_pods_as_may_be_known_fit_into_the_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let longest = "a".repeat(POD_NAME_LIMIT);
    let name = Naming::Name(PodName::new(&longest, &longest).unwrap());
    let uid = |number| format!("{number:08x}-b29f-11e7-9350-020968147796").into();
    let names: PodNames = (0..PODS_LIMIT).map(|number| (uid(number), name.clone())).collect();
    write(&path, &names).unwrap();
    assert_eq!(read(&path).unwrap(), names);
}

/// In a file system that does not answer before it is let.
pub(in crate::inventory::pods) fn hanging(directory: &Path) -> (Memory<PodNames>, Gate) {
    let ((entered, entries), (answers, answer)) = (mpsc::channel(), mpsc::channel());
    let access = Box::new(Hanging { entered, answer: Mutex::new(answer) });
    (with(directory, access), Gate { entries, answers })
}

struct Hanging {
    entered: Sender<At>,
    answer: Mutex<Receiver<()>>,
}

impl Hanging {
    fn wait(&self, at: At) {
        _ = self.entered.send(at);
        _ = self.answer.lock().recv();
    }
}

impl Access<PodNames> for Hanging {
    fn read(&self, path: &Path) -> Result<PodNames, StateError> {
        self.wait(At::Reading);
        read(path)
    }

    fn write(&self, path: &Path, names: &PodNames) -> Result<(), StateError> {
        self.wait(At::Writing);
        write(path, names)
    }
}

fn read(path: &Path) -> Result<PodNames, StateError> {
    StateFile.read(path)
}

fn write(path: &Path, names: &PodNames) -> Result<(), StateError> {
    StateFile.write(path, names)
}

/// The action of a thread at a file system that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inventory::pods) enum At {
    Reading,
    Writing,
}

/// The gate that a thread waits at there.
pub(in crate::inventory::pods) struct Gate {
    entries: Receiver<At>,
    answers: Sender<()>,
}

impl Gate {
    /// Waits until a thread is there.
    pub(in crate::inventory::pods) fn entered(&self) -> At {
        self.entries.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Lets it go on.
    pub(in crate::inventory::pods) fn answer(&self) {
        self.answers.send(()).unwrap();
    }
}

fn named(name: &str) -> PodNames {
    [(UID.into(), Naming::Name(PodName::new("shop", name).unwrap()))].into_iter().collect()
}

#[test]
fn while_a_state_directory_does_not_answer_the_latest_state_waits_for_it_and_nobody_else_does() {
    let home = tempfile::tempdir().unwrap();
    let ((memory, gate), path) = (hanging(home.path()), home.path().join(FILE));
    let began = Instant::now();
    assert_eq!((memory.recall(), gate.entered()), (None, At::Reading));
    assert!(began.elapsed() >= DEADLINE, "the first look waits a moment");
    let began = Instant::now();
    assert_eq!(memory.recall(), None);
    memory.remember(named("unread"));
    assert!(began.elapsed() < DEADLINE, "later ones do not");
    gate.answer();
    memory.wait_until_idle();
    assert_eq!((memory.recall(), read(&path).unwrap()), (Some(PodNames::default()), PodNames::default()));

    memory.remember(named("a"));
    assert_eq!(gate.entered(), At::Writing);
    assert!(["b", "c"].iter().all(|name| memory.remember(named(name))));
    assert_eq!(memory.recall(), Some(named("c")), "what waits to be written is what is remembered");
    for name in ["a", "c"] {
        assert!(gate.entries.try_recv().is_err(), "one at a time");
        gate.answer();
        if name == "a" {
            assert_eq!(gate.entered(), At::Writing);
        } else {
            memory.wait_until_idle();
        }
        assert_eq!(read(&path).unwrap(), named(name));
    }
    memory.remember(named("c"));
    memory.wait_until_idle();
    assert!(gate.entries.try_recv().is_err(), "it is written already");
}

#[test]
fn what_was_not_read_is_not_replaced_and_what_was_not_written_is_written_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    write(&path, &names()).unwrap();
    let memory = of(home.path());
    memory.remember(named("a"));
    memory.wait_until_idle();
    assert_eq!(memory.recall(), Some(names()));
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    for _ in 0..2 {
        memory.remember(named("a"));
        memory.wait_until_idle();
    }
    fs::remove_dir_all(&path).unwrap();
    memory.remember(named("a"));
    memory.wait_until_idle();
    assert_eq!(read(&path).unwrap(), named("a"));
}
