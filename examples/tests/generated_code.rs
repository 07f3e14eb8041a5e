//! The generated code in the repository is what `proto/greeter.proto` makes. To write it anew:
//! `EVERCERT_REGENERATE=1 cargo test -p evercert-examples --test generated_code`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

use prost::Message as _;

#[test]
fn the_committed_code_and_descriptors_are_what_the_proto_makes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(["greeter.proto"], [root.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("greeter.v1.bin"), descriptors.encode_to_vec()).unwrap();
    tonic_prost_build::configure().out_dir(out.path()).build_transport(false).compile_fds(descriptors).unwrap();
    for name in ["greeter.v1.rs", "greeter.v1.bin"] {
        let made = fs::read(out.path().join(name)).unwrap();
        let committed = root.join("src/generated").join(name);
        if std::env::var_os("EVERCERT_REGENERATE").is_some() {
            fs::write(&committed, &made).unwrap();
        }
        let found = fs::read(&committed).unwrap_or_default();
        assert!(found == made, "{} is not what the .proto file makes; see the top of this test", committed.display());
    }
}
