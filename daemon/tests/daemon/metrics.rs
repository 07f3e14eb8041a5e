use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use evercert_fixtures::{Authority, Files, KubeletVolume};

use crate::home::Home;

type Labels = BTreeMap<String, String>;

/// A page in Prometheus' text format, parsed so strictly that what Prometheus would refuse fails here.
pub(crate) struct Page {
    samples: Vec<(String, Labels, f64)>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut families = BTreeSet::new();
        let mut series = BTreeSet::new();
        let mut samples = Vec::new();
        let (mut family, mut kind) = (String::new(), String::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').expect(line).0.to_owned();
                assert!(families.insert(family.clone()), "two families of one name: {line}");
                kind.clear();
            } else if let Some(kind_line) = line.strip_prefix("# TYPE ") {
                assert!(kind.is_empty(), "{line}");
                let (name, of) = kind_line.split_once(' ').expect(line);
                assert_eq!(name, family);
                assert!(["counter", "gauge", "histogram"].contains(&of), "{line}");
                kind = of.to_owned();
            } else {
                let (name, labels, value) = sample(line);
                let of_family = match kind.as_str() {
                    "histogram" => {
                        ["_bucket", "_sum", "_count"].iter().any(|suffix| name == format!("{family}{suffix}"))
                    }
                    "counter" => name == family && name.ends_with("_total"),
                    _ => name == family && !name.ends_with("_total"),
                };
                assert!(of_family, "{line} in the {kind} {family}");
                assert!(series.insert((name.clone(), labels.clone())), "twice: {line}");
                samples.push((name, labels, value));
            }
        }
        Self { samples }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.samples.iter().map(|(name, labels, _)| (name.as_str(), labels))
    }

    /// The values of `name` with at least these labels.
    pub(crate) fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let has = |of: &Labels| labels.iter().all(|(key, value)| of.get(*key).is_some_and(|is| is == value));
        self.samples.iter().filter(|(is, of, _)| is == name && has(of)).map(|(_, _, value)| *value).collect()
    }

    /// The one value of `name` with at least these labels.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.values(name, labels);
        assert!(values.len() < 2, "{name} {labels:?}: {values:?}");
        values.first().copied()
    }

    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values(name, labels).iter().sum()
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
    let mut labels = Labels::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (label, value) = inner.split_once("=\"").expect(line);
            assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            let mut text = String::new();
            let mut characters = value.char_indices();
            let end = loop {
                match characters.next().expect(line) {
                    (end, '"') => break end,
                    (_, '\\') => text.push(match characters.next().expect(line).1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, other) => text.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
            inner = &value[end + 1..];
            match inner.strip_prefix(',') {
                Some(more) => inner = more,
                None => break,
            }
        }
        rest = inner.strip_prefix('}').expect(line);
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').expect(line).parse().expect(line))
}

#[test]
fn a_rotation_shows_on_the_page() {
    let ca = Authority::new("Test \"CA\" \\ one");
    let first = ca.issue_dns("server.example.org");
    let volume = KubeletVolume::new(&first.files());
    let home = Home::new(&format!("[[identity]]\nname = \"server\"\npath = {:?}\n", volume.path()));
    let daemon = home.start();
    let server = [("identity", "server"), ("scope", "node")];
    let page = daemon.wait_for_metrics(|page| page.get("evercert_identity_generation", &server) == Some(1.0));
    let chain = volume.file("tls.crt").display().to_string();
    let serial = |issued: &evercert_fixtures::Issued| issued.serial_number().to_string();
    let on_disk = |serial: &str| {
        [("filepath", chain.as_str()), ("filename", "tls.crt"), ("serial_number", serial)]
            .map(|(k, v)| (k, v.to_owned()))
    };
    let get = |page: &Page, name: &str, labels: &[(&str, String)]| {
        page.get(name, &labels.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>())
    };
    let before = on_disk(&serial(&first));
    assert!(get(&page, "x509_cert_not_after", &before).unwrap() > get(&page, "x509_cert_not_before", &before).unwrap());
    assert_eq!(
        get(&page, "x509_cert_not_after", &before),
        page.get("evercert_identity_not_after_timestamp_seconds", &server)
    );
    assert_eq!(get(&page, "x509_cert_expired", &before), Some(0.0));
    assert_eq!(get(&page, "x509_cert_error", &before), Some(0.0));
    let issuer = [("filename", "tls.crt"), ("issuer_CN", "Test \"CA\" \\ one"), ("subject_CN", "server.example.org")];
    assert!(page.get("x509_cert_not_after", &issuer).is_some());
    assert!(page.get("evercert_identity_renewal_due_timestamp_seconds", &server).is_some());
    let ca_end = page.get("x509_cert_not_after", &[("filename", "ca.crt")]);
    assert_eq!(page.get("evercert_identity_bundle_not_after_timestamp_seconds", &server), ca_end);
    assert_eq!(page.get("evercert_ca_not_after_timestamp_seconds", &[]), ca_end);
    assert!(page.get("evercert_ca_not_before_timestamp_seconds", &[]) < ca_end);
    assert_eq!(page.get("evercert_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert_eq!(page.get("evercert_config_last_reload_successful", &[]), Some(1.0));

    let second = ca.issue_dns("server.example.org");
    volume.swap(&second.files());
    // A reload is counted once what it brought is published.
    let published = [("identity", "server"), ("result", "published")];
    let page = daemon.wait_for_metrics(|page| {
        page.get("evercert_identity_reloads_total", &published) == Some(2.0)
            && page.get("evercert_reload_duration_seconds_count", &[]) == Some(2.0)
    });
    assert_eq!(page.get("evercert_identity_generation", &server), Some(2.0));
    assert!(get(&page, "x509_cert_not_after", &on_disk(&serial(&second))).is_some());
    assert!(get(&page, "x509_cert_not_after", &before).is_none(), "the series of the old certificate is gone");

    // A certificate that cannot be parsed takes nothing off the page but itself.
    volume.swap(&second.files().with("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    let page = daemon.wait_for_metrics(|page| page.sum("evercert_identity_finding", &[("check", "unparsable")]) == 1.0);
    assert_eq!(page.get("x509_cert_error", &[("filename", "tls.crt")]), Some(1.0));
    assert_eq!(page.get("x509_read_errors", &[]), Some(1.0));
    assert_eq!(page.get("x509_source_errors_total", &[("reason", "bad_pem"), ("source_kind", "file")]), Some(1.0));
    assert_eq!(page.get("evercert_identity_published", &server), Some(1.0));
    assert_eq!(page.get("evercert_identity_generation", &server), Some(2.0));
    assert_eq!(page.get("evercert_identity_findings", &[("severity", "reject")]), Some(1.0));
}

#[test]
fn every_labelled_counter_starts_at_0_and_no_series_is_there_twice() {
    let ca = Authority::new("Test CA");
    let [a, b] = ["a", "b"].map(|name| KubeletVolume::new(&ca.issue_dns(name).files()));
    let shared = tempfile::tempdir().unwrap();
    let bundle = shared.path().join("bundle.pem");
    // One bundle for two identities, and one certificate twice in it.
    fs::write(&bundle, ca.ca_pem().repeat(2)).unwrap();
    let identity = |name: &str, volume: &KubeletVolume| {
        format!("[[identity]]\nname = \"{name}\"\npath = {:?}\nbundle = {bundle:?}\n", volume.path())
    };
    let home = Home::new(&(identity("a", &a) + &identity("b", &b)));
    let daemon = home.start();
    let page = daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 2.0);
    assert_eq!(page.values("x509_cert_not_after", &[("filename", "bundle.pem")]).len(), 1);
    assert_eq!(page.get("x509_source_bundles", &[]), Some(3.0));
    assert_eq!(page.get("x509_source_up", &[("source_kind", "file")]), Some(1.0));
    for (name, series) in [
        ("evercert_watch_errors_total", 3),
        ("evercert_subscriber_disconnects_total", 8),
        ("x509_source_errors_total", 4),
    ] {
        assert_eq!(page.values(name, &[]), vec![0.0; series], "{name}");
    }
    assert!(page.values("evercert_attestations_total", &[]).len() >= 5);
    assert_eq!(page.values("evercert_identity_findings", &[("identity", "a")]).len(), 3);
    assert_eq!(page.values("evercert_identity_reloads_total", &[("identity", "a")]).len(), 4);
}

#[test]
fn a_missing_file_is_an_error_on_the_page_and_keeps_the_daemon_unready() {
    let ca = Authority::new("Test CA");
    let home = Home::new("");
    let mount = home.path().join("mount");
    home.configure(&format!("[[identity]]\nname = \"late\"\npath = {mount:?}\n"));
    let daemon = home.start();
    let page = daemon.wait_for_metrics(|page| page.get("x509_cert_error", &[("filename", "tls.crt")]) == Some(1.0));
    assert_eq!(page.get("evercert_identity_published", &[("identity", "late")]), Some(0.0));
    assert!(page.sum("x509_source_errors_total", &[("reason", "not_found")]) >= 1.0);
    let (status, body) = daemon.get("/readyz");
    assert_eq!(status, 503);
    assert!(
        body.starts_with("not ready: 0 of 1 identity served, 0 expired, 0 held back, 1 rejected\nlate: file-missing: "),
        "{body}"
    );
    assert_eq!(daemon.get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(daemon.get("/nothing").0, 404);
    assert!(daemon.get("/").1.contains("/metrics"));

    let _volume = KubeletVolume::at(&mount, &ca.issue_dns("late").files());
    let page =
        daemon.wait_for_metrics(|page| page.get("evercert_identity_published", &[("identity", "late")]) == Some(1.0));
    assert_eq!(page.get("x509_read_errors", &[]), Some(0.0));
    assert_eq!(
        daemon.get("/readyz"),
        (200, "ready: 1 of 1 identity served, 0 expired, 0 held back, 0 rejected\n".to_owned())
    );
}

#[test]
fn an_identity_that_only_trusts_is_published_without_a_leaf() {
    let ca = Authority::new("Test CA");
    let volume = KubeletVolume::new(&Files::new().with("bundle.pem", ca.ca_pem()));
    let home = Home::new(&format!("[[identity]]\nname = \"client\"\nbundle = {:?}\n", volume.file("bundle.pem")));
    let daemon = home.start();
    let page =
        daemon.wait_for_metrics(|page| page.get("evercert_identity_published", &[("identity", "client")]) == Some(1.0));
    assert_eq!(page.get("evercert_identity_not_after_timestamp_seconds", &[]), None);
    assert!(page.get("evercert_identity_bundle_not_after_timestamp_seconds", &[]).is_some());
}
