use std::fs;
use std::os::unix::fs::symlink;

use evercert_fixtures::{make_fifo, set_mode};

use super::*;

/// An empty directory whose path is free of links.
fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().canonicalize().unwrap();
    (home, path)
}

/// The type of a file, and the directories that were searched beneath `home`.
fn walk(home: &Path, path: &Path) -> (Result<FileType, Errno>, Vec<String>) {
    let mut walk = Walk::default();
    let directory = walk.enter(path.parent().unwrap());
    let looked = directory.and_then(|directory| walk.file(&directory, path.file_name().unwrap()));
    let searched = walk.route().directories().map(Directory::path).collect::<Vec<_>>();
    let beneath = searched.iter().filter_map(|path| path.strip_prefix(home).ok());
    let searched = beneath.map(|path| path.to_str().unwrap().to_owned()).collect();
    (looked.map(|looked| FileType::from_raw_mode(looked.stat.st_mode)), searched)
}

#[test]
fn links_are_followed_and_every_directory_on_the_way_is_noted_once() {
    let (_kept, home) = home();
    fs::create_dir_all(home.join("a/b")).unwrap();
    fs::create_dir_all(home.join("c/d")).unwrap();
    fs::write(home.join("c/d/file"), "").unwrap();
    symlink("../../c", home.join("a/b/relative")).unwrap();
    symlink(home.join("a/b/relative/d/file"), home.join("absolute")).unwrap();
    assert_eq!(
        walk(&home, &home.join("absolute")),
        (Ok(FileType::RegularFile), ["", "a", "a/b", "c", "c/d"].map(String::from).into())
    );
}

#[test]
fn a_name_that_leads_nowhere_ends_the_way_where_it_was_looked_up() {
    let (_kept, home) = home();
    fs::create_dir(home.join("closed")).unwrap();
    fs::write(home.join("file"), "").unwrap();
    symlink("closed/nothing/further", home.join("link")).unwrap();
    assert_eq!(walk(&home, &home.join("link")), (Err(Errno::NOENT), ["", "closed"].map(String::from).into()));
    symlink("file/further", home.join("through-a-file")).unwrap();
    assert_eq!(walk(&home, &home.join("through-a-file")).0, Err(Errno::NOTDIR));
    let mut walk = Walk::default();
    let directory = walk.enter(&home).unwrap();
    assert!(walk.file(&directory, OsStr::new("link")).is_err());
    assert_eq!(walk.end(), Some(home.join("closed/nothing")));
}

#[test]
fn a_circle_of_links_and_one_link_too_many_end_the_way() {
    let (_kept, home) = home();
    symlink("b", home.join("a")).unwrap();
    symlink("a", home.join("b")).unwrap();
    assert_eq!(walk(&home, &home.join("a")).0, Err(Errno::LOOP));
    fs::write(home.join("0"), "").unwrap();
    for n in 1..=LINKS + 1 {
        symlink((n - 1).to_string(), home.join(n.to_string())).unwrap();
    }
    assert_eq!(walk(&home, &home.join(LINKS.to_string())).0, Ok(FileType::RegularFile));
    assert_eq!(walk(&home, &home.join((LINKS + 1).to_string())).0, Err(Errno::LOOP));
    assert!(fs::read(home.join((LINKS + 1).to_string())).is_err(), "as the kernel has it");
}

#[test]
fn beyond_the_root_there_is_only_the_root() {
    let (_kept, home) = home();
    fs::write(home.join("file"), "").unwrap();
    let up = "../".repeat(40) + home.join("file").to_str().unwrap().trim_start_matches('/');
    symlink(up, home.join("link")).unwrap();
    assert_eq!(walk(&home, &home.join("link")), (Ok(FileType::RegularFile), vec![String::new()]));
}

#[test]
fn a_relative_path_begins_where_the_process_is() {
    let up = PathBuf::from("../".repeat(40));
    let (_kept, home) = home();
    fs::write(home.join("file"), "").unwrap();
    let relative = up.join(home.strip_prefix("/").unwrap()).join("file");
    let mut walk = Walk::default();
    let directory = walk.enter(relative.parent().unwrap()).unwrap();
    assert!(walk.file(&directory, OsStr::new("file")).is_ok());
}

#[test]
fn no_way_leads_through_procfs() {
    let (_kept, home) = home();
    fs::write(home.join("file"), "").unwrap();
    let pid = std::process::id();
    for (name, target) in [
        ("root", format!("/proc/{pid}/root{}", home.join("file").display())),
        ("cwd", "/proc/self/cwd/Cargo.toml".to_owned()),
        ("status", "/proc/self/status".to_owned()),
        ("fd", "/dev/fd/0".to_owned()),
    ] {
        symlink(target, home.join(name)).unwrap();
        assert_eq!(walk(&home, &home.join(name)).0, Err(THROUGH_PROCFS), "{name}");
    }
    assert!(fs::metadata(home.join("root")).is_ok(), "the kernel follows it");
}

#[test]
fn devices_fifos_and_directories_are_looked_at_and_not_opened() {
    let (_kept, home) = home();
    let fifo = home.join("fifo");
    make_fifo(&fifo);
    assert_eq!(walk(&home, &fifo).0, Ok(FileType::Fifo));
    assert_eq!(walk(&home, Path::new("/dev/null")).0, Ok(FileType::CharacterDevice));
    fs::create_dir(home.join("directory")).unwrap();
    assert_eq!(walk(&home, &home.join("directory")).0, Ok(FileType::Directory));
}

#[test]
fn the_mode_and_the_acl_of_a_directory_are_noted_from_the_directory_that_was_searched() {
    let (_kept, home) = home();
    let closed = home.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("file"), "").unwrap();
    set_mode(&closed, 0o710);
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let entries = [(0x01, 7, u32::MAX), (0x02, 1, 1234), (0x04, 0, u32::MAX), (0x10, 1, u32::MAX), (0x20, 0, u32::MAX)];
    let entries = entries.map(|(tag, permissions, id)| entry(tag, permissions, id)).concat();
    let acl = [&2_u32.to_le_bytes()[..], &entries].concat();
    let has_acl =
        rustix::fs::setxattr(&closed, "system.posix_acl_access", &acl, rustix::fs::XattrFlags::empty()).is_ok();
    let mut walk = Walk::default();
    let standing = walk.enter(&closed).unwrap();
    walk.file(&standing, OsStr::new("file")).unwrap();
    let route = walk.route();
    let noted = route.directories().last().unwrap();
    assert_eq!((noted.path(), noted.access().mode), (closed.clone(), 0o710));
    assert_eq!(noted.access().acl.as_deref(), has_acl.then_some(&acl[..]));
    // It is another directory by now, and the record is that of the former.
    fs::rename(&closed, home.join("former")).unwrap();
    fs::create_dir(&closed).unwrap();
    assert!(walk.file(&standing, OsStr::new("file")).is_ok());
    assert_eq!(walk.route(), route);
}

#[test]
fn a_directory_that_was_moved_while_it_was_passed_is_not_left_by_its_new_parent() {
    let (_kept, home) = home();
    fs::create_dir_all(home.join("a/b")).unwrap();
    fs::create_dir(home.join("elsewhere")).unwrap();
    let mut walk = Walk::default();
    let inner = walk.enter(&home.join("a/b")).unwrap();
    fs::rename(home.join("a/b"), home.join("elsewhere/b")).unwrap();
    assert_eq!(walk.directory(&inner, Path::new("..")).err(), Some(Errno::AGAIN));
}

#[test]
fn where_everybody_may_make_links_ones_own_are_followed() {
    let (_kept, home) = home();
    let link = linked_in_a_shared_directory(&home);
    assert_eq!(walk(&home, &link).0, Ok(FileType::RegularFile));
}

#[test]
#[ignore = "needs root, to give a link away"]
fn where_everybody_may_make_links_those_of_others_are_not_followed() {
    let (_kept, home) = home();
    let link = linked_in_a_shared_directory(&home);
    std::os::unix::fs::lchown(&link, Some(4_000_000), None).unwrap();
    assert_eq!(walk(&home, &link).0, Err(Errno::ACCESS));
    set_mode(link.parent().unwrap(), 0o755);
    assert_eq!(walk(&home, &link).0, Ok(FileType::RegularFile));
}

/// A link to a file, in a directory that is as `/tmp` is.
fn linked_in_a_shared_directory(home: &Path) -> PathBuf {
    let shared = home.join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o1777);
    fs::write(home.join("file"), "").unwrap();
    symlink("../file", shared.join("link")).unwrap();
    shared.join("link")
}
