//! Reading sets that are swapped, written and broken meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use evercert_core::mount::{self, FILE_LIMIT, FileRead, ReadError};
use evercert_core::spec::{BundleFile, CredentialFiles, FileSet};
use evercert_fixtures::{Files, KubeletVolume, PlainDirectory, SwapOrder, as_nobody, make_fifo, set_mode};
use proptest::prelude::*;

fn set(mark: &str) -> Files {
    Files::new().with("tls.crt", mark).with("tls.key", mark).with("ca.crt", mark)
}

fn content(file: &Option<FileRead>) -> &[u8] {
    file.as_ref().unwrap().outcome.as_ref().unwrap()
}

fn error(file: &Option<FileRead>) -> &ReadError {
    file.as_ref().unwrap().outcome.as_ref().unwrap_err()
}

/// The contents, if all three files were read.
fn whole(files: &FileSet) -> Option<[Vec<u8>; 3]> {
    let reading = mount::read(files);
    let mut contents = [reading.chain, reading.key, reading.bundle].map(|file| file.unwrap().outcome.ok());
    contents.iter().all(Option::is_some).then(|| contents.each_mut().map(|content| content.take().unwrap().to_vec()))
}

fn open_descriptors() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
}

#[test]
fn a_set_swapped_all_the_time_is_never_torn() {
    for order in [SwapOrder::SymlinksLast, SwapOrder::SymlinksFirst] {
        let volume = KubeletVolume::new(&set("start"));
        let files = FileSet::cert_manager(volume.path());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..1_000 {
                    volume.swap_in(order, &set(&format!("{round}").repeat(200)));
                }
                done.store(true, Ordering::Release);
            });
            let mut reads = 0;
            while !done.load(Ordering::Acquire) {
                if let Some([chain, key, bundle]) = whole(&files) {
                    assert!(chain == key && key == bundle, "a torn set");
                    reads += 1;
                }
            }
            assert!(reads > 100, "only {reads} reads were whole");
        });
        assert!(content(&mount::read(&files).chain).starts_with(b"999"));
    }
}

#[test]
fn a_plain_set_replaced_file_by_file_is_read_whole_or_as_torn() {
    let directory = PlainDirectory::new(&set("start"));
    let files = FileSet::cert_manager(directory.path());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..500 {
                // Less than a page, which the kernel writes at once. A larger file can be seen half-written and at rest for a
                // moment: that is why the keeper waits.
                directory.write(&set(&format!("{round:03}").repeat(1_000)));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            for file in whole(&files).iter().flatten() {
                assert!(file.chunks(3).all(|chunk| chunk == &file[..3]) || file == b"start", "half a file");
            }
        }
    });
    assert!(content(&mount::read(&files).key).starts_with(b"499"));
}

#[test]
fn files_are_read_through_data_and_not_through_the_symlinks_that_users_see() {
    let volume = KubeletVolume::new(&set("new"));
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        fs::remove_file(volume.file(name)).unwrap();
    }
    let reading = mount::read(&FileSet::cert_manager(volume.path()));
    assert_eq!(reading.stamp.last_change(None), None);
    assert_eq!(content(&reading.chain), b"new");
}

#[test]
fn a_path_through_data_follows_the_swaps_like_any_other() {
    let volume = KubeletVolume::new(&set("one"));
    let files = FileSet::cert_manager(&volume.file("..data"));
    let before = mount::read(&files);
    volume.swap(&set("two"));
    let after = mount::read(&files);
    assert_eq!((before.stamp.last_change(None), after.stamp.last_change(None)), (None, None));
    assert_eq!((content(&before.chain), content(&after.chain)), (b"one".as_slice(), b"two".as_slice()));
}

#[test]
fn a_bundle_in_a_volume_of_its_own_is_read_there() {
    let (secret, config_map) = (KubeletVolume::new(&set("secret")), KubeletVolume::new(&set("config map")));
    let files = FileSet {
        bundle: Some(BundleFile::Dedicated(config_map.file("ca.crt"))),
        ..FileSet::cert_manager(secret.path())
    };
    let reading = mount::read(&files);
    assert_eq!(content(&reading.key), b"secret");
    assert_eq!(content(&reading.bundle), b"config map");
    assert_eq!(reading.stamp.last_change(None), None);
    config_map.swap(&set("another"));
    assert_ne!(mount::visit(&files).stamp().clone(), reading.stamp);
    assert_eq!(content(&mount::read(&files).bundle), b"another");
}

#[test]
fn a_combined_file_is_read_once_and_as_the_chain() {
    let volume = KubeletVolume::new(&Files::new().with("tls-combined.pem", "both"));
    let files =
        FileSet { credential: Some(CredentialFiles::Combined(volume.file("tls-combined.pem"))), ..FileSet::default() };
    let reading = mount::read(&files);
    assert_eq!(content(&reading.chain), b"both");
    assert!(reading.key.is_none() && reading.bundle.is_none());
}

#[test]
fn certbots_symlinks_are_followed() {
    let root = tempfile::tempdir().unwrap();
    let archive = PlainDirectory::at(&root.path().join("archive"), &set("one"));
    let live = root.path().join("live");
    fs::create_dir(&live).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(Path::new("../archive").join(name), live.join(name)).unwrap();
    }
    let reading = mount::read(&FileSet::cert_manager(&live));
    assert!(reading.stamp.last_change(None).is_some());
    assert_eq!(content(&reading.key), b"one");
    archive.write(&set("three"));
    assert_eq!(content(&mount::read(&FileSet::cert_manager(&live)).key), b"three");
}

#[test]
fn a_missing_file_is_missing_and_the_others_are_read() {
    for path in [
        KubeletVolume::new(&set("x").without("ca.crt")),
        KubeletVolume::new(&Files::new().with("tls.crt", "x").with("tls.key", "x")),
    ]
    .iter()
    .map(KubeletVolume::path)
    {
        let reading = mount::read(&FileSet::cert_manager(path));
        assert!(matches!(error(&reading.bundle), ReadError::Missing));
        assert_eq!(content(&reading.chain), b"x");
        assert!(!reading.is_partial());
    }
    let plain = PlainDirectory::new(&set("x").without("tls.key"));
    assert!(matches!(error(&mount::read(&FileSet::cert_manager(plain.path())).key), ReadError::Missing));
    let nowhere = mount::read(&FileSet::cert_manager(&plain.path().join("nowhere")));
    assert!(matches!(error(&nowhere.chain), ReadError::Missing));
}

#[test]
fn what_is_no_regular_file_is_refused_without_blocking() {
    let directory = PlainDirectory::new(&Files::new());
    let fifo = directory.path().join("tls.crt");
    make_fifo(&fifo);
    let _listener = UnixListener::bind(directory.path().join("tls.key")).unwrap();
    fs::create_dir(directory.path().join("ca.crt")).unwrap();
    let reading = mount::read(&FileSet::cert_manager(directory.path()));
    for file in [&reading.chain, &reading.key] {
        assert!(matches!(error(file), ReadError::NotRegular), "{file:?}");
    }
    assert!(matches!(error(&reading.bundle), ReadError::IsADirectory), "{:?}", reading.bundle);
}

#[test]
fn a_link_in_a_circle_is_told_as_one() {
    let directory = PlainDirectory::new(&set("x").without("tls.key"));
    std::os::unix::fs::symlink("tls.key", directory.path().join("tls.key")).unwrap();
    let reading = mount::read(&FileSet::cert_manager(directory.path()));
    assert!(matches!(error(&reading.key), ReadError::LinkLoop), "{:?}", reading.key);
}

#[test]
fn a_file_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let limit = usize::try_from(FILE_LIMIT).unwrap();
    let volume = KubeletVolume::new(&set("x").with("tls.crt", vec![b'x'; limit]).with("ca.crt", vec![b'x'; limit + 1]));
    let reading = mount::read(&FileSet::cert_manager(volume.path()));
    assert_eq!(content(&reading.chain).len(), limit);
    assert!(matches!(error(&reading.bundle), ReadError::TooLarge { size, limit } if *size == limit + 1));
}

#[test]
fn a_file_that_may_not_be_read_says_so_and_is_to_be_tried_again() {
    let directory = PlainDirectory::new(&set("x"));
    set_mode(directory.path(), 0o755);
    set_mode(directory.path().join("tls.key"), 0o000);
    let reading = as_nobody(|| mount::read(&FileSet::cert_manager(directory.path())));
    assert_eq!(content(&reading.chain), b"x");
    assert!(matches!(error(&reading.key), ReadError::Io(_)));
    assert!(reading.is_partial());
}

#[test]
fn nothing_stays_open_after_a_read() {
    let volume = KubeletVolume::new(&set("x"));
    let plain = PlainDirectory::new(&set("x"));
    for path in [volume.path(), plain.path()] {
        let files = FileSet::cert_manager(path);
        assert_eq!(mount::read(&files).stamp, mount::visit(&files).stamp().clone());
        assert!(!open_descriptors().iter().any(|open| open.starts_with(path)));
    }
}

#[test]
fn a_stamp_changes_with_every_swap_even_back_to_the_same_content() {
    let volume = KubeletVolume::new(&set("a"));
    let files = FileSet::cert_manager(volume.path());
    let first = mount::visit(&files).stamp().clone();
    assert_eq!(first, mount::visit(&files).stamp().clone());
    assert_eq!(first, mount::read(&files).stamp);
    assert_eq!(first.last_change(None), None, "a kubelet's files need not come to rest");
    volume.swap(&set("b"));
    let second = mount::visit(&files).stamp().clone();
    volume.swap(&set("a"));
    let third = mount::visit(&files).stamp().clone();
    assert!(first != second && second != third && first != third);
}

#[test]
fn a_stamp_tells_of_what_was_changed_in_place_behind_data_and_when() {
    let volume = KubeletVolume::new(&set("a"));
    let files = FileSet::cert_manager(volume.path());
    let first = mount::read(&files).stamp;
    let before = SystemTime::now() - Duration::from_millis(20);
    fs::write(volume.file("..data/tls.key"), "b").unwrap();
    let written = mount::visit(&files).stamp().clone();
    assert_ne!(first, written);
    assert_eq!((written.last_change(None), written.last_change(Some(&written))), (None, None));
    assert!(written.last_change(Some(&first)).unwrap() >= before);
    set_mode(volume.file("..data/tls.key"), 0o600);
    let narrowed = mount::read(&files).stamp;
    assert_ne!(written, narrowed);
    fs::remove_file(volume.file("..data/ca.crt")).unwrap();
    assert_ne!(narrowed, mount::visit(&files).stamp().clone());
    volume.swap(&set("c"));
    let swapped = mount::visit(&files).stamp().clone();
    assert_eq!(swapped.last_change(Some(&narrowed)), None, "a kubelet's files need not come to rest");
}

#[test]
fn a_stamp_tells_an_empty_directory_from_another() {
    let root = tempfile::tempdir().unwrap();
    let (tls, other) = (root.path().join("tls"), root.path().join("other"));
    fs::create_dir(&tls).unwrap();
    fs::create_dir(&other).unwrap();
    let files = FileSet::cert_manager(&tls);
    let first = mount::read(&files).stamp;
    assert_eq!(first, mount::visit(&files).stamp().clone());
    fs::rename(&tls, root.path().join("gone")).unwrap();
    assert_ne!(first, mount::visit(&files).stamp().clone());
    fs::rename(&other, &tls).unwrap();
    assert_ne!(first, mount::visit(&files).stamp().clone());
}

#[test]
fn a_stamp_of_plain_files_tells_when_the_last_one_changed() {
    let before = SystemTime::now() - Duration::from_millis(20);
    let directory = PlainDirectory::new(&set("a"));
    let files = FileSet::cert_manager(directory.path());
    let stamp = mount::visit(&files).stamp().clone();
    assert_eq!(stamp, mount::read(&files).stamp);
    let changed = stamp.last_change(None).unwrap();
    assert!(before <= changed && changed <= SystemTime::now());
    directory.replace(&Files::new().with("ca.crt", "a"));
    assert_ne!(stamp, mount::visit(&files).stamp().clone());
    fs::remove_file(directory.path().join("ca.crt")).unwrap();
    assert_ne!(stamp, mount::visit(&files).stamp().clone());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_written_is_what_is_read(
        chain in prop::collection::vec(any::<u8>(), 0..5_000),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)),
        bundle in prop::option::of(prop::collection::vec(any::<u8>(), 0..70_000)),
        kubelet: bool,
    ) {
        let mut files = Files::new().with("tls.crt", &chain);
        files = key.iter().fold(files, |files, key| files.with("tls.key", key));
        files = bundle.iter().fold(files, |files, bundle| files.with("ca.crt", bundle));
        let volume = kubelet.then(|| KubeletVolume::new(&files));
        let directory = (!kubelet).then(|| PlainDirectory::new(&files));
        let path = volume.as_ref().map(KubeletVolume::path).or(directory.as_ref().map(PlainDirectory::path)).unwrap();
        let reading = mount::read(&FileSet::cert_manager(path));
        prop_assert_eq!(content(&reading.chain), chain);
        prop_assert_eq!(reading.key.unwrap().outcome.ok().map(|key| key.to_vec()), key);
        prop_assert_eq!(reading.bundle.unwrap().outcome.ok().map(|bundle| bundle.to_vec()), bundle);
    }
}

#[test]
fn of_files_in_several_places_none_is_held_open_while_another_place_is_waited_for() {
    let (secret, trust) = (KubeletVolume::new(&set("secret")), KubeletVolume::new(&set("trust")));
    let bundle = Some(BundleFile::Dedicated(trust.path().join("ca.crt")));
    let files = FileSet { bundle, ..FileSet::cert_manager(secret.path()) };
    let visit = mount::visit(&files);
    let is_held = |path: &PathBuf| path.starts_with(secret.path()) || path.starts_with(trust.path());
    assert_eq!(open_descriptors().into_iter().filter(is_held).collect::<Vec<_>>(), Vec::<PathBuf>::new());
    let stamp = visit.stamp().clone();
    assert_eq!(stamp, visit.read().stamp);
}
