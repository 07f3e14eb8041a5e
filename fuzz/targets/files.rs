//! Whatever an identity's files hold: parsing and assessing them never panics, and what is admitted can be published.
#![no_main]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use evercert_core::check::{Trusted, assess};
use evercert_core::identity::IdentityId;
use evercert_core::material::Material;
use evercert_core::mount::{self, FileRead, Reading};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec, Usage};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

/// Between the files of one input.
const SEPARATOR: u8 = 0x1e;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == SEPARATOR);
    let spec = IdentitySpec {
        id: IdentityId::node("fuzz".parse().expect("a name")),
        files: FileSet::cert_manager(Path::new("/nonexistent")),
        expectations: Expectations {
            usages: vec![Usage::ServerAuth],
            dns_names: vec!["a.example.org".to_owned()],
            ..Expectations::default()
        },
        overlap: IdentitySpec::OVERLAP,
    };
    let mut file = |name: &str| {
        parts.next().map(|part| FileRead {
            path: PathBuf::from(name),
            outcome: Ok(Zeroizing::new(part.to_vec())),
            access: None,
            is_stale_mount: false,
        })
    };
    let reading = Reading {
        chain: file("tls.crt"),
        key: file("tls.key"),
        bundle: file("ca.crt"),
        crls: file("ca.crl").into_iter().collect(),
        federated: Vec::new(),
        stamp: mount::stamp(&spec.files),
    };
    let material = Material::parse(&spec, reading);
    for seconds in [0, 1_800_000_000, 4_000_000_000] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let assessment = assess(&spec, &material, &Trusted::default(), now);
        assert!(assessment.next_change.is_none_or(|next| next > now));
    }
});
