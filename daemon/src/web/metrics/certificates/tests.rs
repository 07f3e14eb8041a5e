use std::sync::Arc;
use std::time::Duration;

use evercert_core::certificate::{CertificateFacts, SubjectAltNames};
use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::lifecycle::Lifecycle;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

use super::*;
use crate::web::metrics::identities::SubscriberCounts;

/// A certificate with this common name, the serial number 1 and this fingerprint, which ends so many seconds after 1970.
fn certificate(common_name: &str, fingerprint: [u8; 32], end: u64) -> CertificateOnDisk {
    let mut facts = CertificateFacts::supposed(SubjectAltNames::default());
    (facts.subject.common_name, facts.serial) = (common_name.to_owned(), "1".to_owned());
    (facts.fingerprint, facts.not_after) =
        (Digest::from(fingerprint), SystemTime::UNIX_EPOCH + Duration::from_secs(end));
    CertificateOnDisk { file: Path::new("/certs/ca.crt").into(), line: None, facts: facts.into() }
}

fn row(certificates: Vec<CertificateOnDisk>) -> Row {
    let id = IdentityId::node("x".parse().unwrap());
    let spec = IdentitySpec {
        id: id.clone(),
        files: FileSet::cert_manager("/certs".as_ref()),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    };
    let mut state = IdentityState::clone(Lifecycle::new(Arc::new(spec)).state());
    state.on_disk = certificates.into();
    Row {
        id,
        pod: None,
        state: Some(state.into()),
        reloads: Default::default(),
        bundle_life: None,
        federated: Arc::default(),
        is_rejected: false,
        rotated: None,
        subscribers: SubscriberCounts::default(),
    }
}

fn told(rows: &[Row], limit: usize) -> (Vec<String>, Certificates) {
    let certificates = Certificates::of(rows, limit);
    let mut text = String::new();
    (0..certificates.parts()).for_each(|part| certificates.write(part, rows, SystemTime::now(), &mut text));
    let ends = text.lines().filter(|line| line.starts_with("x509_cert_not_after{")).map(str::to_owned).collect();
    (ends, certificates)
}

fn fingerprint(first: u8) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint[0] = first;
    fingerprint
}

#[test]
fn one_certificate_in_one_file_has_one_series_however_many_identities_read_it() {
    let same = || certificate("CA", fingerprint(1), 100);
    let (ends, certificates) = told(&[row(vec![same(), same()]), row(vec![same()])], 10);
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert!(!ends[0].contains("discriminator"), "{ends:?}");
    assert_eq!((certificates.twins.told_apart, certificates.twins.dropped), (0, 0));
}

#[test]
fn twins_are_told_apart_by_the_label_discriminator_and_others_do_not_have_it() {
    let twins = vec![certificate("CA", fingerprint(1), 100), certificate("CA", fingerprint(2), 200)];
    let (ends, certificates) = told(&[row(twins), row(vec![certificate("Other", fingerprint(3), 300)])], 10);
    assert_eq!(ends.len(), 3, "{ends:?}");
    for (part, end) in [("discriminator=\"01000000\"", "} 100"), ("discriminator=\"02000000\"", "} 200")] {
        assert!(ends.iter().any(|line| line.contains(part) && line.ends_with(end)), "{part} in {ends:?}");
    }
    assert!(ends.iter().any(|line| line.contains("Other") && !line.contains("discriminator")), "{ends:?}");
    assert_eq!((certificates.twins.told_apart, certificates.twins.dropped), (1, 0));
}

#[test]
fn of_twins_that_nothing_tells_apart_the_one_with_the_sooner_end_is_told() {
    let alike = |last: u8| {
        let mut fingerprint = fingerprint(1);
        fingerprint[31] = last;
        fingerprint
    };
    let twins = |ends: [u64; 3]| {
        ends.iter().zip(0..).map(|(end, last)| certificate("CA", alike(last), *end)).collect::<Vec<_>>()
    };
    for ends in [[300, 100, 200], [100, 200, 300], [300, 200, 100]] {
        let (told, certificates) = told(&[row(twins(ends))], 10);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with("} 100"), "{told:?}");
        assert_eq!(certificates.twins.dropped, 2);
    }
}

#[test]
fn names_that_differ_in_what_is_cut_off_alone_are_twins_and_no_two_series_are_the_same() {
    let long = |end: char| format!("{}{end}", "a".repeat(5000));
    let (ends, _) = told(
        &[row(vec![certificate(&long('b'), fingerprint(1), 100), certificate(&long('c'), fingerprint(2), 200)])],
        10,
    );
    let labels: HashSet<_> = ends.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!((ends.len(), labels.len()), (2, 2), "{ends:?}");
}

#[test]
fn over_the_limit_those_that_end_first_are_told_and_the_others_counted() {
    let many = (1..=9).map(|n| certificate(&format!("CA {n}"), fingerprint(n), 1000 - u64::from(n))).collect();
    let (ends, certificates) = told(&[row(many)], 2);
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends[0].ends_with("} 992") && ends[1].ends_with("} 991"), "{ends:?}");
    assert_eq!(certificates.left_out.certificates, 7);
}
