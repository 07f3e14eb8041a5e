//! Who could read a file is noted with its content.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use evercert_core::mount::{self, FileId, KeyAccess};
use evercert_core::spec::FileSet;
use evercert_fixtures::{Files, KubeletVolume, PlainDirectory};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

const ATTRIBUTE: &str = "system.posix_acl_access";

fn set() -> Files {
    Files::new().with("tls.crt", "chain").with("tls.key", "key")
}

fn of_key(directory: &Path) -> Option<Arc<KeyAccess>> {
    mount::read(&FileSet::cert_manager(directory)).key.unwrap().access
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn owner_group_and_mode_are_those_of_the_file_and_a_chmod_is_seen() {
    let directory = PlainDirectory::new(&set());
    let key = directory.path().join("tls.key");
    set_mode(&key, 0o600);
    let before = of_key(directory.path()).unwrap();
    let metadata = fs::metadata(&key).unwrap();
    let access = &before.access;
    assert_eq!((access.owner, access.group, access.mode), (metadata.uid(), metadata.gid(), 0o600));
    assert_eq!((before.id, &access.acl), (FileId::of(&metadata), &None));
    set_mode(&key, 0o640);
    let after = of_key(directory.path()).unwrap();
    assert_eq!((after.access.mode, after.id), (0o640, before.id));
}

#[test]
fn a_file_that_replaced_another_is_certainly_not_the_same() {
    let volume = KubeletVolume::new(&set());
    let before = of_key(volume.path()).unwrap();
    assert_eq!(of_key(volume.path()).unwrap(), before);
    assert_eq!(before.id.is_certainly(&before.id), before.id.birth.is_some());
    volume.swap(&set());
    assert!(!of_key(volume.path()).unwrap().id.is_certainly(&before.id));
    let unborn = FileId { birth: None, ..before.id };
    assert!(!unborn.is_certainly(&unborn), "its number may be that of a file that is gone");
}

#[test]
fn what_has_no_content_has_no_readers() {
    let directory = PlainDirectory::new(&set().without("tls.key"));
    assert!(of_key(directory.path()).is_none());
    fs::create_dir(directory.path().join("tls.key")).unwrap();
    assert!(of_key(directory.path()).is_none());
}

#[test]
fn an_acl_is_noted_as_the_kernel_gives_it() {
    let directory = PlainDirectory::new(&set());
    let key = directory.path().join("tls.key");
    set_mode(&key, 0o600);
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let nobody = u32::MAX;
    let entries = [(0x01, 6, nobody), (0x02, 4, 1234), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody)];
    let entries = entries.map(|(tag, permissions, id)| entry(tag, permissions, id)).concat();
    let acl = [&2_u32.to_le_bytes()[..], &entries].concat();
    match rustix::fs::setxattr(&key, ATTRIBUTE, &acl, XattrFlags::empty()) {
        Ok(()) => assert_eq!(of_key(directory.path()).unwrap().access.acl.as_deref(), Some(&acl[..])),
        // Not every file system has any.
        Err(errno) => assert_eq!(errno, Errno::OPNOTSUPP),
    }
}
