//! The generated code in the repository is what the files in `proto` make. To write it anew:
//! `EVERCERT_REGENERATE=1 cargo test -p evercert-tests --test generated_code`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

#[test]
fn the_committed_code_is_what_the_protos_make() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for (proto, code) in [("testing.proto", "grpc.testing.rs"), ("conformance.proto", "connectrpc.conformance.v1.rs")] {
        let descriptors = protox::compile([proto], [root.join("proto")]).unwrap();
        let out = tempfile::tempdir().unwrap();
        tonic_prost_build::configure().out_dir(out.path()).build_transport(false).compile_fds(descriptors).unwrap();
        let made = fs::read(out.path().join(code)).unwrap();
        let committed = root.join("src/generated").join(code);
        if std::env::var_os("EVERCERT_REGENERATE").is_some() {
            fs::write(&committed, &made).unwrap();
        }
        let found = fs::read(&committed).unwrap_or_default();
        assert!(found == made, "{} is not what {proto} makes; see the top of this test", committed.display());
    }
}
