//! The HTTP side by TLS, with a certificate that the daemon publishes itself.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use evercert::source::DirectorySettings;
use evercert::tls::ClientTls;
use evercert::{HttpVersions, Identity, OwnCertificate};
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::home::{Daemon, Home, get, until};

/// A daemon whose HTTP side presents the identity "scraped", with these settings besides.
fn start(home: &Home, mode: &str, settings: &str) -> Daemon {
    let config = fs::read_to_string(home.config()).unwrap();
    let listen = "listen = \"127.0.0.1:0\"\n";
    let tls = format!("{listen}identity = \"scraped\"\nprobes = \"127.0.0.1:0\"\n{settings}");
    fs::write(home.config(), format!("mode = {mode:?}\n{}", config.replace(listen, &tls))).unwrap();
    home.start()
}

fn address(daemon: &Daemon, socket: &str) -> SocketAddr {
    let said = format!("{socket} is open address=");
    daemon.wait_for_log(&said);
    let log = daemon.log();
    log.split(&said).nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// What is answered to `client`, and the serial number of the certificate that was presented.
async fn ask(address: SocketAddr, client: &Identity, own: OwnCertificate) -> std::io::Result<(String, Vec<u8>)> {
    let tls = ClientTls::default().http_versions(HttpVersions::Http1).certificate(own);
    let connector = TlsConnector::from(Arc::new(client.client_config(&tls).unwrap()));
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let presented = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok((answer, presented))
}

async fn until_presented(address: SocketAddr, client: &Identity, former: &[u8]) -> Vec<u8> {
    evercert_fixtures::wait::until("another certificate is presented", || async {
        let (answer, presented) = ask(address, client, OwnCertificate::Presented).await.ok()?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("evercert_identity_published{identity=\"scraped\",scope=\"node\""), "{answer}");
        (presented != former).then_some(presented)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_by_tls_to_whom_the_bundle_vouches_for_and_the_certificate_rotates_in_every_mode() {
    let authority = Authority::new("root.example.org");
    let files = || -> Files { authority.issue(Leaf::for_dns("localhost")).files() };
    let scraper = KubeletVolume::new(&files());
    let scraper = DirectorySettings::new(scraper.path()).observed(false);
    let client = Identity::from_directory(scraper.clone()).await.unwrap();
    for mode in ["publisher", "observer"] {
        let volume = KubeletVolume::new(&Files::new());
        let home = Home::new(&format!("[[identity]]\nname = \"scraped\"\npath = {:?}\n", volume.path()));
        let daemon = start(&home, mode, "client_certificates = true\n");
        let (listen, probes) = (address(&daemon, "HTTP socket"), address(&daemon, "HTTP socket for probes"));

        assert!(ask(listen, &client, OwnCertificate::Presented).await.is_err(), "{mode}: there is nothing to present");
        let (status, unready) = get(probes, "/readyz");
        assert!(status == 503 && unready.contains("scraped"), "{mode}: {unready}");
        let said = "`listen` of [http] presents the certificate that `identity` of [http] names, and identity scraped has nothing";
        daemon.wait_for_log(said);
        let (_, told, _) = home.ask(&["status"]);
        assert!(told.contains(said), "{mode}: {told}");

        volume.swap(&files());
        let first = until_presented(listen, &client, &[]).await;
        assert_eq!(daemon.log().matches(said).count(), 1, "{mode}: it is said once");
        until("it is forgotten", || (!home.ask(&["status"]).1.contains(said)).then_some(()), || daemon.log());
        let anonymous = ask(listen, &client, OwnCertificate::Withheld).await;
        assert!(anonymous.is_err(), "{mode}: {anonymous:?}");
        let stranger =
            KubeletVolume::new(&Authority::new("other.example.org").issue(Leaf::for_dns("localhost")).files());
        let stranger =
            DirectorySettings::new(stranger.path()).observed(false).dedicated_bundle(volume.path().join("ca.crt"));
        let stranger = Identity::from_directory(stranger).await.unwrap();
        let refused = ask(listen, &stranger, OwnCertificate::Presented).await;
        assert!(refused.is_err(), "{mode}: {refused:?}");
        assert!(evercert_fixtures::http_get(listen, "/healthz", crate::home::DEADLINE).is_err(), "{mode}: plain text");

        volume.swap(&files());
        let second = until_presented(listen, &client, &first).await;
        volume.swap(&Files::new().with("tls.crt", "broken").with("tls.key", "broken"));
        assert_eq!(until_presented(listen, &client, &[]).await, second, "{mode}: the last good stays");

        assert_eq!([get(probes, "/healthz").0, get(probes, "/readyz").0], [200, 200], "{mode}");
        for path in ["/", "/metrics", "/healthz/"] {
            assert_eq!(get(probes, path).0, 404, "{mode}: {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_client_certificates_anybody_may_ask_whatever_it_shows() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&authority.issue(Leaf::for_dns("localhost")).files());
    let home = Home::new(&format!("[[identity]]\nname = \"scraped\"\npath = {:?}\n", volume.path()));
    let daemon = start(&home, "observer", "");
    let client = Identity::from_directory(DirectorySettings::new(volume.path()).observed(false)).await.unwrap();
    let listen = address(&daemon, "HTTP socket");
    until_presented(listen, &client, &[]).await;
    let (answer, _) = ask(listen, &client, OwnCertificate::Withheld).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
