use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use evercert_fixtures::{Files, KubeletVolume};

use super::*;

/// The inodes that an instance watches, as the kernel tells them.
fn watched(inotify: &Inotify) -> BTreeSet<u64> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", inotify.as_raw_fd())).unwrap();
    let inodes = told.lines().filter_map(|line| line.strip_prefix("inotify ")?.split_once("ino:"));
    inodes.map(|(_, rest)| u64::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap()).collect()
}

#[track_caller]
fn assert_watched(files: &FileSet, directories: &[&Path]) {
    let inotify = Inotify::open().unwrap();
    let placed = inotify.place(files);
    assert_eq!((placed.watches.len(), placed.problem), (directories.len(), None));
    assert_eq!(watched(&inotify), directories.iter().map(|path| fs::metadata(path).unwrap().ino()).collect());
}

fn confined(root: PathBuf, directory: &str) -> FileSet {
    FileSet { volumes: vec![root.clone()], ..FileSet::cert_manager(&root.join(directory)) }
}

#[test]
fn of_a_volume_the_root_alone_is_watched_whatever_links_in_it_lead_to() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, other) = (directory.path().join("volume"), directory.path().join("other"));
    let _ = KubeletVolume::at(&volume, &Files::new().with("sub/tls.crt", "x"));
    fs::create_dir(&other).unwrap();
    symlink(&other, volume.join("way")).unwrap();
    for directory in ["", "sub", "way", "../other", "missing"] {
        assert_watched(&confined(volume.clone(), directory), &[&volume]);
    }
    fs::remove_file(volume.join("..data")).unwrap();
    symlink(&other, volume.join("..data")).unwrap();
    assert_watched(&confined(volume.clone(), ""), &[&volume]);
    // The same path is followed where nothing is confined.
    assert_watched(&FileSet::cert_manager(&volume.join("way")), &[&volume, &other]);
}

#[test]
fn a_volume_that_is_missing_or_a_link_is_waited_for_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    symlink(&other, directory.path().join("link")).unwrap();
    assert_watched(&confined(directory.path().join("link"), "sub"), &[directory.path()]);
    assert_watched(&confined(directory.path().join("missing/volume"), "sub"), &[directory.path()]);
}
