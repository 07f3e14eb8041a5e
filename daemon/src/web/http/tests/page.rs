//! The page: where it is, what it tells, and how often.

use std::time::Instant;

use evercert_core::clock::Now;
use evercert_core::keeper::Observer as _;
use evercert_core::lifecycle::{Event, Lifecycle};
use evercert_core::material::Material;
use evercert_core::mount;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use serde_json::Value;

use super::*;
use crate::publication::{Delivery, NewSubscriber};

/// An identity that is read from a volume, as the keeper does.
struct Kept {
    volume: KubeletVolume,
    lifecycle: Lifecycle,
}

impl Kept {
    fn new(side: &Side, name: &str, files: &Files) -> Self {
        let volume = KubeletVolume::new(files);
        let spec = IdentitySpec {
            id: IdentityId::node(name.parse().unwrap()),
            files: FileSet::cert_manager(volume.path()),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        };
        let mut kept = Self { volume, lifecycle: Lifecycle::new(Arc::new(spec)) };
        kept.read(side);
        kept
    }

    fn swap(&mut self, side: &Side, files: &Files) {
        self.volume.swap(files);
        self.read(side);
    }

    fn read(&mut self, side: &Side) {
        let spec = Arc::clone(&self.lifecycle.state().spec);
        let material = Material::parse(&spec, mount::read(&spec.files));
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        let _ = self.lifecycle.handle(Event::Read { material, final_try: true }, now);
        side.store.state(&spec.id, Arc::clone(self.lifecycle.state()));
    }
}

/// The updates of one page.
struct Following {
    stream: TcpStream,
    read: String,
}

impl Following {
    async fn new(side: &Side) -> Self {
        let stream = connect(side.address, b"GET /updates HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        Self { stream, read: String::new() }
    }

    /// The next update.
    async fn next(&mut self) -> Value {
        loop {
            if let Some((_, rest)) = self.read.split_once("data: ")
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                let update = serde_json::from_str(data).unwrap();
                self.read = rest.to_owned();
                return update;
            }
            assert!(self.more().await, "the stream ended: {}", self.read);
        }
    }

    async fn more(&mut self) -> bool {
        let mut part = [0; 64 * 1024];
        let count = tokio::time::timeout(DEADLINE, self.stream.read(&mut part)).await.unwrap().unwrap_or(0);
        self.read += str::from_utf8(&part[..count]).unwrap();
        count > 0
    }
}

fn leaf() -> Files {
    Authority::new("Test CA").issue_dns("server.example.org").files()
}

#[tokio::test]
async fn the_page_is_shown_on_loopback_and_elsewhere_it_is_said_where_to_look() {
    let paths = ["/updates", "/checks/expired", "/checks/nothing"];
    for (address, page, is_shown) in [
        ("127.0.0.1:0", PageAt::Loopback, true),
        ("0.0.0.0:0", PageAt::Loopback, false),
        ("0.0.0.0:0", PageAt::On, true),
        ("127.0.0.1:0", PageAt::Off, false),
    ] {
        let side = Side::start(address, None, Some(page), DEADLINE).await;
        let answer = get(side.address, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("cache-control: no-store") && answer.contains("x-content-type-options: nosniff"));
        assert_eq!(answer.contains("/updates"), is_shown, "{address} {page:?}");
        assert_eq!(answer.contains("There is no page here"), !is_shown, "{address} {page:?}");
        if is_shown {
            assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'sha256-"), "{answer}");
            let answers = [get(side.address, paths[1]).await, get(side.address, paths[2]).await];
            assert!(answers[0].starts_with("HTTP/1.1 200") && answers[0].contains("text/plain"), "{}", answers[0]);
            assert!(answers[1].starts_with("HTTP/1.1 404"), "{}", answers[1]);
        } else {
            for path in paths {
                assert!(get(side.address, path).await.starts_with("HTTP/1.1 404"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_site_whose_name_leads_to_loopback_reads_nothing_and_by_an_address_or_elsewhere_all_is_answered() {
    let asked = async |side: &Side, path: &str, host: &str| {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (mut stream, mut answer) = (connect(side.address, asked.as_bytes()).await, String::new());
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let probes = ["/healthz", "/readyz"];
    let everything = ["/metrics", "/", "/checks/expired"].into_iter().chain(probes);
    for (page, paths) in [(Some(PageAt::Loopback), everything.collect::<Vec<_>>()), (None, probes.to_vec())] {
        let here = Side::start("127.0.0.1:0", None, page, DEADLINE).await;
        // The name of the node, as Prometheus may have it of its targets.
        let elsewhere = Side::start("0.0.0.0:0", None, page, DEADLINE).await;
        for path in paths {
            let answer = asked(&here, path, "rebound.example.org:9793").await;
            assert!(answer.starts_with("HTTP/1.1 421") && answer.contains("as localhost"), "{path}: {answer}");
            for host in ["127.0.0.1:9793", "localhost:9793", "192.0.2.7"] {
                assert!(asked(&here, path, host).await.starts_with("HTTP/1.1 200"), "{path} {host}");
            }
            let answer = asked(&elsewhere, path, "node-1.example.org:9793").await;
            assert!(!answer.starts_with("HTTP/1.1 421"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_rotation_is_told_to_whoever_follows_and_nothing_is_told_twice() {
    let side = Side::of_everything(None, DEADLINE).await;
    let mut kept = Kept::new(&side, "server", &leaf());
    let mut following = Following::new(&side).await;
    let first = following.next().await;
    assert!(first["complete"] == true, "{first}");
    let row = &first["identities"][0];
    assert_eq!((&row["id"], &row["generation"], &row["is_well"]), (&"server".into(), &1.into(), &true.into()));
    assert_eq!(first["trust"]["anchors"][0]["subject"], "CN=Test CA");
    assert_eq!(first["daemon"]["version"], "0.0.0");

    kept.swap(&side, &leaf());
    let second = following.next().await;
    let row = &second["identities"][0];
    assert_eq!((&row["id"], &row["generation"]), (&"server".into(), &2.into()), "{second}");
    assert!(second.get("daemon").is_none(), "that is as it was: {second}");

    side.info.send_modify(|info| info.config_error = Some("line 3".into()));
    let third = following.next().await;
    assert_eq!(third["daemon"]["config_error"], "line 3");
    assert!(third.get("identities").is_none() && third.get("trust").is_none(), "{third}");

    side.store.removed(&IdentityId::node("server".parse().unwrap()));
    let last = following.next().await;
    assert_eq!(last["removed"][0], "server");
    assert_eq!(last["trust"]["anchors"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn changes_are_told_at_most_once_a_second() {
    let side = Side::of_everything(None, DEADLINE).await;
    let mut following = Following::new(&side).await;
    following.next().await;
    let (changed, mut updates) = (Instant::now(), 0);
    for number in 0.. {
        side.info.send_modify(|info| info.config_error = Some(format!("error {number}")));
        let soon = tokio::time::timeout(Duration::from_millis(50), following.next()).await;
        updates += u32::from(soon.is_ok());
        if updates == 3 {
            break;
        }
    }
    assert!(changed.elapsed() >= Duration::from_millis(2900), "{:?}", changed.elapsed());
}

#[tokio::test]
async fn everything_is_told_of_many_identities_in_parts_of_which_the_last_says_so() {
    let side = Side::of_everything(None, DEADLINE).await;
    let files = leaf();
    let _kept: Vec<_> = (0..100).map(|number| Kept::new(&side, &format!("server-{number}"), &files)).collect();
    let mut following = Following::new(&side).await;
    let mut told = 0;
    loop {
        let update = following.next().await;
        told += update["identities"].as_array().map_or(0, Vec::len);
        if update["complete"] == true {
            break;
        }
        assert!(update.get("daemon").is_none() && update.get("trust").is_none());
    }
    assert_eq!(told, 100);
}

/// How often the page left out something of this limit, as the metrics of the same side say it.
async fn left_out(side: &Side, limit: &str) -> u64 {
    let start = format!("evercert_limit_reached_total{{limit=\"{limit}\"}} ");
    let page = get(side.address, "/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{limit} is not in {page}")).parse().unwrap()
}

#[tokio::test]
async fn what_the_page_leaves_out_is_counted_where_it_is_told() {
    const NAMES: usize = 51;
    const ANCHORS: usize = 201;
    let side = Side::of_everything(None, DEADLINE).await;
    let ca = Authority::new("Test CA");
    let names =
        |count| (1..count).fold(Leaf::for_dns("a0.example.org"), |leaf, n| leaf.dns(&format!("a{n}.example.org")));
    let others: Vec<_> = (1..ANCHORS).map(|n| Authority::new(&format!("CA {n}")).ca_pem().to_owned()).collect();
    let anchors = |others: &[String]| others.concat() + ca.ca_pem();
    let most = ca.issue(names(NAMES - 1)).files().with("ca.crt", anchors(&others[1..]));
    let mut kept = Kept::new(&side, "server", &most);
    let mut following = Following::new(&side).await;
    assert!(following.next().await["trust"]["more"] == 0);
    assert_eq!([left_out(&side, "page_entries").await, left_out(&side, "page_anchors").await], [0, 0]);

    kept.swap(&side, &ca.issue(names(NAMES)).files().with("ca.crt", anchors(&others)));
    let update = following.next().await;
    assert_eq!(
        (&update["identities"][0]["more"]["names"], &update["trust"]["more"]),
        (&1.into(), &1.into()),
        "{update}"
    );
    assert_eq!([left_out(&side, "page_entries").await, left_out(&side, "page_anchors").await], [1, 1]);
}

#[tokio::test]
async fn what_is_told_has_no_key_and_of_processes_nothing_but_whose_they_are_and_no_sign_that_is_not_seen() {
    let side = Side::of_everything(None, DEADLINE).await;
    let leaf =
        Leaf::new("<script>alert(1)</script>\u{202e}gpj.exe\n").dns(&format!("{}.example.org", "x".repeat(10_000)));
    let issued = Authority::new("Test CA").issue(leaf);
    let _kept = Kept::new(&side, "server", &issued.files());
    let _subscription = side.subscribers.connect(
        IdentityId::node("server".parse().unwrap()),
        NewSubscriber {
            pid: 471_108,
            uid: 150_815,
            command: "charly".into(),
            sdk_version: "16.23.42".into(),
            deliver: Delivery::Digest,
            is_attested: true,
            pod: None,
            unit: Some("payments.service".into()),
            life: None,
        },
    );
    let mut following = Following::new(&side).await;
    let update = following.next().await;
    let row = &update["identities"][0];
    assert_eq!(row["subscribers"][0]["whose"], "payments.service");
    let subject = row["leaf"]["subject"].as_str().unwrap();
    assert!(subject.contains("script") && subject.contains("gpj.exe"), "{subject}");
    assert!(row["leaf"]["dns_names"][0].as_str().unwrap().len() <= evercert_core::text::SENTENCE_LIMIT);
    let told = update.to_string();
    assert!(!told.contains(evercert_core::text::is_unseen), "{told}");
    let key: String = issued.key_pem.lines().filter(|line| !line.starts_with("--")).collect();
    for secret in ["471108", "150815", "charly", "16.23.42", "PRIVATE", &key[..40]] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[tokio::test]
async fn pages_that_are_open_keep_no_probe_and_no_scrape_from_its_answer() {
    let side = Side::of_everything(None, DEADLINE).await;
    let mut open = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        open.push(connect(side.address, b"GET /updates HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let answer = tokio::time::timeout(PROBE, get(side.address, path)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
