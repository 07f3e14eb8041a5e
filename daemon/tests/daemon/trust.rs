use std::fs;

use evercert_api::v1;
use evercert_api::v1::agent_client::AgentClient;
use evercert_fixtures::{Authority, KubeletVolume};
use rustix::process::Signal;
use tokio_stream::StreamExt as _;

use crate::home::{DEADLINE, Home, endpoint, until};

fn identity(name: &str, volume: &KubeletVolume, rest: &str) -> String {
    format!("[[identity]]\nname = \"{name}\"\npath = {:?}\n{rest}", volume.path())
}

/// The state of the first identity, as `status --json` prints it.
fn status(home: &Home) -> serde_json::Value {
    let (_, stdout, stderr) = home.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    // There is none until its files were first read.
    status.pointer("/identities/0").cloned().unwrap_or_default()
}

/// What a workload is given.
fn given(home: &Home) -> v1::Update {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = endpoint(&home.agent()).connect().await.unwrap();
        let open = v1::Open { identity: "x".to_owned(), ..v1::Open::default() };
        let open = v1::WatchRequest { message: Some(v1::watch_request::Message::Open(open)) };
        let requests = tokio_stream::once(open).chain(tokio_stream::pending());
        let mut answers = AgentClient::new(channel).watch(requests).await.unwrap().into_inner();
        match tokio::time::timeout(DEADLINE, answers.message()).await.unwrap().unwrap().unwrap().message.unwrap() {
            v1::watch_response::Message::Update(update) => update,
            other => panic!("{other:?}"),
        }
    })
}

fn wait(home: &Home, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    until(what, || Some(status(home)).filter(&is_so), || status(home).to_string())
}

#[test]
fn a_replaced_ca_stays_trusted_over_a_restart_until_its_deadline_or_until_it_is_dropped() {
    let [old, new] = ["Old CA", "New CA"].map(Authority::new);
    let volume = KubeletVolume::new(&old.issue_dns("x").files());
    let home = Home::new(&identity("x", &volume, ""));
    let mut daemon = home.start();
    wait(&home, "the first generation", |status| status["generation"] == 1);
    assert_eq!(status(&home)["anchors"], 1);

    volume.swap(&new.issue_dns("x").files());
    let overlapping = wait(&home, "the overlap", |status| status["anchors"] == 2);
    let retained = overlapping["retained"][0].clone();
    assert_eq!((&retained["subject"], overlapping["retained"].as_array().unwrap().len()), (&"CN=Old CA".into(), 1));
    let mut both = vec![old.ca_der().to_vec(), new.ca_der().to_vec()];
    both.sort();
    assert_eq!(given(&home).bundle.unwrap().anchors, both);
    let page = daemon.wait_for_metrics(|page| page.sum("evercert_identity_overlap_anchors", &[]) == 1.0);
    assert!(page.get("evercert_identity_overlap_until_timestamp_seconds", &[("identity", "x")]).is_some());

    daemon.signal(Signal::TERM);
    daemon.wait();
    let daemon = home.start();
    let after = wait(&home, "the overlap after the restart", |status| status["anchors"] == 2);
    assert_eq!(after["retained"][0], retained, "its deadline too");

    let fingerprint = retained["sha256"].as_str().unwrap();
    let (code, _, stderr) = home.ask(&["trust", "drop", &fingerprint[..16]]);
    assert!(code == Some(2) && stderr.contains("a part is not enough"), "{stderr}");
    let (code, listed, _) = home.ask(&["trust", "list"]);
    assert!(code == Some(0) && listed.contains(&format!("  sha256:{fingerprint}\n    CN=Old CA, serial ")), "{listed}");
    let (code, dropped, stderr) = home.ask(&["trust", "drop", &format!("sha256:{}", fingerprint.to_uppercase())]);
    assert_eq!((code, dropped), (Some(0), format!("sha256:{fingerprint} is trusted no longer by x\n")), "{stderr}");
    let without = wait(&home, "a generation without it", |status| status["anchors"] == 1);
    assert!(without["generation"].as_u64() > after["generation"].as_u64());
    assert_eq!(given(&home).bundle.unwrap().anchors, [new.ca_der()]);
    daemon.wait_for_metrics(|page| page.get("evercert_identity_overlap_anchors", &[]) == Some(0.0));

    let (code, _, stderr) = home.ask(&["trust", "drop", fingerprint]);
    assert!(
        code == Some(1) && stderr.contains("is not retained; `evercertd trust list` shows those that are"),
        "{stderr}"
    );
}

#[test]
fn who_presents_a_leaf_under_a_ca_or_trusts_it_is_told_wherever_its_certificate_is() {
    let [root, other] = ["Root", "Other"].map(Authority::new);
    let sub = root.intermediate("Sub");
    // The bundle beside the leaf is another CA's, as in a PKI for servers and one for clients.
    let split = KubeletVolume::new(&sub.issue_dns("x").files().with("ca.crt", other.ca_pem()));
    let whole = KubeletVolume::new(&root.issue_dns("y").files());
    let unheld = Authority::new("Unheld");
    let lone = KubeletVolume::new(&unheld.issue_dns("z").files().without("ca.crt"));
    let identities = [("x", &split, "require_chain = false\n"), ("y", &whole, ""), ("z", &lone, "")];
    let home = Home::new(&identities.map(|(name, volume, rest)| identity(name, volume, rest)).concat());
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 3.0);
    let who = |authority: &[u8]| {
        let fingerprint = evercert_core::digest::Digest::fingerprint(authority).to_string();
        let (code, stdout, stderr) = home.ask(&["trust", "who", &fingerprint, "--json"]);
        assert_eq!(code, Some(0), "{stderr}");
        let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let uses = answer["identities"].as_array().unwrap().iter();
        let uses = uses.map(|one| format!("{} {} {}", one["name"], one["presents"], one["trusts"]));
        (answer["subject"].clone(), uses.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(who(root.ca_der()), ("CN=Root".into(), "\"x\" true false, \"y\" true true".to_owned()));
    assert_eq!(who(other.ca_der()), ("CN=Other".into(), "\"x\" false true".to_owned()));
    // A leaf names it as its issuer, and nothing that is published holds it: nothing told is no word that nothing uses it.
    let unheld = evercert_core::digest::Digest::fingerprint(unheld.ca_der()).to_string();
    let says_why = format!("no chain or bundle that is published on this node holds the certificate sha256:{unheld}");
    let (code, stdout, stderr) = home.ask(&["trust", "who", &unheld]);
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains(&says_why), "{code:?} {stdout} {stderr}");
    assert!(!stderr.contains("  "), "one sentence, without a gap: {stderr}");
    let (code, stdout, stderr) = home.ask(&["trust", "who", &unheld, "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(code == Some(1) && answer["subject"].is_null() && stderr.contains(&says_why), "{code:?} {stdout} {stderr}");
    let (code, _, stderr) = home.ask(&["trust", "who", "5e0c"]);
    assert!(code == Some(2) && stderr.contains("a part is not enough"), "{stderr}");
}

#[test]
fn a_bundle_that_lost_a_ca_is_told_at_its_identity_and_at_those_with_leaves_under_it_until_they_are_exchanged() {
    let [old, new] = ["Old CA", "New CA"].map(Authority::new);
    let both = [old.ca_pem(), new.ca_pem()].concat();
    let (x, y) = (KubeletVolume::new(&old.issue_dns("x").files()), KubeletVolume::new(&new.issue_dns("y").files()));
    let home = Home::new("");
    let [kept, dropping] = ["kept.pem", "dropping.pem"].map(|name| home.path().join(name));
    for bundle in [&kept, &dropping] {
        fs::write(bundle, &both).unwrap();
    }
    let with = |bundle: &std::path::Path| format!("bundle = {bundle:?}\n");
    home.configure(&(identity("x", &x, &with(&kept)) + &identity("y", &y, &with(&dropping))));
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 2.0);
    let told = |name: &str, page: &crate::metrics::Page| {
        page.sum("evercert_identity_finding", &[("identity", name), ("check", "anchor-lost"), ("severity", "warn")])
    };
    // The index has seen what is published, so that it sees what is lost.
    daemon.wait_for_metrics(|page| {
        page.sum("evercert_ca_identities", &[("subject", "CN=Old CA"), ("use", "trusts")]) == 2.0
    });
    fs::write(&dropping, new.ca_pem()).unwrap();
    daemon.wait_for_metrics(|page| told("x", page) == 1.0 && told("y", page) == 1.0);
    let (_, status, _) = home.ask(&["status", "--json"]);
    assert!(status.contains("the bundle no longer holds CN=Old CA"), "{status}");
    assert!(status.contains("the leaf is under CN=Old CA, which a bundle on this node no longer holds"), "{status}");
    x.swap(&new.issue_dns("x").files());
    daemon.wait_for_metrics(|page| told("x", page) == 0.0 && told("y", page) == 0.0);
}

#[test]
fn an_anchor_that_is_on_disk_is_not_dropped_and_its_file_is_named() {
    let ca = Authority::new("Test CA");
    let volume = KubeletVolume::new(&ca.issue_dns("x").files());
    let home = Home::new(&identity("x", &volume, ""));
    let _daemon = home.start();
    wait(&home, "the first generation", |status| status["generation"] == 1);
    let fingerprint = evercert_core::digest::Digest::fingerprint(ca.ca_der()).to_string();
    let (code, _, stderr) = home.ask(&["trust", "drop", &fingerprint]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("remove it there") && stderr.contains(&volume.file("ca.crt").display().to_string()),
        "{stderr}"
    );
    assert_eq!(status(&home)["generation"], 1);
}

#[test]
fn a_crl_that_appears_is_a_generation_and_federated_bundles_are_part_of_it() {
    let [ca, partner] = ["Test CA", "Partner CA"].map(Authority::new);
    let issued = ca.issue_dns("x");
    let volume = KubeletVolume::new(&issued.files());
    let home = Home::new("");
    let bundle = home.path().join("partner.pem");
    fs::write(&bundle, partner.ca_pem()).unwrap();
    home.configure(&identity("x", &volume, &format!("federated = {{ \"partner.example.org\" = {bundle:?} }}\n")));
    let daemon = home.start();
    let first = wait(&home, "the first generation", |status| status["generation"] == 1);
    assert_eq!(first["federated"][0], serde_json::json!({ "trust_domain": "partner.example.org", "anchors": 1 }));
    assert_eq!(first["crls"], serde_json::json!([]));
    let of_partner = [("identity", "x"), ("trust_domain", "partner.example.org")];
    let [begin, end] = ["before", "after"].map(|time| {
        daemon.metrics().get(&format!("evercert_identity_federated_bundle_not_{time}_timestamp_seconds"), &of_partner)
    });
    assert!(begin.is_some() && begin < end, "{begin:?} {end:?}");
    let given = given(&home);
    assert_eq!(given.bundle.unwrap().anchors, [ca.ca_der()]);
    assert_eq!(given.federated["partner.example.org"].anchors, [partner.ca_der()]);

    let revoked = ca.issue_dns("revoked");
    volume.swap(&issued.files().with("ca.crl", ca.crl(&[&revoked]).pem));
    let second = wait(&home, "the next generation", |status| status["generation"] == 2);
    let crl = &second["crls"][0];
    assert_eq!((&crl["revoked"], &crl["issuer"]), (&1.into(), &"CN=Test CA".into()));
    let labels = [("filename", "ca.crl"), ("issuer_CN", "Test CA")];
    let page = daemon.wait_for_metrics(|page| page.get("x509_crl_stale", &labels) == Some(0.0));
    assert!(page.get("x509_crl_next_update", &labels) > page.get("x509_crl_this_update", &labels));
}
