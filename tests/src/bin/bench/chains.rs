//! The cost of strangers' chains to a server, and to others' handshakes meanwhile.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::crypto;
use evercert_fixtures::{Authority, Issued};
use rustix::time::{ClockId, clock_gettime};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;

use crate::latencies::Latencies;
use crate::stage;

/// The common name of the anchor, which anybody may write into a certificate.
const ANCHOR: &str = "bench";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each kind of chain is shown
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many strangers connect at a time
    #[arg(long, default_value_t = 2)]
    strangers: usize,
}

pub(crate) async fn run(args: Args) -> Value {
    let good = stage::certificates(1).remove(0);
    let identity = stage::unchanging(&good).await;
    let (listener, address) = stage::listener().await;
    let incoming = identity.incoming(listener);
    tokio::spawn(async move {
        let mut incoming = pin!(incoming);
        while incoming.next().await.is_some() {}
    });
    let neighbour = TlsConnector::from(stage::static_client(&good));
    let mut kinds = vec![("good", neighbour.clone(), true)];
    kinds.extend(hostile().map(|(kind, issued, shown)| (kind, connector(&issued, shown, &good), false)));
    let (mut figures, mut kept) = (serde_json::Map::new(), true);
    for (kind, connector, welcome) in kinds {
        let until = Instant::now() + Duration::from_secs(args.seconds);
        let before = clock_gettime(ClockId::ProcessCPUTime);
        let mut strangers = JoinSet::new();
        for _ in 0..args.strangers {
            strangers.spawn(attempts(connector.clone(), address, until));
        }
        let mut latencies = Latencies::new();
        let (mut made, mut failed) = (0_u32, 0_u32);
        while Instant::now() < until {
            let began = Instant::now();
            if shake_hands(&neighbour, address).await {
                latencies.record(began.elapsed())
            } else {
                failed += 1
            }
            made += 1;
        }
        let (mut attempted, mut accepted) = (0, 0);
        for (tried, let_in) in strangers.join_all().await {
            (attempted, accepted) = (attempted + tried, accepted + let_in);
        }
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = (cpu.tv_sec - before.tv_sec) as f64 * 1e3 + (cpu.tv_nsec - before.tv_nsec) as f64 / 1e6;
        kept &= failed == 0 && (welcome || accepted == 0);
        figures.insert(
            kind.to_owned(),
            json!({
                "attempts": attempted,
                "accepted": accepted,
                "cpu_ms_an_attempt_both_sides": (cpu / f64::from(attempted + made) * 1e3).round() / 1e3,
                "neighbour_ms": latencies.figures(),
                "neighbour_failed": failed,
            }),
        );
    }
    json!({
        "scenario": "chains",
        "settings": { "seconds": args.seconds, "strangers": args.strangers },
        "kinds": figures,
        "kept": kept,
    })
}

/// Chains that nobody trusted has issued, each made to cost as much as it can.
fn hostile() -> [(&'static str, Issued, Vec<CertificateDer<'static>>); 4] {
    let issue = |by: &Authority| by.issue_dns(stage::NAME);
    let root = |name: &str| CertificateDer::from(Authority::new(name).ca_der().to_vec());
    let stranger = Authority::new("stranger");
    let of_one_name = |count| (0..count).map(|_| root("stranger")).collect();
    let forger = Authority::new(ANCHOR);
    let forged: Vec<_> = (0..16).map(|_| forger.intermediate("sub")).collect();
    let (mut layers, mut above) = (Vec::new(), vec![Authority::new(ANCHOR)]);
    for layer in ["first", "second", "third"] {
        above = (0..5).map(|number| above[number % above.len()].intermediate(layer)).collect();
        layers.extend(above.iter().map(own));
    }
    [
        ("issuers_of_one_name", issue(&stranger), of_one_name(16)),
        ("a_hundred_issuers_of_one_name", issue(&stranger), of_one_name(100)),
        ("forged_issuers", issue(&forged[0]), forged.iter().map(own).collect()),
        ("layers_of_forged_issuers", issue(&above[0]), layers),
    ]
}

fn own(authority: &Authority) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(authority.own_pem().as_bytes()).unwrap()
}

/// A client that shows this leaf with those certificates.
fn connector(issued: &Issued, shown: Vec<CertificateDer<'static>>, server: &Issued) -> TlsConnector {
    let chain = std::iter::once(issued.leaf_der.clone().into()).chain(shown).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.ca_der.clone().into()).unwrap();
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(issued.key_der.clone().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn attempts(connector: TlsConnector, address: SocketAddr, until: Instant) -> (u32, u32) {
    let (mut tried, mut accepted) = (0, 0);
    while Instant::now() < until {
        tried += 1;
        accepted += u32::from(shake_hands(&connector, address).await);
    }
    (tried, accepted)
}

/// Whether the server lets the client in: it closes what it has accepted, and answers a stranger with an alert.
async fn shake_hands(connector: &TlsConnector, address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else { return false };
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(stage::NAME).unwrap();
    let Ok(mut stream) = connector.connect(name, stream).await else { return false };
    match stream.read(&mut [0]).await {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
    }
}
