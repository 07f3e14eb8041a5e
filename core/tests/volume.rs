//! Reading volumes that somebody else may write: nothing outside of them is ever read.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evercert_core::mount::{self, FileRead, ReadError, Reading};
use evercert_core::spec::{BundleFile, CredentialFiles, FileSet};
use evercert_fixtures::{Files, KubeletVolume, PlainDirectory, SwapOrder, make_fifo};
use tempfile::TempDir;

fn set(mark: &str) -> Files {
    Files::new().with("tls.crt", mark).with("tls.key", mark).with("ca.crt", mark)
}

/// The files in this directory beneath this root.
fn confined(root: &Path, directory: &str) -> FileSet {
    FileSet { volumes: vec![root.to_owned()], ..FileSet::cert_manager(&root.join(directory)) }
}

fn key(reading: &Reading) -> Result<&[u8], &ReadError> {
    let FileRead { outcome, .. } = reading.key.as_ref().unwrap();
    outcome.as_ref().map(|content| content.as_slice())
}

fn read_key(root: &Path, directory: &str) -> Reading {
    let files = confined(root, directory);
    let reading = mount::read(&files);
    assert_eq!(reading.stamp, mount::visit(&files).stamp().clone(), "what is refused looks the same until it changes");
    assert!(!reading.is_partial(), "it is refused for good");
    reading
}

#[track_caller]
fn assert_outside(root: &Path, directory: &str) {
    let reading = read_key(root, directory);
    assert!(matches!(key(&reading), Err(ReadError::OutsideVolume)), "{:?}", reading.key);
}

/// A volume beside a directory with somebody else's files.
struct Neighbours {
    directory: TempDir,
    volume: PathBuf,
}

impl Neighbours {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("volume");
        let _ = PlainDirectory::at(&volume, &set("own"));
        let other = directory.path().join("other");
        for stolen in [other.clone(), other.join("sub")] {
            let _ = PlainDirectory::at(&stolen, &set("stolen"));
        }
        Self { directory, volume }
    }

    /// With the key being a link.
    fn with_key(target: impl AsRef<Path>) -> Self {
        let neighbours = Self::new();
        fs::remove_file(neighbours.volume.join("tls.key")).unwrap();
        symlink(target, neighbours.volume.join("tls.key")).unwrap();
        neighbours
    }

    fn other(&self) -> PathBuf {
        self.directory.path().join("other")
    }
}

#[test]
fn a_key_that_is_a_link_out_of_the_volume_is_refused() {
    assert_outside(&Neighbours::with_key("/etc/passwd").volume, "");
    assert_outside(&Neighbours::with_key("../other/tls.key").volume, "");
    assert_outside(&Neighbours::with_key("../../../../../../../../../../etc/passwd").volume, "");
    // The files beside it are read, and the link is readable for whoever does not confine.
    let neighbours = Neighbours::with_key("../other/tls.key");
    let reading = read_key(&neighbours.volume, "");
    assert_eq!(reading.chain.unwrap().outcome.unwrap().as_slice(), b"own");
    assert_eq!(key(&mount::read(&FileSet::cert_manager(&neighbours.volume))).unwrap(), b"stolen");
}

#[test]
fn a_key_that_is_a_link_within_the_volume_is_refused_too() {
    assert_outside(&Neighbours::with_key("tls.crt").volume, "");
    assert_outside(&Neighbours::with_key("tls.key").volume, "");
}

#[test]
fn a_link_to_an_open_file_of_this_process_is_refused() {
    let neighbours = Neighbours::new();
    let open = File::open(neighbours.other().join("tls.key")).unwrap();
    let magic = format!("/proc/self/fd/{}", open.as_raw_fd());
    assert_eq!(fs::read(&magic).unwrap(), b"stolen");
    assert_outside(&Neighbours::with_key(magic).volume, "");
}

#[test]
fn data_that_leads_out_of_the_volume_is_refused() {
    let absolute = Neighbours::new();
    for target in [absolute.other(), "../other".into(), "../volume/../other".into(), "/etc".into(), "/proc/self".into()]
    {
        let neighbours = Neighbours::new();
        symlink(&target, neighbours.volume.join("..data")).unwrap();
        assert_outside(&neighbours.volume, "");
    }
}

#[test]
fn a_directory_on_the_way_that_leads_out_of_the_volume_is_refused() {
    for target in ["/etc", "../other", "inner/../../other"] {
        let neighbours = Neighbours::new();
        fs::create_dir(neighbours.volume.join("inner")).unwrap();
        symlink(target, neighbours.volume.join("way")).unwrap();
        assert_outside(&neighbours.volume, "way");
    }
    // The same beneath `..data`, from which not even the volume's own root is reached.
    for target in ["../../other", "/etc", ".."] {
        let volume = KubeletVolume::new(&set("own").with("sub/tls.key", "own"));
        symlink(target, volume.file("..data").join("way")).unwrap();
        assert_eq!(key(&read_key(volume.path(), "sub")).unwrap(), b"own");
        assert_outside(volume.path(), "way");
    }
}

#[test]
fn a_configured_path_that_climbs_out_of_its_volume_is_refused() {
    let neighbours = Neighbours::new();
    assert_outside(&neighbours.volume, "../other");
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let neighbours = Neighbours::new();
    let link = neighbours.directory.path().join("link");
    symlink("other", &link).unwrap();
    assert_outside(&link, "");
    assert_outside(&link, "sub");
}

#[test]
fn what_would_block_or_never_end_is_refused_without_being_opened() {
    assert_outside(&Neighbours::with_key("/dev/zero").volume, "");
    let neighbours = Neighbours::new();
    let volume = &neighbours.volume;
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        fs::remove_file(volume.join(file)).unwrap();
    }
    make_fifo(volume.join("tls.key"));
    let _listener = UnixListener::bind(volume.join("tls.crt")).unwrap();
    fs::create_dir(volume.join("ca.crt")).unwrap();
    let reading = read_key(volume, "");
    for file in [reading.chain, reading.key] {
        assert!(matches!(file.unwrap().outcome, Err(ReadError::NotRegular)));
    }
    assert!(matches!(reading.bundle.unwrap().outcome, Err(ReadError::IsADirectory)));
}

#[test]
fn a_sparse_file_of_two_gibibytes_is_refused_by_its_size() {
    let neighbours = Neighbours::new();
    File::create(neighbours.volume.join("tls.key")).unwrap().set_len(2 << 30).unwrap();
    assert!(
        matches!(key(&read_key(&neighbours.volume, "")), Err(ReadError::TooLarge { size, .. }) if *size == 2 << 30)
    );
}

#[test]
fn what_is_missing_is_missing() {
    let neighbours = Neighbours::new();
    fs::remove_file(neighbours.volume.join("tls.key")).unwrap();
    for (root, directory) in
        [("volume", ""), ("volume", "sub"), ("volume", "tls.crt"), ("nowhere", ""), ("volume/tls.crt", "")]
    {
        let reading = read_key(&neighbours.directory.path().join(root), directory);
        assert!(matches!(key(&reading), Err(ReadError::Missing)), "{root} {directory}: {:?}", reading.key);
    }
}

#[test]
fn a_subdirectory_and_its_volume_are_one_set_however_often_they_are_swapped() {
    for order in [SwapOrder::SymlinksLast, SwapOrder::SymlinksFirst] {
        let files = |mark: &str| {
            let mark = mark.repeat(200);
            Files::new().with("sub/tls.crt", &mark).with("sub/tls.key", &mark).with("other/ca.crt", &mark)
        };
        let volume = KubeletVolume::new(&files("start"));
        let wanted = FileSet {
            bundle: Some(BundleFile::Dedicated(volume.file("other/ca.crt"))),
            ..confined(volume.path(), "sub")
        };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..1_000 {
                    volume.swap_in(order, &files(&format!("{round}.")));
                }
                done.store(true, Ordering::Release);
            });
            let mut whole = 0;
            while !done.load(Ordering::Acquire) {
                let reading = mount::read(&wanted);
                let files = [reading.chain, reading.key, reading.bundle];
                if let [Ok(chain), Ok(key), Ok(bundle)] = files.map(|file| file.unwrap().outcome) {
                    assert!(chain == key && key == bundle, "a torn set");
                    whole += 1;
                }
            }
            assert!(whole > 100, "only {whole} reads were whole");
        });
        assert!(key(&mount::read(&wanted)).unwrap().starts_with(b"999."));
    }
}

#[test]
fn a_volume_is_read_through_data_whatever_the_links_beside_it_lead_to() {
    let volume = KubeletVolume::new(&set("own").with("sub/tls.key", "inner"));
    for name in ["tls.key", "sub"] {
        fs::remove_file(volume.file(name)).unwrap();
        symlink("/etc/passwd", volume.file(name)).unwrap();
    }
    assert_eq!(key(&read_key(volume.path(), "")).unwrap(), b"own");
    assert_eq!(key(&read_key(volume.path(), "sub")).unwrap(), b"inner");
    assert_eq!(key(&read_key(volume.path(), "..data")).unwrap(), b"own");
    assert_eq!(key(&read_key(volume.path(), "..data/sub")).unwrap(), b"inner");
}

#[test]
fn a_file_belongs_to_the_innermost_of_its_volumes_and_others_follow_their_links() {
    let neighbours = Neighbours::with_key("../other/tls.key");
    let outer = neighbours.directory.path();
    let volumes = vec![outer.to_owned(), neighbours.volume.clone(), outer.join("vol")];
    let files = FileSet {
        volumes,
        bundle: Some(BundleFile::Dedicated(outer.join("other/ca.crt"))),
        credential: Some(CredentialFiles::Combined(neighbours.volume.join("tls.key"))),
        ..FileSet::default()
    };
    let reading = mount::read(&files);
    assert!(matches!(reading.chain.unwrap().outcome, Err(ReadError::OutsideVolume)));
    assert_eq!(reading.bundle.unwrap().outcome.unwrap().as_slice(), b"stolen");
    // No root is a prefix of a name.
    let beside = FileSet { volumes: vec![outer.join("vol")], ..FileSet::cert_manager(&neighbours.volume) };
    assert_eq!(key(&mount::read(&beside)).unwrap(), b"stolen");
}

#[test]
fn a_stamp_changes_with_every_swap_and_with_every_file_of_a_plain_volume() {
    let volume = KubeletVolume::new(&set("own").with("sub/tls.key", "a"));
    let files = confined(volume.path(), "sub");
    let first = mount::read(&files).stamp;
    assert_eq!((first.last_change(None), &first), (None, &mount::visit(&files).stamp().clone()));
    volume.swap(&set("own").with("sub/tls.key", "b"));
    assert_ne!(first, mount::visit(&files).stamp().clone());

    let neighbours = Neighbours::new();
    let files = confined(&neighbours.volume, "");
    let first = mount::read(&files).stamp;
    assert!(first.last_change(None).is_some());
    fs::write(neighbours.volume.join("tls.key"), "another").unwrap();
    assert_ne!(first, mount::visit(&files).stamp().clone());
}

#[test]
fn nothing_stays_open_after_a_read() {
    let neighbours = Neighbours::with_key("/etc/passwd");
    let volume = KubeletVolume::new(&set("own"));
    for root in [&neighbours.volume, volume.path()] {
        let _ = read_key(root, "");
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        let open: Vec<_> = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect();
        assert!(!open.iter().any(|open| open.starts_with(root)), "{open:?}");
    }
}
