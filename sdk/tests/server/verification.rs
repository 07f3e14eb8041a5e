//! What our client config demands of a server.

use std::io;
use std::sync::Arc;

use evercert::tls::{ClientTls, ServerVerification};
use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Issued, Leaf};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::clients::tcp;
use super::serving::{listen, nobody_asked};
use super::support::{Script, bundle, snapshot, soon};

/// The outcome of a handshake for `uri_name` with a server that presents `served`.
async fn handshake(
    served: &Issued,
    trusted: &Authority,
    verification: ServerVerification,
    uri_name: &str,
) -> Result<(), CertificateError> {
    let server = Script::of(snapshot(1, served, &[trusted])).identity().await;
    let (listener, port) = listen().await;
    let _incoming = server.incoming_with(listener, nobody_asked());
    let trusting = evercert_core::snapshot::Snapshot::new(1, None, bundle(&[trusted]), None);
    let client = Script::of(trusting).identity().await;
    let config = client.client_config(&ClientTls { verification, ..ClientTls::default() }).unwrap();
    match connect(config, tcp(port).await, uri_name).await {
        Ok(()) => Ok(()),
        Err(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(error)) => Err(error.clone()),
            _ => panic!("{error:?}"),
        },
    }
}

async fn connect(config: ClientConfig, io: TcpStream, name: &str) -> io::Result<()> {
    let name = ServerName::try_from(name).unwrap().to_owned();
    soon(TlsConnector::from(Arc::new(config)).connect(name, io)).await.map(drop)
}

fn misnamed(outcome: &Result<(), CertificateError>) -> bool {
    matches!(outcome, Err(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
}

#[tokio::test]
async fn the_server_is_verified_by_the_name_or_address_of_the_uri() {
    let ca = Authority::new("root");
    let served = ca.issue(Leaf::new("common").dns("*.example.org").ip([192, 0, 2, 1].into()));
    let by_name = async |name| handshake(&served, &ca, ServerVerification::Name, name).await;
    assert_eq!(by_name("a.example.org").await, Ok(()));
    assert_eq!(by_name("192.0.2.1").await, Ok(()));
    for wrong in ["example.org", "a.b.example.org", "common", "192.0.2.2"] {
        assert!(misnamed(&by_name(wrong).await), "{wrong}");
    }
}

#[tokio::test]
async fn given_names_stand_in_for_the_uri() {
    let ca = Authority::new("root");
    let served = ca.issue_dns("a.example.org");
    let names = |names: &[&str]| ServerVerification::names(names).unwrap();
    let given = async |names| handshake(&served, &ca, names, "192.0.2.9").await;
    assert_eq!(given(names(&["b.example.org", "a.example.org"])).await, Ok(()));
    assert!(misnamed(&given(names(&["b.example.org"])).await));
    assert!(misnamed(&given(names(&[])).await));
    assert!(ServerVerification::names(["not a name"]).is_err());
}

#[tokio::test]
async fn a_spiffe_id_stands_in_for_names() {
    let ca = Authority::new("root");
    let ids = |id: &str| ServerVerification::SpiffeIds(vec![id.parse().unwrap()]);
    let right = || ids("spiffe://example.org/a");
    let svid = |leaf: Leaf| ca.issue(leaf.uri("spiffe://example.org/a"));
    let plain = svid(Leaf::new("a"));
    assert_eq!(handshake(&plain, &ca, right(), "192.0.2.9").await, Ok(()));
    assert!(misnamed(&handshake(&plain, &ca, ids("spiffe://example.org/ab"), "192.0.2.9").await));
    assert!(misnamed(&handshake(&plain, &ca, ids("spiffe://example.com/a"), "192.0.2.9").await));
    for other in ["spiffe://example.org/a", "spiffe://example.org/b"] {
        let two = svid(Leaf::new("a").uri(other));
        assert!(misnamed(&handshake(&two, &ca, right(), "192.0.2.9").await));
        assert!(misnamed(&handshake(&two, &ca, ids(other), "192.0.2.9").await));
    }
    let named = ca.issue_dns("a.example.org");
    assert!(misnamed(&handshake(&named, &ca, right(), "a.example.org").await));
}

#[tokio::test]
async fn a_name_does_not_make_up_for_the_path() {
    let (ca, other) = (Authority::new("root"), Authority::new("other"));
    let name = "a.example.org";
    let foreign = other.issue_dns(name);
    let outcome = handshake(&foreign, &ca, ServerVerification::Name, name).await;
    assert_eq!(outcome, Err(CertificateError::UnknownIssuer));
    let client_only = Leaf::for_dns(name).extended_key_usages(&[ExtendedKeyUsagePurpose::ClientAuth]);
    let outcome = handshake(&ca.issue(client_only), &ca, ServerVerification::Name, name).await;
    assert!(matches!(outcome, Err(CertificateError::InvalidPurposeContext { .. })), "{outcome:?}");
}
