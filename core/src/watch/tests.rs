use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use evercert_fixtures::{Files, KubeletVolume, set_mode};

use super::*;
use crate::spec::CrlFile;

/// The inodes that an instance watches, as the kernel tells them.
fn watched(inotify: &Inotify) -> BTreeSet<u64> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", inotify.as_raw_fd())).unwrap();
    let inodes = told.lines().filter_map(|line| line.strip_prefix("inotify ")?.split_once("ino:"));
    inodes.map(|(_, rest)| u64::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap()).collect()
}

/// Every ancestor of a directory, and itself.
fn way_to(directory: &Path) -> BTreeSet<u64> {
    directory.ancestors().map(|directory| fs::metadata(directory).unwrap().ino()).collect()
}

#[track_caller]
fn assert_watched(files: &FileSet, expected: &BTreeSet<u64>) {
    let inotify = Inotify::open().unwrap();
    let placed = inotify.place(files);
    assert_eq!(placed.problem, None);
    assert_eq!(watched(&inotify), *expected);
    let claimed: BTreeSet<_> = placed.interests.iter().map(|interest| interest.watch).collect();
    assert_eq!(claimed.len(), expected.len(), "each watch is told of");
    assert_eq!(inotify.place(files).interests, placed.interests, "placing again changes nothing");
}

fn inodes<const N: usize>(directories: [&Path; N]) -> BTreeSet<u64> {
    directories.map(|path| fs::metadata(path).unwrap().ino()).into()
}

fn confined(root: PathBuf, directory: &str) -> FileSet {
    FileSet { volumes: vec![root.clone()], ..FileSet::cert_manager(&root.join(directory)) }
}

#[test]
fn of_a_volume_the_root_is_watched_and_what_no_link_out_of_it_leads_to() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, other) = (directory.path().join("volume"), directory.path().join("other"));
    let _ = KubeletVolume::at(&volume, &Files::new().with("sub/tls.crt", "x"));
    let data = volume.join("..data");
    symlink(&other, data.join("way")).unwrap();
    fs::create_dir(&other).unwrap();
    for name in ["", "way", "missing"] {
        assert_watched(&confined(volume.clone(), name), &inodes([&volume, &data]));
    }
    assert_watched(&confined(volume.clone(), "sub"), &inodes([&volume, &data, &data.join("sub")]));
    assert_watched(&confined(volume.clone(), "../other"), &inodes([&volume]));
    fs::remove_file(&data).unwrap();
    symlink(&other, &data).unwrap();
    assert_watched(&confined(volume.clone(), ""), &inodes([&volume]));
    // The same path is followed where nothing is confined.
    let way = &way_to(&volume) | &inodes([&other]);
    assert_watched(&FileSet::cert_manager(&volume), &way);
}

#[test]
fn a_volume_that_is_missing_or_a_link_is_waited_for_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    symlink(&other, directory.path().join("link")).unwrap();
    assert_watched(&confined(directory.path().join("link"), "sub"), &way_to(directory.path()));
    assert_watched(&confined(directory.path().join("missing/volume"), "sub"), &way_to(directory.path()));
}

#[test]
fn every_directory_on_the_way_is_watched_also_from_a_relative_path_and_by_dots() {
    let directory = tempfile::tempdir().unwrap();
    let (app, common) = (directory.path().join("a/app"), directory.path().join("common"));
    fs::create_dir_all(&app).unwrap();
    fs::create_dir(&common).unwrap();
    symlink("../../common/./tls.crt", app.join("tls.crt")).unwrap();
    let way = &way_to(&app) | &inodes([&common]);
    assert_watched(&FileSet::cert_manager(&app), &way);
    assert_watched(&FileSet::cert_manager(&directory.path().join("a/../a/./app")), &way);
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(app.strip_prefix("/").unwrap());
    assert_watched(&FileSet::cert_manager(&relative), &way);
}

#[test]
fn a_loop_of_links_and_more_links_than_the_kernel_follows_come_to_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("app");
    fs::create_dir(&app).unwrap();
    symlink("tls.crt", app.join("tls.crt")).unwrap();
    assert_watched(&FileSet::cert_manager(&app), &way_to(&app));
    let far = directory.path().join("far");
    for n in 0..50 {
        let (here, next) = (far.join(n.to_string()), format!("../{}/tls.key", n + 1));
        fs::create_dir_all(&here).unwrap();
        symlink(next, here.join("tls.key")).unwrap();
    }
    let files = FileSet::cert_manager(&far.join("0"));
    let met = (0..=40).map(|n| fs::metadata(far.join(n.to_string())).unwrap().ino()).collect();
    assert_watched(&files, &(&way_to(&far) | &met));
}

#[test]
fn more_directories_than_are_watched_for_one_are_told_and_left_to_the_tick() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = FileSet::default();
    for n in 0..300 {
        let of_crl = directory.path().join(n.to_string());
        fs::create_dir(&of_crl).unwrap();
        files.crls.push(CrlFile::Dedicated(of_crl.join("ca.crl")));
    }
    let inotify = Inotify::open().unwrap();
    let placed = inotify.place(&files);
    assert_eq!(placed.problem, Some(WatchProblem::Other));
    assert_eq!(watched(&inotify).len(), 256);
}

/// Whether an identity of these files hears anything of what is done.
#[track_caller]
fn hears(files: &FileSet, what: impl FnOnce()) -> bool {
    let (inotify, mut table) = (Inotify::open().unwrap(), Table::new());
    let placed = inotify.place(files);
    assert!(!table.claim(&inotify, 1_u64, &[], &placed.interests));
    what();
    let mut concerned = Vec::new();
    let mut hear = |event: Event<'_>| match event {
        Event::Overflow => panic!("an overflow"),
        Event::Ended(watch) => concerned.extend(table.ended(watch)),
        Event::Directory(watch) => concerned.extend(table.heard(Interest { watch, subject: Subject::Directory })),
        Event::Name(watch, name) => concerned.extend(table.heard(inotify.name(watch, name))),
    };
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut read = || read(&inotify, &mut buffer, &mut hear);
    while read().is_ok() {}
    assert_eq!(read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    !concerned.is_empty()
}

#[test]
fn nothing_but_the_names_on_the_way_is_of_concern() {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("etc/app");
    fs::create_dir_all(&app).unwrap();
    fs::write(app.join("tls.key"), "x").unwrap();
    let (files, etc) = (FileSet::cert_manager(&app), directory.path().join("etc"));
    let touch = |path: &Path| fs::write(path, "y").unwrap();
    let chmod = |path: &Path, mode| set_mode(path, mode);
    assert!(!hears(&files, || {
        touch(&etc.join("other"));
        touch(&directory.path().join("other"));
        touch(&app.join("tls.other"));
        fs::rename(etc.join("other"), etc.join("another")).unwrap();
        fs::remove_file(etc.join("another")).unwrap();
        fs::read(app.join("tls.key")).unwrap();
    }));
    assert!(hears(&files, || touch(&app.join("tls.key"))));
    assert!(hears(&files, || chmod(&app.join("tls.key"), 0o600)));
    assert!(hears(&files, || chmod(&etc, 0o700)), "the next may not be let in");
    assert!(hears(&files, || fs::rename(&etc, directory.path().join("gone")).unwrap()));
}

#[test]
fn of_a_volumes_swap_nothing_but_the_rename_is_of_concern() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    let _ = KubeletVolume::at(&root, &Files::new().with("tls.key", "x"));
    let files = confined(root.clone(), "");
    let old = fs::canonicalize(root.join("..data")).unwrap();
    fs::create_dir(root.join("..next")).unwrap();
    fs::write(root.join("..next/tls.key"), "x").unwrap();
    symlink("..next", root.join("..data_tmp")).unwrap();
    assert!(hears(&files, || fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap()));
    assert!(hears(&files, || fs::write(root.join("..data/tls.key"), "y").unwrap()));
    assert!(!hears(&files, || fs::remove_dir_all(&old).unwrap()));
    let next = root.join("..next");
    assert!(!hears(&files, || fs::remove_dir_all(&next).unwrap()), "a kubelet removes it once nothing leads to it");
}

#[test]
fn what_is_heard_before_it_is_known_whom_it_concerns_has_them_look_again_once() {
    let (inotify, mut table) = (Inotify::open().unwrap(), Table::new());
    let interest = |watch, name: &str| inotify.name(watch, OsStr::new(name));
    let [tls, other] = ["tls", "other"].map(|name| interest(7, name));
    assert!(!table.claim(&inotify, 1_u64, &[], &[tls]));
    assert_eq!(table.heard(tls).collect::<Vec<_>>(), [1]);
    assert_eq!(table.heard(other).count(), 0);
    assert!(table.claim(&inotify, 2, &[], &[tls]), "it was heard while 2 placed its watches, and told to 1 alone");
    assert!(!table.claim(&inotify, 2, &[tls], &[tls]));
    assert!(!table.claim(&inotify, 3, &[], &[interest(8, "tls")]));
    assert_eq!(table.heard(tls).collect::<Vec<_>>(), [1, 2]);
    let itself = Interest { watch: 7, subject: Subject::Directory };
    assert!(!table.claim(&inotify, 2, &[tls], &[itself, tls]));
    assert_eq!(table.ended(7).collect::<Vec<_>>(), [2], "1 hears of it elsewhere");
    assert!(table.claim(&inotify, 1, &[tls], &[tls]), "its watch ended before it was claimed");
    table.forget_early();
    assert!(!table.claim(&inotify, 4, &[], &[tls, other]));
    (0..5000).for_each(|n| _ = table.heard(interest(9, &n.to_string())).count());
    assert!(table.claim(&inotify, 5, &[], &[interest(10, "x")]), "more was heard than is kept");
    assert!(!table.claim(&inotify, 5, &[interest(10, "x")], &[interest(10, "x")]));
}
