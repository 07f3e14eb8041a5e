use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};

use evercert_fixtures::wait;

use super::*;

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait::blocking(|| is_so().then_some(()), || what.to_owned());
}

#[derive(Debug, thiserror::Error)]
enum Odd {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("it is odd")]
    Odd,
}

fn length(files: &mut Files, path: &Path) -> Result<usize, Odd> {
    let length = files.read(path, 8)?.len();
    if length % 2 == 1 { Err(Odd::Odd) } else { Ok(length) }
}

fn open(path: &Path) -> Result<Followed<usize>, FollowError<Odd>> {
    Followed::open(FileKind::Keys, path, length, |_| {})
}

struct Count(Mutex<Vec<bool>>);

impl Recorder for Count {
    fn record(&self, event: &Event<'_>) {
        if let Event::Reloaded { is_used, .. } = event {
            self.0.lock().push(*is_used);
        }
    }
}

/// Appends to a file, in place.
fn append(path: &Path, content: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(content.as_bytes()).unwrap();
}

/// The length of a file to which two bytes are appended behind each read, until it has eight.
fn length_while_it_is_written(files: &mut Files, path: &Path) -> Result<usize, Odd> {
    let length = length(files, path)?;
    if length > 0 && length < 8 {
        append(path, "11");
    }
    Ok(length)
}

#[test]
fn what_is_being_written_is_not_used_though_it_is_well_formed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "").unwrap();
    let used = Arc::new(Mutex::new(Vec::new()));
    let uses = Arc::clone(&used);
    let told = move |length: &usize| uses.lock().push(*length);
    let followed = Followed::open(FileKind::Keys, &path, length_while_it_is_written, told).unwrap();
    append(&path, "11");
    wait_until("the whole of it is used and told", || used.lock().last() == Some(&8));
    assert_eq!((**followed.current(), used.lock().as_slice()), (8, [0, 8].as_slice()));
}

#[test]
fn at_first_what_is_being_written_is_not_used_either() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "11").unwrap();
    let followed = Followed::open(FileKind::Keys, &path, length_while_it_is_written, |_| {}).unwrap();
    assert_eq!(**followed.current(), 8);
}

#[test]
fn what_changes_all_the_time_is_an_error_at_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let read = |files: &mut Files, path: &Path| {
        let length = length(files, path);
        fs::write(path, "11").unwrap();
        length
    };
    let said = Followed::open(FileKind::Keys, &path, read, |_| {}).unwrap_err().to_string();
    assert!(said.contains("file: it, or one that it names, changes with every look"), "{said}");
}

#[test]
fn files_of_which_one_was_swapped_between_the_reads_are_not_used_together() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, content) in [("file", "old"), ("other", "old"), ("next", "new"), ("next-other", "new")] {
        fs::write(at(name), content).unwrap();
    }
    let read = |files: &mut Files, path: &Path| {
        let one = files.read(path, 8)?;
        let at = |name: &str| path.with_file_name(name);
        if at("next").exists() {
            fs::rename(at("next"), path).unwrap();
            fs::rename(at("next-other"), at("other")).unwrap();
        }
        Ok::<_, Odd>([one, files.read(&at("other"), 8)?].map(|content| content.to_vec()))
    };
    let followed = Followed::open(FileKind::Keys, &at("file"), read, |_| {}).unwrap();
    assert_eq!(**followed.current(), [b"new", b"new"].map(|content| content.to_vec()));
}

#[test]
fn a_file_that_rests_is_used_at_the_first_look() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "11").unwrap();
    let mut files = Files::new();
    length(&mut files, &path).unwrap();
    let now = SystemTime::now();
    assert!(!files.rest(None, now));
    assert!(!files.rest(None, now - Duration::from_secs(3600)), "it is of the future");
    assert!(files.rest(None, now + Duration::from_secs(3)));
    assert!(files.rest(Some(&files), now));
    append(&path, "11");
    assert!(!files.rest(None, now + Duration::from_secs(3)) && !files.rest(Some(&files), now));
}

#[test]
fn a_reader_that_panics_leaves_the_last_good_one_is_told_once_and_reads_what_comes_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "11").unwrap();
    let panics = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&panics);
    let read = move |files: &mut Files, path: &Path| match length(files, path) {
        Ok(4) => {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("of four");
        }
        length => length,
    };
    let (followed, count) =
        (Followed::open(FileKind::Keys, &path, read, |_| {}).unwrap(), Arc::new(Count(Mutex::default())));
    followed.record_to(count.clone());
    fs::write(&path, "4444").unwrap();
    wait_until("it has panicked again", || {
        followed.look();
        panics.load(Ordering::Relaxed) >= 3
    });
    assert_eq!(**followed.current(), 2);
    fs::write(&path, "666666").unwrap();
    wait_until("what came then is used and told", || **followed.current() == 6 && count.0.lock().len() > 1);
    assert_eq!(*count.0.lock(), [false, true]);
}

#[test]
fn a_swap_of_the_directory_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, content) in [("one", "11"), ("two", "2222")] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("file"), content).unwrap();
    }
    symlink("one", at("..data")).unwrap();
    symlink("..data/file", at("file")).unwrap();
    let followed = open(&at("file")).unwrap();
    assert_eq!(**followed.current(), 2);
    symlink("two", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    followed.look();
    wait_until("the swap is seen", || **followed.current() == 4);
}

#[test]
fn what_cannot_be_used_leaves_the_last_good_one_and_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "11").unwrap();
    let (followed, count) = (open(&path).unwrap(), Arc::new(Count(Mutex::default())));
    followed.record_to(count.clone());
    fs::write(&path, "333").unwrap();
    wait_until("it is told", || {
        followed.look();
        *count.0.lock() == [false]
    });
    assert_eq!(**followed.current(), 2);
    fs::remove_file(&path).unwrap();
    wait_until("its absence is told", || {
        followed.look();
        *count.0.lock() == [false, false]
    });
    fs::write(&path, "4444").unwrap();
    wait_until("it is used and told", || {
        followed.look();
        **followed.current() == 4 && count.0.lock().len() > 2
    });
    assert_eq!(*count.0.lock(), [false, false, true]);
}

#[test]
fn at_first_what_cannot_be_read_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let said = |path: &Path| open(path).unwrap_err().to_string();
    assert!(said(&path).contains("file: cannot be read"), "{}", said(&path));
    fs::write(&path, "123456789").unwrap();
    assert!(said(&path).ends_with("has more than 8 bytes, which is more than is read"), "{}", said(&path));
    assert!(said(directory.path()).ends_with("is not a regular file"), "{}", said(directory.path()));
}

#[test]
fn its_thread_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "11").unwrap();
    let followed = open(&path).unwrap();
    let shared = Arc::downgrade(&followed.shared);
    drop(followed);
    wait_until("its thread has ended", || shared.strong_count() == 0);
}
