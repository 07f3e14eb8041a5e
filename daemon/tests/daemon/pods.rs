use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use evercert_fixtures::{Authority, Files, Issued, KubeletVolume, Leaf, make_fifo};
use rustix::process::Signal;

use crate::home::{Daemon, Home};
use crate::metrics::Page;

const A: &str = "2c48913c-b29f-11e7-9350-020968147796";
const B: &str = "7a1c0d2e-4b5f-4c3d-9e8f-0a1b2c3d4e5f";

/// How soon a pod has to be found, or be gone. No tick comes in these tests: what is found is found by a hint.
const SOON: Duration = Duration::from_secs(1);

/// What a machine that is busy with other tests may add.
const GRACE: Duration = Duration::from_secs(4);

fn home(rest: &str) -> Home {
    let home = Home::new("");
    ["pods", "logs"].iter().for_each(|directory| fs::create_dir(home.path().join(directory)).unwrap());
    configure(&home, rest);
    home
}

fn configure(home: &Home, rest: &str) {
    let at = home.path().display();
    home.configure(&format!(
        "[watch]\ndirectories = []\ntick = \"1h\"\n[kubelet]\ndirectory = \"{at}/pods\"\nlogs = \"{at}/logs\"\n{rest}"
    ));
}

fn place(home: &Home, uid: &str, plugin: &str, volume: &str) -> PathBuf {
    home.path().join("pods").join(uid).join(format!("volumes/kubernetes.io~{plugin}")).join(volume)
}

fn secret(home: &Home, uid: &str, volume: &str, issued: &Issued) -> KubeletVolume {
    KubeletVolume::at(&place(home, uid, "secret", volume), &issued.files())
}

/// A volume of a CSI driver, as the kubelet and the driver leave it.
fn csi(home: &Home, uid: &str, volume: &str, driver: &str, files: &Files) -> PathBuf {
    let directory = place(home, uid, "csi", volume);
    let mount = KubeletVolume::at(&directory.join("mount"), files);
    fs::write(directory.join("vol_data.json"), format!("{{\"driverName\":\"{driver}\",\"specVolID\":\"{volume}\"}}"))
        .unwrap();
    mount.path().to_owned()
}

fn name(home: &Home, uid: &str, namespace: &str, pod: &str) {
    fs::create_dir_all(home.path().join("logs").join(format!("{namespace}_{pod}_{uid}"))).unwrap();
}

fn generation(page: &Page, volume: &str) -> Option<f64> {
    page.get("evercert_identity_generation", &[("identity", volume), ("scope", "pod")])
}

/// Waits for the metrics, and for no longer than is allowed.
fn soon(daemon: &Daemon, wanted: impl Fn(&Page) -> bool) -> Page {
    let began = Instant::now();
    let page = daemon.wait_for_metrics(wanted);
    assert!(began.elapsed() < SOON + GRACE, "it took {:?}", began.elapsed());
    page
}

#[test]
fn a_volume_of_a_pod_is_an_identity_that_rotates_with_it_and_goes_with_it() {
    let ca = Authority::new("Test CA");
    let home = home("");
    name(&home, B, "shop", "payments-7d4");
    let daemon = home.start();

    let tls = secret(&home, A, "tls", &ca.issue_dns("a"));
    let certs = csi(&home, B, "certs", "csi.cert-manager.io", &ca.issue_dns("b").files());
    let page = soon(&daemon, |page| generation(page, "tls").is_some() && generation(page, "certs").is_some());
    let pod = [("identity", "certs"), ("workload_namespace", "shop"), ("workload_pod", "payments-7d4")];
    assert_eq!(page.get("evercert_identity_published", &pod), Some(1.0));
    for (metric, labels) in page.series() {
        let is_of_a = labels.get("identity").is_some_and(|identity| identity == "tls");
        assert!(!is_of_a || !labels.contains_key("workload_pod"), "the name is not known: {metric} {labels:?}");
        let tells_uid = labels.iter().any(|(label, value)| label != "filepath" && value.contains(B));
        assert!(!tells_uid, "{metric} {labels:?}");
    }
    let chain = certs.join("tls.crt").display().to_string();
    assert_eq!(page.values("x509_cert_not_after", &[("filepath", &chain)]).len(), 1);

    tls.swap(&ca.issue_dns("a").files());
    let page = soon(&daemon, |page| generation(page, "tls") == Some(2.0));
    assert_eq!(generation(&page, "certs"), Some(1.0));
    // A name that is told later is on every series from then on.
    name(&home, A, "shop", "web-0");
    soon(&daemon, |page| page.get("evercert_identity_generation", &[("workload_pod", "web-0")]) == Some(2.0));

    fs::remove_dir_all(home.path().join("pods").join(B)).unwrap();
    let page = soon(&daemon, |page| generation(page, "certs").is_none());
    assert!(
        page.series().all(|(_, labels)| labels.get("filepath").is_none_or(|path| !path.contains(B))),
        "the series of its files are gone, too"
    );
    assert_eq!(generation(&page, "tls"), Some(2.0));
    tls.remove();
    soon(&daemon, |page| page.values("evercert_identity_published", &[]).is_empty());
}

#[test]
fn each_limit_is_counted_from_0_and_one_on_pods_where_more_are_there_than_are_looked_at() {
    const LOOKED_AT: usize = 4096;
    let home = home("");
    let pod = |number: usize| fs::create_dir(home.path().join("pods").join(format!("{number:032x}"))).unwrap();
    (0..LOOKED_AT).for_each(pod);
    let daemon = home.start();
    let reached = "evercert_limit_reached_total";
    assert_eq!(daemon.metrics().values(reached, &[]), vec![0.0; 30]);
    pod(LOOKED_AT);
    let page = daemon.wait_for_metrics(|page| page.get(reached, &[("limit", "pod_directory_entries")]) > Some(0.0));
    assert_eq!(page.values(reached, &[]).iter().filter(|count| **count > 0.0).count(), 1);
}

#[test]
fn pods_make_no_node_unready() {
    let ca = Authority::new("Test CA");
    let volume = KubeletVolume::new(&ca.issue_dns("node").files());
    let home = home(&format!("[[identity]]\nname = \"node\"\npath = {:?}\n", volume.path()));
    let empty = Files::new().with("tls.crt", "").with("tls.key", "");
    let _volume = KubeletVolume::at(&place(&home, A, "secret", "tls"), &empty);
    let daemon = home.start();
    let of_pod = [("identity", "tls"), ("scope", "pod")];
    let page = daemon.wait_for_metrics(|page| {
        page.get("evercert_identity_published", &[("identity", "node")]) == Some(1.0)
            && page.sum("evercert_identity_findings", &of_pod) > 0.0
    });
    assert_eq!(page.get("evercert_identity_published", &of_pod), Some(0.0));
    assert_eq!(
        daemon.get("/readyz"),
        (200, "ready: 1 of 2 identities served, 0 expired, 0 held back, 1 rejected\n".to_owned())
    );
}

#[test]
fn identities_of_pods_that_cannot_be_told_apart_are_told_once() {
    let ca = Authority::new("Test CA");
    let home = home("");
    let empty = Files::new().with("tls.crt", "").with("tls.key", "");
    let _published = secret(&home, A, "tls", &ca.issue_dns("a"));
    let _waiting = KubeletVolume::at(&place(&home, B, "secret", "tls"), &empty);
    let daemon = home.start();
    // The parser of the page refuses two series with the same labels.
    let page = daemon.wait_for_metrics(|page| page.values("x509_cert_not_after", &[]).len() == 2);
    assert_eq!(page.get("evercert_identity_published", &[("identity", "tls")]), Some(0.0), "the one that needs help");

    name(&home, A, "shop", "one");
    name(&home, B, "shop", "two");
    let published = |page: &Page, pod| page.get("evercert_identity_published", &[("workload_pod", pod)]);
    soon(&daemon, |page| published(page, "one") == Some(1.0) && published(page, "two") == Some(0.0));
}

#[test]
fn rules_decide_what_is_asked_and_what_is_left_alone_and_change_with_a_reload() {
    let ca = Authority::new("Test CA");
    let rule = "[[pods]]\nnamespace = \"test-*\"\nignore = true\n[[pods]]\nvolume = \"tls\"\ndns_names = [\"other.example.org\"]\n";
    let home = home(rule);
    name(&home, A, "shop", "web");
    name(&home, B, "test-7", "web");
    let _volumes = [
        secret(&home, A, "tls", &ca.issue_dns("a")),
        secret(&home, A, "free", &ca.issue_dns("a")),
        secret(&home, B, "tls", &ca.issue_dns("b")),
    ];
    let daemon = home.start();
    let refused = [("identity", "tls"), ("workload_namespace", "shop"), ("severity", "reject")];
    let page = daemon.wait_for_metrics(|page| {
        generation(page, "free").is_some() && page.sum("evercert_identity_finding", &refused) >= 1.0
    });
    assert_eq!(page.values("evercert_identity_published", &[]).len(), 2, "nothing of test-7");

    configure(&home, "");
    daemon.signal(Signal::HUP);
    daemon.wait_for_metrics(|page| page.values("evercert_identity_generation", &[("identity", "tls")]).len() == 2);
    configure(&home, "[[pods]]\nignore = true\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for_metrics(|page| page.values("evercert_identity_published", &[]).is_empty());
}

#[test]
fn an_identity_waits_for_the_bundle_volume_that_its_rule_names() {
    let ca = Authority::new("Test CA");
    let home = home("[[pods]]\nbundle = \"trust/anchors.pem\"\n");
    let _tls = secret(&home, A, "tls", &ca.issue_dns("a"));
    let daemon = home.start();
    let missing = [("identity", "tls"), ("check", "file-missing")];
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_finding", &missing) >= 1.0);
    assert_eq!(generation(&daemon.metrics(), "tls"), None);

    let trust = Files::new().with("anchors.pem", ca.ca_pem());
    let trust = KubeletVolume::at(&place(&home, A, "configmap", "trust"), &trust);
    soon(&daemon, |page| generation(page, "tls") == Some(1.0));
    let both = ca.ca_pem().to_owned() + Authority::new("Next CA").ca_pem();
    trust.swap(&Files::new().with("anchors.pem", both));
    soon(&daemon, |page| generation(page, "tls") == Some(2.0));
}

#[test]
fn what_a_csi_volume_holds_beside_certificates_is_refused_and_blocks_nothing() {
    let ca = Authority::new("Test CA");
    let home = home("");
    let outside = KubeletVolume::new(&ca.issue_dns("outside").files());
    let good = ca.issue_dns("good");
    let driver = "csi.cert-manager.io";
    let bad = |volume: &str, make: &dyn Fn(PathBuf)| {
        let root = csi(&home, A, volume, driver, &good.files().without("tls.key"));
        make(root.join(fs::read_link(root.join("..data")).unwrap()).join("tls.key"));
    };
    bad("link", &|key| symlink(outside.file("tls.key"), key).unwrap());
    bad("up", &|key| symlink("../../../../../../../../etc/passwd", key).unwrap());
    bad("fifo", &|key| make_fifo(key));
    bad("large", &|key| fs::File::create(key).unwrap().set_len(2 << 30).unwrap());
    bad("directory", &|key| fs::create_dir(key).unwrap());
    csi(&home, A, "other", "secrets-store.csi.k8s.io", &good.files());
    csi(&home, B, "good", driver, &good.files());
    let daemon = home.start();
    let page = soon(&daemon, |page| {
        let refused = |volume| page.sum("evercert_identity_findings", &[("identity", volume), ("severity", "reject")]);
        generation(page, "good") == Some(1.0)
            && ["link", "up", "fifo", "large", "directory"].iter().all(|volume| refused(volume) >= 1.0)
    });
    assert_eq!(page.values("evercert_identity_published", &[]).len(), 6);
    assert_eq!(page.sum("evercert_identity_published", &[]), 1.0);
}

/// A projected volume with a pod certificate, as the kubelet writes it: one file with the key first, and the trust bundles beside it.
fn pod_certificate(home: &Home, uid: &str, authority: &Authority, leaf: Leaf) -> KubeletVolume {
    KubeletVolume::at(&place(home, uid, "projected", "credentials"), &pod_certificate_files(authority, leaf))
}

fn pod_certificate_files(authority: &Authority, leaf: Leaf) -> Files {
    let issued = authority.issue(leaf.uri("spiffe://own.example.org/api"));
    Files::new()
        .with("credential-bundle.private-key.pem", issued.key_pem.clone() + &issued.chain_pem)
        .with("own.example.org.spiffe-trust-bundle.pem", authority.ca_pem())
        .with("partner.example.org.spiffe-trust-bundle.pem", Authority::new("Partner CA").ca_pem())
}

#[test]
fn a_pod_certificate_is_an_identity_of_its_pod_and_one_that_the_kubelet_renews_no_more_is_told_with_its_pod() {
    let ca = Authority::new("Pod CA");
    let home = home("");
    name(&home, A, "shop", "api-0");
    name(&home, B, "shop", "api-1");
    let volume = pod_certificate(&home, A, &ca, Leaf::for_dns("api"));
    let day = Duration::from_secs(24 * 3600);
    let past = Leaf::for_dns("api").valid(SystemTime::now() - 2 * day, SystemTime::now() - day);
    let _stuck = pod_certificate(&home, B, &ca, past);
    let daemon = home.start();
    let [well, stuck] = ["api-0", "api-1"].map(|pod| [("identity", "credentials"), ("workload_pod", pod)]);
    let published = "evercert_identity_published";
    let finding = |page: &Page, pod: &str| {
        let labels = [("workload_pod", pod), ("check", "volume-not-refreshed")];
        page.get("evercert_identity_finding", &labels)
    };
    // Before its files were first read nothing is published either.
    let page = daemon.wait_for_metrics(|page| {
        page.get(published, &well) == Some(1.0)
            && page.get(published, &stuck) == Some(0.0)
            && finding(page, "api-1").is_some()
    });
    assert_eq!([finding(&page, "api-0"), finding(&page, "api-1")], [None, Some(1.0)]);
    let (_, told, _) = home.ask(&["status", "--long"]);
    let sentence = format!("the kubelet has not renewed the certificate of pod {B} in time");
    assert!(told.contains(&sentence) && told.contains("delete the pod so that it is made anew"), "{told}");
    let (_, json, _) = home.ask(&["status", "--json"]);
    assert!(json.contains("partner.example.org"), "the other trust domain is federated, and not merged: {json}");

    volume.swap(&pod_certificate_files(&ca, Leaf::for_dns("api")));
    daemon.wait_for_metrics(|page| page.get("evercert_identity_generation", &well) == Some(2.0));
}
