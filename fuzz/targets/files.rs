//! Whatever an identity's files hold: parsing and assessing them never panics, what is admitted can be published, and a bundle never
//! shrinks in silence.
#![no_main]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use evercert_core::check::assess;
use evercert_core::finding::{Finding, Severity};
use evercert_core::trusted::Trusted;
use evercert_core::identity::IdentityId;
use evercert_core::material::Material;
use evercert_core::mount::{self, FileRead, Reading, Route};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec, Usage};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

/// Between the files of one input.
const SEPARATOR: u8 = 0x1e;

/// The name of the bundle's file.
const BUNDLE: &str = "ca.crt";

/// The BEGIN line of a certificate in PEM.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == SEPARATOR);
    let mut expectations = Expectations::default();
    expectations.usages = vec![Usage::ServerAuth];
    expectations.dns_names = vec!["a.example.org".to_owned()];
    let spec = IdentitySpec {
        id: IdentityId::node("fuzz".parse().expect("a name")),
        files: FileSet::cert_manager(Path::new("/nonexistent")),
        expectations,
        overlap: IdentitySpec::OVERLAP,
    };
    let bundle = input.split(|byte| *byte == SEPARATOR).nth(2).unwrap_or_default();
    // In DER the same bytes may be the content of a name.
    let certificates = match bundle {
        [0x30, ..] => 0,
        text => text.windows(BEGIN.len()).filter(|window| *window == BEGIN).count(),
    };
    let mut file = |name: &str| {
        parts.next().map(|part| FileRead {
            path: PathBuf::from(name),
            outcome: Ok(Zeroizing::new(part.to_vec())),
            access: None,
            route: Route::default(),
            is_stale_mount: false,
        })
    };
    let reading = Reading {
        chain: file("tls.crt"),
        key: file("tls.key"),
        bundle: file(BUNDLE),
        crls: file("ca.crl").into_iter().collect(),
        federated: Vec::new(),
        stamp: mount::visit(&spec.files).stamp().clone(),
    };
    let material = Material::parse(&spec, reading);
    for seconds in [0, 1_800_000_000, 4_000_000_000] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let assessment = assess(&spec, &material, &Trusted::default(), now);
        assert!(assessment.next_change.is_none_or(|next| next > now));
        let is_of_bundle = |file: &Path| file.file_name() == Some(BUNDLE.as_ref());
        let rejects = |finding: &Finding| {
            finding.severity == Severity::Reject && finding.file.as_deref().is_some_and(is_of_bundle)
        };
        let read = material.on_disk().iter().filter(|certificate| is_of_bundle(&certificate.file)).count();
        assert!(
            read >= certificates || assessment.findings.iter().any(rejects),
            "{read} of {certificates} certificates"
        );
    }
});
