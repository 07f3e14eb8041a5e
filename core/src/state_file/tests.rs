use std::os::unix::fs::{PermissionsExt as _, symlink};

use evercert_fixtures::set_mode;

use super::*;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl State for Note {
    const VERSION: u32 = 3;
    const LIMIT: u64 = 1024;
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned() }
}

#[test]
fn what_is_written_last_is_read_and_what_is_removed_is_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state/note.json");
    assert_eq!(read::<Note>(&path).unwrap(), None);
    remove(&path).unwrap();
    for text in ["first", "second"] {
        write(&path, &note(text)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(note(text)));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"version":3,"text":"second"}"#);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    remove(&path).unwrap();
    assert_eq!(read::<Note>(&path).unwrap(), None);
}

#[test]
fn a_file_that_others_may_write_that_is_too_large_or_of_another_version_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("note.json");
    write(&path, &note("x")).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        set_mode(&path, mode);
        assert!(matches!(read::<Note>(&path), Err(Unusable::OthersMayWrite)), "{mode:o}");
    }
    write(&path, &note(&"x".repeat(1024))).unwrap();
    assert!(matches!(read::<Note>(&path), Err(Unusable::TooLarge(1024))));
    // The names of the members in another version decide nothing.
    fs::write(&path, r#"{"version":4,"words":[]}"#).unwrap();
    assert!(matches!(read::<Note>(&path), Err(Unusable::Version { found: 4, known: 3 })));
    for malformed in ["", "{\"version\":3,\"text\":\"x", "{\"version\":3}", "{\"text\":\"x\"}"] {
        fs::write(&path, malformed).unwrap();
        assert!(matches!(read::<Note>(&path), Err(Unusable::Malformed { .. })), "{malformed}");
    }
    write(&path, &note("x")).unwrap();
    fs::rename(&path, home.path().join("target")).unwrap();
    symlink(home.path().join("target"), &path).unwrap();
    assert!(matches!(read::<Note>(&path), Err(Unusable::NotAFile)));
}

#[test]
fn what_cannot_be_written_tells_its_file_and_leaves_no_remains() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let path = file.join("note.json");
    let error = write(&path, &note("x")).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} cannot be written: ", path.display())), "{error}");
    assert_eq!(read::<Note>(&path).unwrap(), None);
    remove(&path).unwrap();
    // The rename fails: what was written for it goes.
    let path = home.path().join("note.json");
    fs::create_dir_all(path.join("in the way")).unwrap();
    write(&path, &note("x")).unwrap_err();
    assert!(!path.with_extension(TEMPORARY).exists());
}

#[test]
fn the_advice_is_for_what_failed() {
    for (errno, advice) in [
        (Errno::NOSPC, "make room"),
        (Errno::DQUOT, "make room"),
        (Errno::ROFS, "read-write"),
        (Errno::IO, "is sound"),
        (Errno::ACCESS, "to write"),
    ] {
        let error = StateError { path: "/state/x".into(), reading: false, source: errno.into() };
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn of_files_that_are_not_believed_the_first_is_kept_aside() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("note.json");
    set_aside(&path).unwrap_err();
    for text in ["first", "second"] {
        fs::write(&path, text).unwrap();
        let aside = set_aside(&path).unwrap();
        assert_eq!(aside, home.path().join("note.json.not-believed"));
        assert_eq!(fs::read_to_string(aside).unwrap(), "first");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "second", "it is in its place until another is written");
}
