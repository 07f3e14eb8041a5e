//! The page of metrics of the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evercert_core::digest::Digest;
use evercert_fixtures::wait::{DEADLINE, until};
use evercert_fixtures::{Authority, Entity, HOUR, Issued, KubeletVolume, Leaf, free_address, http_get};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::program;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

fn home() -> Home {
    Home::open_to_all(&std::env::temp_dir(), || program!())
}

fn leaf() -> Leaf {
    Leaf::for_dns("greeter.example.org")
}

fn page(home: &Home) -> Option<String> {
    let (status, page) = http_get(home.http().unwrap(), "/metrics", DEADLINE).ok()?;
    (status == 200).then_some(page)
}

/// The value of the one series whose line begins with this.
fn value(page: &str, series: &str) -> Option<f64> {
    let mut lines = page.lines().filter_map(|line| line.strip_prefix(series)?.rsplit_once(' '));
    let (_, value) = lines.next()?;
    assert!(lines.next().is_none(), "{series} is more than one series in {page}");
    value.parse().ok()
}

/// Waits until that is so, and gives the page.
async fn until_value(home: &Home, series: &str, wanted: impl Fn(f64) -> bool) -> String {
    until(&format!("{series} is as wanted"), || async {
        page(home).filter(|page| value(page, series).is_some_and(&wanted))
    })
    .await
}

const GENERATION: &str = "evercert_identity_generation{identity=\"greeter\"";
const ROTATION: &str = "evercert_identity_last_rotation_timestamp_seconds{identity=\"greeter\"";

#[tokio::test(flavor = "multi_thread")]
async fn the_last_rotation_outlives_the_daemon_and_a_rotation_while_it_was_away_is_one() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&authority.issue(leaf()).files());
    let home = home();
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let first = value(&until_value(&home, GENERATION, |generation| generation == 1.0).await, ROTATION).unwrap();
    let state = home.config().with_file_name("state").join("rotations.json");
    until("it is written down", || async {
        std::fs::read_to_string(&state).ok().filter(|text| text.contains("greeter"))
    })
    .await;
    daemon.terminate().await;

    let daemon = home.start().await;
    let again = value(&until_value(&home, GENERATION, |generation| generation == 1.0).await, ROTATION).unwrap();
    assert!((again - first).abs() < 0.002, "it was rotated at {first}, not at {again}");
    daemon.terminate().await;

    volume.swap(&authority.issue(leaf()).files());
    let _daemon = home.start().await;
    let changed = value(&until_value(&home, GENERATION, |generation| generation == 1.0).await, ROTATION).unwrap();
    assert!(changed > first + 0.002, "{changed} is when the first one was published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_held_counts_as_held_and_not_as_rejected() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&authority.issue(leaf()).files());
    let home = home();
    home.configure(&identity("greeter", volume.path()));
    let _daemon = home.start().await;
    until_value(&home, GENERATION, |generation| generation == 1.0).await;
    let soon = SystemTime::now() + HOUR;
    volume.swap(&authority.issue(leaf().valid(soon, soon + HOUR)).files());
    let reloads =
        |result| format!("evercert_identity_reloads_total{{identity=\"greeter\",scope=\"node\",result=\"{result}\"}}");
    let page = until_value(&home, &reloads("held"), |count| count >= 1.0).await;
    assert_eq!(value(&page, &reloads("rejected")), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_tells_of_itself_and_of_a_look_before_the_first_tick() {
    let home = home();
    home.configure("");
    let daemon = home.start().await;
    let page = until_value(&home, "process_resident_memory_bytes", |bytes| bytes > 1e6).await;
    let since = |series| {
        let at = UNIX_EPOCH + Duration::from_secs_f64(value(&page, series).unwrap());
        SystemTime::now().duration_since(at).unwrap_or_default()
    };
    for series in ["process_start_time_seconds", "evercert_source_last_scan_timestamp_seconds"] {
        assert!(since(series) < Duration::from_secs(60), "{series} was {:?} ago", since(series));
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let told = value(&page, "process_open_fds").unwrap();
    assert!((told - f64::from(u32::try_from(open).unwrap())).abs() < 10.0, "{told} are told of {open}");
    for series in ["process_cpu_seconds_total", "process_max_fds", "process_threads", "process_virtual_memory_bytes"] {
        assert!(value(&page, series).is_some(), "{series} is not in {page}");
    }
    assert!(page.contains("evercert_build_info{revision=\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_that_takes_gzip_gets_the_page_in_a_fraction_of_its_bytes() {
    let home = home();
    home.configure("");
    let _daemon = home.start().await;
    let plain = until("the page is there", || async { page(&home) }).await;
    let mut stream = TcpStream::connect(home.http().unwrap()).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\naccept-encoding: gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_lowercase(), &answer[end + 4..]);
    assert!(head.contains("content-encoding: gzip") && head.contains("content-type: text/plain"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
    assert!(text.contains("evercert_build_info"), "{text}");
    assert!(body.len() * 3 < plain.len(), "{} of {} bytes", body.len(), plain.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_in_one_bundle_are_told_apart_and_a_limit_leaves_out_what_ends_last() {
    // A CA that was made twice with one name and one serial number.
    let root = |hours: u32| {
        Entity::root_with("root.example.org", |params| {
            params.serial_number = Some(1_u64.into());
            params.not_after = (SystemTime::now() + HOUR * hours).into();
        })
    };
    let roots = [root(100), root(200)];
    let issued = Authority::new("other.example.org").issue(leaf());
    let bundle: String = roots.iter().map(Entity::pem).collect::<String>()
        + &String::from_utf8_lossy(issued.files().content("ca.crt").unwrap());
    let volume = KubeletVolume::new(&issued.files().with("ca.crt", &bundle));
    let home = home();
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let page = until_value(&home, GENERATION, |generation| generation == 1.0).await;
    let twins: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("x509_cert_not_after") && line.contains("subject_CN=\"root.example.org\""))
        .collect();
    assert_eq!(twins.len(), 2, "{twins:?}");
    assert!(twins.iter().all(|line| line.contains("discriminator=\"")), "{twins:?}");
    assert!(value(&page, "x509_cert_collision_total{source_kind=\"file\"}").unwrap() >= 1.0);
    assert_eq!(value(&page, "x509_cert_collision_dropped_total{source_kind=\"file\"}"), Some(0.0));
    assert_eq!(value(&page, "evercert_metrics_left_out{of=\"certificates\"}"), Some(0.0));
    daemon.terminate().await;

    let text = std::fs::read_to_string(home.config()).unwrap().replace("[http]\n", "[http]\nmetrics_limit = 1\n");
    std::fs::write(home.config(), text).unwrap();
    let _daemon = home.start().await;
    let page = until_value(&home, GENERATION, |generation| generation == 1.0).await;
    assert_eq!(page.lines().filter(|line| line.starts_with("x509_cert_not_after")).count(), 1);
    assert_eq!(value(&page, "evercert_metrics_left_out{of=\"certificates\"}"), Some(3.0));
}

/// A TLS server that presents this, on a thread of its own for as long as the test runs.
fn present(issued: &Issued) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(issued.combined_pem().as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = connection.complete_io(&mut stream);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_endpoints_present_is_held_against_what_is_published_and_an_absent_one_is_unknown() {
    let authority = Authority::new("root.example.org");
    let issued = authority.issue(leaf());
    let (fresh, other, nobody) = (present(&issued), present(&authority.issue(leaf())), free_address());
    let volume = KubeletVolume::new(&issued.files());
    let home = home();
    let serves = format!("serves = [\"{fresh}\", \"{other}\", \"{nobody}\"]\n");
    home.configure(&(identity("greeter", volume.path()) + &serves));
    let daemon = home.start().await;
    let series =
        |name: &str, endpoint| format!("evercert_endpoint_{name}{{identity=\"greeter\",endpoint=\"{endpoint}\"}}");
    for (endpoint, reachable) in [(other, 1.0), (nobody, 0.0)] {
        until_value(&home, &series("reachable", endpoint), |value| value == reachable).await;
    }
    let told = until_value(&home, &series("stale", fresh), |stale| stale == 0.0).await;
    let not_after = "evercert_identity_not_after_timestamp_seconds{identity=\"greeter\",scope=\"node\"}";
    assert_eq!(value(&told, &series("not_after_timestamp_seconds", fresh)), value(&told, not_after));
    // It may be late: that a leaf is stale is said once it had time to be taken.
    assert_eq!(value(&told, &series("stale", other)), None);
    for name in ["stale", "not_after_timestamp_seconds", "not_before_timestamp_seconds"] {
        assert_eq!(value(&told, &series(name, nobody)), None, "{name}");
    }

    home.configure(&identity("greeter", volume.path()));
    daemon.signal(rustix::process::Signal::HUP);
    until("endpoints that are named no longer have no series", || async {
        page(&home).filter(|page| !page.contains("evercert_endpoint_stale{"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_ca_may_go_is_told_by_how_many_present_and_trust_it() {
    // Of one name: a CA that got another key.
    let [old, new] = [1, 2].map(|_| Authority::new("root.example.org"));
    let both = format!("{}{}", old.ca_pem(), new.ca_pem());
    let ca = |authority: &Authority, of: &str, how: &str| {
        let sha256 = Digest::fingerprint(authority.ca_der());
        format!("evercert_ca_{of}{{sha256=\"{sha256}\",subject=\"CN=root.example.org\",use=\"{how}\"}}")
    };
    let volumes =
        [&old, &old].map(|authority| KubeletVolume::new(&authority.issue(leaf()).files().with("ca.crt", &both)));
    let home = home();
    let names = ["greeter", "ledger"];
    let identities = names.iter().zip(&volumes).map(|(name, volume)| identity(name, volume.path()));
    home.configure(&identities.collect::<String>());
    let _daemon = home.start().await;
    let page = until_value(&home, &ca(&old, "identities", "presents"), |count| count == 2.0).await;
    assert_eq!(value(&page, &ca(&old, "identities", "trusts")), Some(2.0));
    assert_eq!(value(&page, &ca(&new, "identities", "trusts")), Some(2.0));
    assert_eq!(value(&page, &ca(&new, "identities", "presents")), None, "nobody is under it yet");
    assert_eq!(value(&page, &ca(&old, "subscribers", "presents")), Some(0.0));

    volumes[0].swap(&new.issue(leaf()).files().with("ca.crt", &both));
    let page = until_value(&home, &ca(&new, "identities", "presents"), |count| count == 1.0).await;
    assert_eq!(value(&page, &ca(&old, "identities", "presents")), Some(1.0), "the other one is still under it");

    volumes[1].swap(&new.issue(leaf()).files().with("ca.crt", &both));
    let page = until_value(&home, &ca(&new, "identities", "presents"), |count| count == 2.0).await;
    assert_eq!(value(&page, &ca(&old, "identities", "presents")), None, "it may go from what is presented");
    assert_eq!(value(&page, &ca(&old, "identities", "trusts")), Some(2.0));
}
