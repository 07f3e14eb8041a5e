//! The generated code and the descriptor set in the repository are what the `.proto` files make. To write them anew:
//! `EVERCERT_REGENERATE=1 cargo test -p evercert-api --test generated_code`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const PROTOS: [&str; 3] = ["evercert/v1/types.proto", "evercert/v1/agent.proto", "evercert/v1/admin.proto"];

/// Messages that carry a key: their `Debug` is written by hand.
const REDACTED: [&str; 2] = ["evercert.v1.Update", "evercert.v1.Update.key"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn compare_or_write(committed: &Path, made: &[u8]) {
    if std::env::var_os("EVERCERT_REGENERATE").is_some() {
        fs::write(committed, made).unwrap();
    }
    let found = fs::read(committed).unwrap_or_default();
    assert!(found == made, "{} is not what the .proto files make; see the top of this test", committed.display());
}

#[test]
fn the_committed_code_and_descriptors_are_what_the_protos_make() {
    let descriptors = protox::compile(PROTOS, [root().join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut config = tonic_prost_build::Config::new();
    // A key is not copied into its message, so that no copy of it is left unwiped.
    config.skip_debug(REDACTED).btree_map(["."]).bytes([".evercert.v1.Update.pkcs8"]);
    tonic_prost_build::configure()
        .out_dir(out.path())
        .build_transport(false)
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds_with_config(descriptors.clone(), config)
        .unwrap();
    let code = fs::read(out.path().join("evercert.v1.rs")).unwrap();
    compare_or_write(&root().join("src/generated/evercert.v1.rs"), &code);
    let mut stripped = descriptors;
    stripped.file.iter_mut().for_each(|file| file.source_code_info = None);
    compare_or_write(&root().join("proto/evercert.v1.binpb"), &stripped.encode_to_vec());
}
