use std::os::unix::fs::PermissionsExt as _;

use evercert_fixtures::{DAY, Entity, now, set_mode};

use super::*;
use crate::test_files::{bundle, spec};

fn overlap(of: &Entity, until: SystemTime) -> Overlap {
    let mut overlap = Overlap::default();
    overlap.replaced(&bundle(&[of]), &[], &bundle(&[]), until);
    overlap
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_saved_is_loaded_and_nothing_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let store = OverlapStore::new(state.clone());
    assert!(store.load(&spec()).unwrap().is_empty());
    let retained = overlap(&Entity::root("old"), now() + DAY);
    store.save(&spec(), &retained).unwrap();
    assert_eq!(store.load(&spec()).unwrap(), retained);
    let [file] = &files(&state)[..] else { panic!("{:?}", files(&state)) };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    store.save(&spec(), &Overlap::default()).unwrap();
    assert!(files(&state).is_empty() && store.load(&spec()).unwrap().is_empty());
}

#[test]
fn what_left_another_file_is_not_retained() {
    let directory = tempfile::tempdir().unwrap();
    let store = OverlapStore::new(directory.path().to_owned());
    store.save(&spec(), &overlap(&Entity::root("old"), now() + DAY)).unwrap();
    let mut moved = spec();
    moved.files.bundle = Some(BundleFile::OfCredential("/elsewhere/ca.crt".into()));
    assert!(store.load(&moved).unwrap().is_empty());
    assert!(store.load(&spec()).unwrap().is_empty(), "nor again when the first file is wanted again");
    store.save(&spec(), &overlap(&Entity::root("old"), now() + DAY)).unwrap();
    moved.files.bundle = Some(BundleFile::Dedicated("/tls/ca.crt".into()));
    assert!(store.load(&moved).unwrap().is_empty());
    assert!(store.load(&spec()).unwrap().is_empty());
}

#[test]
fn a_file_that_is_broken_or_foreign_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = OverlapStore::new(directory.path().to_owned());
    let retained = overlap(&Entity::root("old"), now() + DAY);
    store.save(&spec(), &retained).unwrap();
    let path = files(directory.path()).remove(0);
    let good = fs::read_to_string(&path).unwrap();
    for broken in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"identity\":\"id\"", "\"identity\":\"other\""),
        good.replace("\"certificate\":\"MII", "\"certificate\":\"AAA"),
        good.replace("\"crls\":[]", "\"crls\":[\"AAAA\"]"),
    ] {
        assert_ne!(broken, good);
        fs::write(&path, broken).unwrap();
        assert!(store.load(&spec()).unwrap().is_empty());
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(store.load(&spec()).unwrap(), retained);
    set_mode(&path, 0o622);
    assert!(store.load(&spec()).unwrap().is_empty(), "others could have written it");
    fs::rename(&path, directory.path().join("target")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("target"), &path).unwrap();
    assert!(store.load(&spec()).unwrap().is_empty(), "a symlink leads who knows where");
}

#[test]
fn a_sweep_removes_what_has_ended_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = OverlapStore::new(directory.path().to_owned());
    let root = Entity::root("old");
    store.save(&spec(), &overlap(&root, now() + DAY)).unwrap();
    fs::write(directory.path().join("other.json"), "{}").unwrap();
    fs::write(directory.path().join("overlap-x.json"), "{}").unwrap();
    fs::write(directory.path().join("overlap-x.tmp"), "{").unwrap();
    store.sweep(now());
    assert_eq!(files(directory.path()).len(), 3);
    store.sweep(now() + DAY);
    let left: Vec<_> = files(directory.path());
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(store.load(&spec()).unwrap().is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::write(&state, "").unwrap();
    let store = OverlapStore::new(state.clone());
    let error = store.save(&spec(), &overlap(&Entity::root("old"), now() + DAY)).unwrap_err();
    assert!(error.to_string().contains(state.to_str().unwrap()), "{error}");
    store.sweep(now());
    assert!(store.load(&spec()).unwrap().is_empty());
}

#[test]
fn nothing_of_a_state_file_is_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let store = OverlapStore::new(directory.path().to_owned());
    store.save(&spec(), &overlap(&Entity::root("old"), now() + DAY)).unwrap();
    let path = files(directory.path()).remove(0);
    let good = fs::read_to_string(&path).unwrap();
    let key = evercert_fixtures::key();
    let base64 = Base64::encode_string(key.serialized_der());
    let contents = [
        key.serialize_pem(),
        format!("\"{base64}\""),
        good.replace("\"version\":1", &format!("\"version\":\"{base64}\"")),
        good.replace("\"version\":1", &format!("\"version\":1,\"version\":\"{base64}\"")),
        good.replace("\"anchors\":[", &format!("\"anchors\":[\"{base64}\",")),
        good.replace("\"certificate\":\"", &format!("\"certificate\":\"{base64}")),
        good.replace("\"identity\":\"id", &format!("\"identity\":\"{base64}")),
        good.replace("\"crls\":[", &format!("\"crls\":[\"{base64}\"")),
    ];
    for content in contents {
        fs::write(&path, &content).unwrap();
        let error = match state_file::read::<StoredOverlap>(&path) {
            Ok(Some(state)) if state.identity == spec().id.to_string() => state.overlap().unwrap_err(),
            Ok(_) => UnusableOverlap::OfAnother,
            Err(error) => error.into(),
        };
        let said = format!("{error} {error:?}");
        let pieces = base64.as_bytes().windows(6).map(|piece| std::str::from_utf8(piece).unwrap());
        pieces.for_each(|piece| assert!(!said.contains(piece), "{said}"));
    }
}

#[test]
fn what_cannot_be_written_leaves_what_was_there_and_no_remains_and_tells_the_file_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let store = OverlapStore::new(directory.path().to_owned());
    let first = overlap(&Entity::root("old"), now() + DAY);
    store.save(&spec(), &first).unwrap();
    let path = files(directory.path()).remove(0);
    // Where it is written first there is something else that cannot be removed.
    let temporary = path.with_extension(TEMPORARY);
    fs::create_dir_all(temporary.join("in the way")).unwrap();
    let error = store.save(&spec(), &overlap(&Entity::root("older"), now() + DAY)).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} cannot be written: ", path.display())), "{error}");
    assert_eq!(store.load(&spec()).unwrap(), first);
    fs::remove_dir_all(&temporary).unwrap();
    // The rename fails: what was written for it goes.
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    store.save(&spec(), &first).unwrap_err();
    assert_eq!(files(directory.path()), [path]);
}

#[test]
fn nothing_to_remember_is_no_failure_where_nothing_can_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for state in [file, directory.path().join("gone")] {
        let store = OverlapStore::new(state);
        store.save(&spec(), &Overlap::default()).unwrap();
        assert!(store.load(&spec()).unwrap().is_empty());
    }
}
