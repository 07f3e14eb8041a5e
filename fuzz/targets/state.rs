//! Whatever the files of a state directory hold: names of pods, rotations and anchors that stay trusted are read as a daemon that starts does,
//! and what is not believed tells of nothing, however often it is read.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::lifecycle::retained_in;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercertd::remembered;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Whose state it is: that of the first input is of a file `/x/ca.crt`.
const IDENTITY: &str = "x";

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("there is a directory"));

fuzz_target!(|content: &[u8]| {
    let spec = IdentitySpec {
        id: IdentityId::node(IDENTITY.parse().expect("a name")),
        files: FileSet::cert_manager(Path::new("/x")),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    };
    let overlap = format!("overlap-{}.json", Digest::fingerprint(spec.id.to_string().as_bytes()));
    let files = ["pod-names.json", "rotations.json", &overlap].map(|name| DIRECTORY.path().join(name));
    for file in &files {
        fs::write(file, content).expect("it can be written to");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("it is this process's");
    }
    let read = || {
        let anchors = retained_in(DIRECTORY.path(), &spec).expect("it can be read");
        (remembered(DIRECTORY.path()).expect("it can be read"), anchors)
    };
    let (first, anchors) = read();
    assert_eq!(read(), (first, anchors.clone()), "what is read changes nothing");
    if serde_json::from_slice::<serde_json::Value>(content).is_err() {
        assert_eq!((first, anchors.len()), (evercertd::Remembered::default(), 0), "it is not what was written");
    }
});
