use std::time::Duration;

use SubscriberState::{Behind, Current, Refused, Settled};
use evercert_core::digest::Digest;
use evercert_core::finding::Severity;

use super::*;
use crate::config::Mode;
use crate::publication::{self, Outcome, RefusedCode, Report};
use crate::status::{Federated, IdentityScope, Retained};

const DAY: u64 = 86_400;

fn status(report: &StatusReport, now: SystemTime) -> String {
    head(report, now) + &blocks(report, now)
}

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn after(seconds: u64) -> Moment {
    Moment(Some(now() + Duration::from_secs(seconds)))
}

pub(crate) fn before(seconds: u64) -> Moment {
    Moment(Some(now() - Duration::from_secs(seconds)))
}

pub(crate) fn subscriber(id: u64, state: SubscriberState) -> Subscriber {
    Subscriber {
        id,
        pid: 7,
        uid: 1000,
        command: "greeter\x1b[2J".to_owned(),
        sdk_version: "0.1.0".to_owned(),
        connected: before(600),
        deliver: Delivery::Full,
        state,
        behind_since: Moment(None),
        report: None,
        reason: None,
        pod: None,
        lost_since: Moment(None),
        unit: None,
        unattested: false,
    }
}

fn certificate(name: &str, serial: u32, not_after: Moment) -> Certificate {
    Certificate {
        subject: format!("CN={name}"),
        issuer: "CN=Example CA".to_owned(),
        serial: format!("{serial:02x}"),
        sha256: Some(digest(&[0xab; 32])),
        not_before: before(DAY),
        not_after,
        dns_names: Vec::new(),
        ip_addresses: Vec::new(),
        uris: Vec::new(),
    }
}

fn digest(first: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest[..first.len()].copy_from_slice(first);
    digest.into()
}

pub(crate) fn identity() -> Identity {
    Identity {
        name: "grpc-server".to_owned(),
        scope: IdentityScope::Node,
        pod: None,
        generation: Some(3),
        digest: Some(digest(&[0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f])),
        published: before(300),
        leaf: Some(Certificate {
            dns_names: vec!["grpc-server.my-app.svc".to_owned()],
            ip_addresses: vec![[192, 0, 2, 10].into()],
            ..certificate("grpc-server", 42, after(29 * DAY))
        }),
        intermediates: 0,
        anchors: 1,
        renewal_due: after(9 * DAY),
        findings: Vec::new(),
        subscribers: Vec::new(),
        settled: Some(true),
        connections_on_older: 0,
        files: Vec::new(),
        retained: Vec::new(),
        crls: Vec::new(),
        federated: Vec::new(),
    }
}

pub(crate) fn pod(namespace: &str, name: &str) -> Pod {
    let (namespace, name) = (Some(namespace.to_owned()), Some(name.to_owned()));
    Pod { namespace, name, uid: "12".to_owned(), name_doubt: None }
}

pub(crate) fn report(identity: Identity) -> StatusReport {
    StatusReport {
        version: "0.1.0".to_owned(),
        epoch: 0xfeed,
        started: before(3 * DAY),
        ready: true,
        config_error: None,
        findings: Vec::new(),
        mode: Mode::Publisher,
        pods_in_doubt: Vec::new(),
        identities: vec![identity],
    }
}

pub(crate) fn finding(check: &'static str, severity: Severity) -> Finding {
    Finding { check: check.into(), severity, sentence: String::new(), file: None, found: None, expected: None }
}

/// A report with one of all that there is.
pub(crate) fn full_report() -> StatusReport {
    let mut identity = identity();
    let said = Report { generation: 2, connections_on_older: 3, not_after: after(DAY).0, ..Report::default() };
    let pod = Some(pod("shop", "cart-0"));
    identity.subscribers =
        vec![Subscriber { report: Some(said), pod: pod.clone(), ..subscriber(1, Behind) }, subscriber(2, Settled)];
    identity.retained = vec![Retained { anchor: certificate("Old CA", 1, after(DAY)), until: after(3600) }];
    identity.federated = vec![Federated { trust_domain: "partner.example.org".to_owned(), anchors: 2 }];
    identity.findings = vec![finding("weak-key", Severity::Warn)];
    identity.crls = vec![Crl {
        file: "/etc/tls/ca.crl".to_owned(),
        issuer: "CN=Example CA".to_owned(),
        number: Some("17".to_owned()),
        this_update: before(DAY),
        next_update: Moment(None),
        revoked: 3,
    }];
    let bare = Identity { pod: pod.clone(), leaf: None, generation: None, settled: None, ..self::identity() };
    let mut report = report(identity);
    report.identities.push(bare);
    report.findings = vec![finding("http-unavailable", Severity::Warn)];
    report.pods_in_doubt = pod.into_iter().collect();
    report
}

#[test]
fn a_block_says_what_is_served_until_when_and_who_is_behind() {
    let mut identity = identity();
    identity.subscribers = vec![subscriber(1, Settled), subscriber(2, Behind), subscriber(3, Refused)];
    identity.subscribers[1].behind_since = before(300);
    identity.subscribers[1].reason = Some("its process is stopped (SIGSTOP); it still serves 0a1b2c".to_owned());
    identity.subscribers[1].pod = Some(pod("shop", "cart-0"));
    let refused = publication::Refused { code: RefusedCode::Credential, detail: "no key".to_owned() };
    identity.subscribers[2].report = Some(Report { outcome: Some(Outcome::Refused(refused)), ..Report::default() });
    let expected = "\
evercertd 0.1.0 (publisher): 1 of 1 identity served, 0 expired, 0 held back, 0 rejected, started 3 days ago

grpc-server
  generation  3, digest 1a2b3c4d5e6f, published 5 minutes ago
  subject     CN=grpc-server
  names       DNS:grpc-server.my-app.svc, IP:192.0.2.10
  issuer      CN=Example CA
  serial      2a
  expires     in 29 days (2027-02-13 08:00 UTC); renewal due in 9 days
  trusts      1 anchor
  subscribers 3: 1 refused, 1 behind, 1 settled
    greeter\\u{1b}[2J (pid 7, uid 1000): settled: no connection is older
    greeter\\u{1b}[2J (pid 7, uid 1000) in shop/cart-0: behind since 5 minutes ago: its process is stopped (SIGSTOP); it still serves 0a1b2c
    greeter\\u{1b}[2J (pid 7, uid 1000): refused: no key
";
    assert_eq!(status(&report(identity), now()), expected);
}

#[test]
fn a_subscriber_is_settling_while_connections_are_older_than_what_it_serves() {
    let mut identity = identity();
    identity.subscribers = vec![subscriber(1, Current), subscriber(2, Current), subscriber(3, Settled)];
    for (subscriber, connections_on_older) in identity.subscribers.iter_mut().zip([1, 40]) {
        subscriber.report = Some(Report { connections_on_older, ..Report::default() });
    }
    let text = status(&report(identity), now());
    for line in [
        "  subscribers 3: 2 current, 1 settled; 41 connections on older generations\n",
        ": current, settling: 1 connection on an older generation\n",
        ": current, settling: 40 connections on older generations\n",
        ": settled: no connection is older\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn a_block_says_whom_it_trusts_besides_and_who_is_revoked() {
    let mut identity = identity();
    let anchor = certificate("Old CA", 1, after(90 * DAY));
    identity.retained.push(Retained { anchor, until: after(3 * 3600) });
    identity.federated.push(Federated { trust_domain: "partner.example.org".to_owned(), anchors: 2 });
    let crl = |number: Option<&str>, next_update| Crl {
        file: "/etc/tls/ca.crl".to_owned(),
        issuer: "CN=Example CA".to_owned(),
        number: number.map(str::to_owned),
        this_update: before(DAY),
        next_update,
        revoked: 3,
    };
    identity.crls = vec![crl(Some("17"), after(3 * DAY)), crl(None, before(3600))];
    let expected = "\
  retains     CN=Old CA until 2027-01-15 11:00 UTC, in 3 hours
  federated   partner.example.org: 2 anchors
  crl         CN=Example CA number 17: 3 revoked, next update in 3 days [/etc/tls/ca.crl]
  crl         CN=Example CA: 3 revoked, stale since 2027-01-15 07:00 UTC [/etc/tls/ca.crl]
";
    let text = status(&report(identity), now());
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_needs_attention_is_not_well() {
    let well = |change: fn(&mut StatusReport)| {
        let mut report = report(identity());
        report.identities[0].subscribers.push(subscriber(1, Settled));
        change(&mut report);
        report.is_well(now())
    };
    assert!(well(|_| ()));
    assert!(well(|report| report.identities[0].subscribers[0].state = Current));
    assert!(!well(|report| report.config_error = Some("line 3".to_owned())));
    assert!(!well(|report| report.identities[0].generation = None));
    assert!(!well(|report| report.identities[0].leaf.as_mut().unwrap().not_after = before(1)));
    assert!(!well(|report| report.identities[0].subscribers[0].state = Refused));
    assert!(!well(|report| {
        report.identities[0].subscribers[0].state = Behind;
        report.identities[0].subscribers[0].behind_since = before(61);
    }));
    assert!(well(|report| {
        report.identities[0].subscribers[0].state = Behind;
        report.identities[0].subscribers[0].behind_since = before(59);
    }));
    assert!(well(|report| {
        report.identities[0].subscribers[0].state = Behind;
        report.identities[0].subscribers[0].behind_since = before(900);
        report.identities[0].subscribers[0].connected = before(1);
    }));
    let finding = |severity| finding("expired", severity);
    let mut warned = report(identity());
    warned.identities[0].findings.push(finding(Severity::Warn));
    assert!(warned.is_well(now()));
    warned.identities[0].findings.push(finding(Severity::Reject));
    warned.identities[0].leaf.as_mut().unwrap().not_after = before(1);
    assert!(status(&warned, now()).contains("1 of 1 identity served, 1 expired, 0 held back, 1 rejected"));
    assert!(!warned.is_well(now()));
}

#[test]
fn a_lost_subscriber_is_told_with_since_when_and_what_it_reported_and_is_not_well() {
    let lost = Subscriber {
        lost_since: before(180),
        report: Some(Report { generation: 2, ..Report::default() }),
        unit: Some("pay.service".to_owned()),
        reason: Some("its process is stopped (SIGSTOP); it still serves 0a1b2c".to_owned()),
        behind_since: before(60),
        ..subscriber(1, Behind)
    };
    assert_eq!(
        format!("{}: {}", who(&lost), doing(&lost, now())),
        "greeter\u{1b}[2J (pid 7, uid 1000) in pay.service: lost since 3 minutes ago: stopped answering, last reported generation 2; behind \
         since 60 seconds ago: its process is stopped (SIGSTOP); it still serves 0a1b2c"
    );
    let current = Subscriber { lost_since: before(180), ..subscriber(2, Settled) };
    assert_eq!(counts(&[lost, current.clone()]), "2: 1 behind, 1 settled; 2 lost");
    let mut identity = identity();
    identity.subscribers = vec![current];
    assert!(!report(identity).is_well(now()));
}

#[test]
fn an_expired_leaf_is_said_to_be() {
    assert_eq!(expiry(before(3 * 3600), now()), "expired 3 hours ago (2027-01-15 05:00 UTC)");
}

#[test]
fn json_has_stable_names_rfc_3339_times_and_null_for_what_is_absent() {
    let mut identity = identity();
    identity.subscribers.push(subscriber(1, Behind));
    identity.retained.push(Retained { anchor: certificate("Old CA", 1, after(DAY)), until: after(3600) });
    let said = Report { generation: 2, connections_on_older: 3, not_after: after(DAY).0, ..Report::default() };
    identity.subscribers.push(Subscriber { report: Some(said), ..subscriber(2, Settled) });
    let json = serde_json::to_value(report(identity)).unwrap();
    let identity = &json["identities"][0];
    assert_eq!(identity["leaf"]["not_after"], "2027-02-13T08:00:00Z");
    assert_eq!(identity["subscribers"][0]["state"], "behind");
    assert_eq!(identity["subscribers"][0]["deliver"], "full");
    let reported = |subscriber: usize| {
        ["reported_generation", "refused", "connections_on_older", "not_after"]
            .map(|key| identity["subscribers"][subscriber][key].to_string())
    };
    assert_eq!(reported(0), ["null", "null", "0", "null"]);
    assert_eq!(reported(1), ["2", "null", "3", "\"2027-01-16T08:00:00Z\""]);
    assert_eq!((&json["epoch"], &identity["scope"]), (&"000000000000feed".into(), &"node".into()));
    assert_eq!(identity["retained"][0]["sha256"], "ab".repeat(32));
    assert!(identity["subscribers"][0]["behind_since"].is_null());
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&json), "config_error epoch findings identities mode pods_in_doubt ready started version");
    assert_eq!(
        keys(identity),
        "anchors connections_on_older crls digest federated files findings generation intermediates leaf name pod published renewal_due \
         retained scope settled subscribers"
    );
    assert_eq!(
        keys(&identity["subscribers"][1]),
        "behind_since command connected connections_on_older deliver id lost_since not_after pid pod reason refused reported_generation \
         sdk_version state uid unattested unit"
    );
    assert_eq!(keys(&identity["retained"][0]), "not_after serial sha256 subject until");
    assert_eq!(
        keys(&identity["leaf"]),
        "dns_names ip_addresses issuer not_after not_before serial sha256 subject uris"
    );
}

#[test]
fn identities_of_the_node_come_first_and_those_of_pods_by_namespace_and_pod() {
    use evercert_api::v1;
    let of = |namespace: &str, name: &str, identity: &str| v1::IdentityStatus {
        identity: identity.to_owned(),
        pod: (!namespace.is_empty()).then(|| v1::Pod {
            uid: "12".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..v1::Pod::default()
        }),
        ..v1::IdentityStatus::default()
    };
    let identities = vec![of("shop", "cart-1", "a"), of("shop", "cart-0", "b"), of("bank", "x", "c"), of("", "", "z")];
    let mode = v1::Mode::Observer.into();
    let report = StatusReport::from(v1::StatusResponse { identities, mode, ..v1::StatusResponse::default() });
    let titles: Vec<_> = report.identities.iter().map(Identity::title).collect();
    assert_eq!(titles, ["z", "bank/x/c", "shop/cart-0/b", "shop/cart-1/a"]);
    assert!(
        status(&report, now())
            .starts_with("evercertd  (observer): 0 of 4 identities served, 0 expired, 0 held back, 0 rejected")
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["mode"], &json["identities"][2]["pod"]["name"]), (&"observer".into(), &"cart-0".into()));
}

#[test]
fn a_pod_whose_name_is_in_doubt_is_told_with_the_reason_also_without_an_identity() {
    use evercert_api::v1;
    let doubtful = |uid: &str, doubt: v1::NameDoubt| v1::Pod {
        uid: uid.to_owned(),
        name_doubt: doubt.into(),
        ..v1::Pod::default()
    };
    let pods = [doubtful("12", v1::NameDoubt::LogDirectories), doubtful("34", v1::NameDoubt::Namespace)];
    let subscriber = v1::Subscriber { pod: Some(pods[1].clone()), command: "app".to_owned(), ..Default::default() };
    let identity = v1::IdentityStatus {
        identity: "tls".to_owned(),
        pod: Some(pods[0].clone()),
        subscribers: vec![subscriber],
        ..Default::default()
    };
    let identities = vec![identity];
    let told = v1::StatusResponse { identities, pods_in_doubt: pods.to_vec(), ..Default::default() };
    let report = StatusReport::from(told);
    let text = self::status(&report, now());
    for said in [
        "\npod 12: name in doubt (two log directories)\npod 34: name in doubt (the volume with its service account's token is of",
        "\npod/12/tls\n  pod         name in doubt (two log directories)\n",
        "app (pid 0, uid 0) in pod/34, name in doubt (the volume",
    ] {
        assert!(text.contains(said), "{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    let doubts = ["/pods_in_doubt/0", "/identities/0/pod", "/pods_in_doubt/1", "/identities/0/subscribers/0/pod"]
        .map(|place| json.pointer(place).unwrap()["name_doubt"].as_str().unwrap());
    assert_eq!(doubts, ["log_directories", "log_directories", "namespace", "namespace"]);
    assert_eq!(serde_json::to_value(pod("shop", "cart-0")).unwrap()["name_doubt"], serde_json::Value::Null);
}

proptest::proptest! {
    #[test]
    fn no_name_ends_a_line_or_reaches_the_terminal_raw(name in "\\PC*|[\\u{0}-\\u{2100}]*|(?s).{0,40}") {
        let mut identity = Identity { name: name.clone(), pod: Some(pod(&name, &name)), ..identity() };
        identity.findings = vec![Finding {
            check: "x".into(),
            severity: Severity::Warn,
            sentence: name.clone(),
            file: Some(name.clone()),
            found: Some(name.clone()),
            expected: Some(name.clone()),
        }];
        let behind = Subscriber { command: name.clone(), reason: Some(name.clone()), ..subscriber(1, Behind) };
        identity.subscribers = vec![Subscriber { pod: Some(pod(&name, &name)), ..behind }];
        if let Some(leaf) = &mut identity.leaf {
            leaf.dns_names = vec![name.clone()];
            leaf.uris = vec![name.clone()];
            (leaf.subject, leaf.issuer) = (name.clone(), name.clone());
        }
        let report = StatusReport { config_error: Some(name.clone()), ..report(identity) };
        let text = status(&report, now());
        proptest::prop_assert_eq!(text.lines().count(), 14, "{}", text);
        proptest::prop_assert!(!text.replace('\n', "").contains(evercert_core::text::is_unseen), "{:?}", text);
        let json = crate::cli::json::pretty(&report);
        proptest::prop_assert!(!json.replace('\n', "").contains(evercert_core::text::is_unseen), "{:?}", json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        proptest::prop_assert_eq!(&json["identities"][0]["subscribers"][0]["command"], &name);
    }
}

#[test]
fn a_leaf_with_very_many_names_is_told_in_a_bounded_line() {
    let mut identity = identity();
    if let Some(leaf) = &mut identity.leaf {
        leaf.dns_names = (0..100_000).map(|n| format!("n{n}.example.org")).collect();
    }
    let text = status(&report(identity), now());
    assert!(text.lines().all(|line| line.len() < evercert_core::text::LINE_LIMIT));
    assert!(text.contains("DNS:n9.example.org") && text.contains('…'));
}

#[test]
fn whoever_is_unattested_is_told_apart_and_needs_nobodys_attention() {
    let unattested = Subscriber {
        unattested: true,
        pid: 0,
        command: String::new(),
        behind_since: before(600),
        reason: Some("it still serves abababababab".to_owned()),
        pod: Some(pod("shop", "cart-0")),
        ..subscriber(1, Behind)
    };
    assert_eq!(who(&unattested), "unattested process of uid 1000 that says it is in shop/cart-0");
    let text = counts(&[unattested.clone(), subscriber(2, Settled)]);
    assert_eq!(text, "2: 1 behind, 1 settled; 1 unattested");
    let attested = Subscriber { unattested: false, ..unattested.clone() };
    let is_well = |one| report(Identity { subscribers: vec![one], ..identity() }).is_well(now());
    assert_eq!([unattested, attested].map(is_well), [true, false]);
}
