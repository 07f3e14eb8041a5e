use std::net::Ipv4Addr;

use evercert_core::certificate::CertificateFacts;
use evercert_core::crypto;
use evercert_fixtures::{Authority, Issued, Leaf};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_util::task::AbortOnDropHandle;

use super::*;

fn issued() -> (Authority, Issued) {
    let authority = Authority::new("root.example.org");
    let issued = authority.issue(Leaf::for_dns("payments.example.org"));
    (authority, issued)
}

/// A server that presents this by these versions, and where clients of `authority` are asked for refuses all others.
async fn server(
    issued: &Issued,
    versions: &[&'static SupportedProtocolVersion],
    authority: Option<&Authority>,
) -> (Endpoint, AbortOnDropHandle<()>) {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.combined_pem().as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(crypto::provider()).with_protocol_versions(versions).unwrap();
    let config = match authority {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.ca_der().to_vec().into()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), crypto::provider()).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.shutdown().await;
            }
        }
    });
    (endpoint, AbortOnDropHandle::new(serving))
}

#[tokio::test]
async fn the_leaf_of_a_server_is_seen_whatever_it_speaks_and_whoever_it_lets_in() {
    let (authority, issued) = issued();
    let expected = CertificateFacts::from_der(&issued.leaf_der).unwrap();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for clients in [None, Some(&authority)] {
            let (endpoint, _server) = server(&issued, versions, clients).await;
            let found = presented::by(&endpoint, Some("payments.example.org")).await.unwrap();
            assert_eq!((found.fingerprint, found.not_after), (expected.fingerprint, expected.not_after));
        }
    }
}

#[tokio::test]
async fn who_does_not_answer_or_speaks_no_tls_is_unknown() {
    let nobody = evercert_fixtures::free_address();
    let endpoint = nobody.to_string().parse().unwrap();
    assert!(matches!(presented::by(&endpoint, None).await, Err(Unknown::Connect(_))));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    let _server = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example.org\r\n").await;
        }
    }));
    assert!(matches!(presented::by(&endpoint, None).await, Err(Unknown::Tls(_))));
}

#[tokio::test]
async fn an_address_that_swallows_what_is_sent_to_it_keeps_no_other_of_its_name_from_being_asked() {
    let bound = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        socket
    };
    // Where the queue of those that nobody accepts is full, the kernel answers nothing.
    let hole = bound().listen(1).unwrap();
    let swallowing = hole.local_addr().unwrap();
    let _queued = [TcpStream::connect(swallowing).await.unwrap(), TcpStream::connect(swallowing).await.unwrap()];
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let answering = server.local_addr().unwrap();
    let stream = tokio::time::timeout(DEADLINE, presented::connected([swallowing, answering])).await;
    assert_eq!(stream.expect("the first is not waited for").unwrap().peer_addr().unwrap(), answering);
}

#[test]
fn of_an_endpoint_that_is_of_no_interest_any_more_nothing_is_told_whether_it_answered_or_not() {
    let (_, issued) = issued();
    let CertificateFacts { fingerprint, not_before, not_after, .. } =
        CertificateFacts::from_der(&issued.leaf_der).unwrap();
    let key = (IdentityId::node("payments".parse().unwrap()), "localhost:443".parse().unwrap());
    let told = |schedule: &Schedule| {
        let found = [Ok(Presented { fingerprint, not_before, not_after }), Err(Unknown::Late(DEADLINE))];
        found.map(|found| judged(schedule, &key, fingerprint, found, Instant::now()).is_some())
    };
    let mut schedule = Schedule::default();
    schedule.expect(vec![(key.clone(), Expected { leaf: fingerprint, server_name: None })], Instant::now());
    assert_eq!(told(&schedule), [true, true]);
    assert_eq!(schedule.expect(Vec::new(), Instant::now()).len(), 1);
    assert_eq!(told(&schedule), [false, false], "its series would stay for as long as the daemon does");
}
