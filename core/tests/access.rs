//! The permissions to read a file are noted with its content.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::check::{self, Verdict};
use evercert_core::clock::Now;
use evercert_core::finding::Check;
use evercert_core::identity::IdentityId;
use evercert_core::lifecycle::{Event, IdentityState, Lifecycle, Reload};
use evercert_core::material::Material;
use evercert_core::mount::{self, KeyAccess, Route};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercert_core::trusted::Trusted;
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf, PlainDirectory, set_mode};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

const ATTRIBUTE: &str = "system.posix_acl_access";

fn set() -> Files {
    Files::new().with("tls.crt", "chain").with("tls.key", "key")
}

fn of_key(directory: &Path) -> Option<Arc<KeyAccess>> {
    mount::read(&FileSet::cert_manager(directory)).key.unwrap().access
}

fn spec(files: FileSet) -> IdentitySpec {
    let id = IdentityId::node("x".parse().unwrap());
    IdentitySpec { id, files, expectations: Expectations::default(), overlap: Duration::ZERO }
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
    assert_eq!(access.acl, None);
    set_mode(&key, 0o640);
    assert_eq!(of_key(directory.path()).unwrap().access.mode, 0o640);
}

/// The last of the directories on the way to the key, and its mode.
fn last_directory(directory: &Path) -> (PathBuf, u32) {
    let access = of_key(directory).unwrap();
    let last = access.route.directories().last().unwrap();
    (last.path(), last.access().mode)
}

#[test]
fn the_directories_of_the_way_are_noted_as_they_were_and_a_chmod_of_one_changes_the_stamp() {
    let volume = KubeletVolume::new(&set());
    let home = volume.path().canonicalize().unwrap();
    let (data, files) = (home.join("..data").canonicalize().unwrap(), FileSet::cert_manager(volume.path()));
    set_mode(&data, 0o750);
    let stamp = mount::read(&files).stamp;
    assert_eq!(last_directory(volume.path()), (data.clone(), 0o750));
    let access = of_key(volume.path()).unwrap();
    let all: Vec<_> = access.route.directories().map(evercert_core::mount::Directory::path).collect();
    let mut above: Vec<_> = data.ancestors().map(Path::to_owned).collect();
    above.reverse();
    assert_eq!(all, above);
    assert_eq!(mount::visit(&files).stamp().clone(), stamp, "nothing changed");
    set_mode(&home, 0o711);
    assert_ne!(mount::visit(&files).stamp().clone(), stamp, "somebody else may search it");
    assert_eq!(mount::visit(&files).stamp().clone(), mount::read(&files).stamp);
}

#[test]
fn what_has_no_content_has_no_readers() {
    let directory = PlainDirectory::new(&set().without("tls.key"));
    assert!(of_key(directory.path()).is_none());
    fs::create_dir(directory.path().join("tls.key")).unwrap();
    assert!(of_key(directory.path()).is_none());
}

/// An ACL that lets user 1234 read, and everybody else do this.
fn acl(others: u16) -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let nobody = u32::MAX;
    let entries = [(0x01, 6, nobody), (0x02, 4, 1234), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, others, nobody)];
    let entries = entries.map(|(tag, permissions, id)| entry(tag, permissions, id)).concat();
    [&2_u32.to_le_bytes()[..], &entries].concat()
}

#[test]
fn an_acl_is_noted_as_the_kernel_gives_it() {
    let directory = PlainDirectory::new(&set());
    let key = directory.path().join("tls.key");
    set_mode(&key, 0o600);
    let acl = acl(0);
    match rustix::fs::setxattr(&key, ATTRIBUTE, &acl, XattrFlags::empty()) {
        Ok(()) => assert_eq!(of_key(directory.path()).unwrap().access.acl.as_deref(), Some(&acl[..])),
        // Not every file system has any.
        Err(errno) => assert_eq!(errno, Errno::OPNOTSUPP),
    }
}

/// Whether the way to all that a state tells of leads through a directory of this name, and the way to its key.
fn leads_through(state: &IdentityState, name: &str) -> (bool, bool) {
    let leads = |route: &Route| route.directories().any(|directory| directory.path().ends_with(name));
    (leads(&state.route), state.key_access.as_ref().is_some_and(|record| leads(&record.route)))
}

#[test]
fn the_way_to_what_is_served_stays_on_record_for_as_long_as_that_is_served() {
    let authority = Authority::new("root.example.org");
    let issue = || authority.issue(Leaf::for_dns("a.example.org")).files();
    let (own, next) = (PlainDirectory::new(&issue()), issue());
    let closed = own.path().join("closed");
    let _ = PlainDirectory::at(&closed, &next);
    let spec = Arc::new(spec(FileSet::cert_manager(own.path())));
    let mut lifecycle = Lifecycle::new(Arc::clone(&spec));
    let mut read = || {
        let material = Material::parse(&spec, mount::read(&spec.files));
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        let reload = lifecycle.handle(Event::Read { material, final_try: true }, now).reload.unwrap();
        (reload, leads_through(lifecycle.state(), "closed"))
    };
    let put = |name: &str, file: &dyn Fn(&Path)| {
        fs::remove_file(own.path().join(name)).unwrap();
        file(&own.path().join(name));
    };
    let former = fs::read(own.path().join("tls.key")).unwrap();
    assert_eq!(read(), (Reload::Published, (false, false)));
    for name in ["tls.crt", "tls.key"] {
        put(name, &|file| symlink(closed.join(name), file).unwrap());
    }
    assert_eq!(read(), (Reload::Published, (true, true)));
    put("tls.key", &|file| fs::write(file, &former).unwrap());
    assert_eq!(read(), (Reload::Rejected, (true, true)), "what was read before is served on");
    put("tls.crt", &|file| fs::write(file, next.content("tls.crt").unwrap()).unwrap());
    put("tls.key", &|file| fs::write(file, next.content("tls.key").unwrap()).unwrap());
    assert_eq!(read(), (Reload::Unchanged, (false, false)), "the same, and read by another way");
    put("ca.crt", &|file| symlink("closed/nothing", file).unwrap());
    assert_eq!(read().1, (true, false), "what is found of another file comes by another way than the key");
}

/// Whether the files in this directory are told to have a key that everybody can read.
fn is_exposed(directory: &Path) -> bool {
    let spec = spec(FileSet::cert_manager(directory));
    is_told_exposed(&spec)
}

fn is_told_exposed(spec: &IdentitySpec) -> bool {
    let material = Material::parse(spec, mount::read(&spec.files));
    let assessment = check::assess(spec, &material, &Trusted::default(), SystemTime::now());
    assert!(matches!(assessment.credential, Verdict::Admitted(_)), "{:?}", assessment.findings);
    assessment.findings.iter().any(|finding| finding.check == Check::KeyWorldReadable)
}

#[test]
fn a_key_is_exposed_where_file_and_directories_let_everybody_and_no_kubelet_put_it_there() {
    let issued = Authority::new("root.example.org").issue(Leaf::for_dns("a.example.org")).files();
    let home = tempfile::tempdir().unwrap();
    let open = |directory: &Path| set_mode(directory, 0o755);
    open(home.path());
    let lets_everybody = |directory: &Path| fs::metadata(directory).unwrap().mode() & 0o001 != 0;
    // Whoever runs this may have a temporary directory to which nobody else gets: nothing in it is exposed then.
    let reachable = home.path().canonicalize().unwrap().ancestors().all(lets_everybody);

    let plain = home.path().join("plain");
    let _ = PlainDirectory::at(&plain, &issued);
    let key = plain.join("tls.key");
    open(&plain);
    set_mode(&key, 0o644);
    assert_eq!(is_exposed(&plain), reachable);
    set_mode(&plain, 0o750);
    assert!(!is_exposed(&plain), "the directory keeps others out");
    open(&plain);
    set_mode(&key, 0o640);
    assert!(!is_exposed(&plain));
    for (others, is_open) in [(0, false), (4, true)] {
        match rustix::fs::setxattr(&key, ATTRIBUTE, &acl(others), XattrFlags::empty()) {
            Ok(()) => assert_eq!(is_exposed(&plain), is_open && reachable),
            // Not every file system has any.
            Err(errno) => assert_eq!(errno, Errno::OPNOTSUPP),
        }
    }

    let (closed, linked) = (home.path().join("closed"), home.path().join("linked"));
    let _ = PlainDirectory::at(&closed, &issued);
    set_mode(closed.join("tls.key"), 0o644);
    let _ = PlainDirectory::at(&linked, &issued);
    fs::remove_file(linked.join("tls.key")).unwrap();
    symlink("../closed/tls.key", linked.join("tls.key")).unwrap();
    open(&linked);
    for (mode, is_open) in [(0o755, true), (0o700, false)] {
        set_mode(&closed, mode);
        assert_eq!(is_exposed(&linked), is_open && reachable, "what a link leads through counts");
    }

    let volume = home.path().join("volume");
    let _ = KubeletVolume::at(&volume, &issued);
    assert!(!is_exposed(&volume), "0644 is the kubelet's default");
    let mut spec = spec(FileSet::cert_manager(&volume));
    spec.files.volumes = vec![volume];
    assert!(!is_told_exposed(&spec));
    spec = self::spec(FileSet::cert_manager(&plain));
    set_mode(&key, 0o644);
    spec.files.volumes = vec![plain];
    assert!(!is_told_exposed(&spec), "nor is what a driver wrote an operator's");
}
