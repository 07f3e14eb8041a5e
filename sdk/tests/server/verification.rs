//! Our client config's demands on a server.

use std::io;
use std::sync::Arc;

use evercert::Identity;
use evercert::identity::SigningLeaves;
use evercert::tls::{ClientTls, ServerVerification};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, CustomExtension, ExtendedKeyUsagePurpose, Issued, KeyUsagePurpose, Leaf};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::clients::tcp;
use super::serving::{listen, nobody_asked};
use super::support::{DEADLINE, Script, bundle, credential, soon};

/// The outcome of a handshake for `uri_name` with a server that presents `served`.
async fn handshake(
    served: &Issued,
    trusted: &Authority,
    verification: ServerVerification,
    uri_name: &str,
) -> Result<(), CertificateError> {
    shake_hands(served, Snapshot::new(1, None, bundle(&[trusted]), None), verification, uri_name).await
}

/// The same, for a client that trusts as the snapshot says.
async fn shake_hands(
    served: &Issued,
    trusting: Snapshot,
    verification: ServerVerification,
    uri_name: &str,
) -> Result<(), CertificateError> {
    let server = Script::of(Snapshot::new(1, credential(served), Bundles::default(), None)).identity().await;
    let (listener, port) = listen().await;
    let _incoming = server.incoming_with(listener, nobody_asked());
    let client = Script::of(trusting).identity().await;
    shake_hands_as(&client, port, verification, uri_name).await
}

/// The same, for a client that is there already.
async fn shake_hands_as(
    client: &Identity,
    port: u16,
    verification: ServerVerification,
    uri_name: &str,
) -> Result<(), CertificateError> {
    let config = client.client_config(&ClientTls::default().verification(verification)).unwrap();
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

#[tokio::test]
async fn a_federated_ca_vouches_for_spiffe_ids_and_for_no_name() {
    let (own, partner) = (Authority::new("own"), Authority::new("partner"));
    let id = "spiffe://partner.example.org/a";
    let served = partner.issue(Leaf::for_dns("ours.example.org").uri(id));
    let federated = |verification| {
        let anchors = vec![partner.ca_der().to_vec().into()];
        let partners = Arc::new(Bundle::new(anchors, Vec::new()));
        let trusted =
            Bundles { federated: [("partner.example.org".parse().unwrap(), partners)].into(), ..bundle(&[&own]) };
        shake_hands(&served, Snapshot::new(1, None, trusted, None), verification, "ours.example.org")
    };
    assert_eq!(federated(ServerVerification::SpiffeIds(vec![id.parse().unwrap()])).await, Ok(()));
    for by_name in [ServerVerification::Name, ServerVerification::names(["ours.example.org"]).unwrap()] {
        let refused = federated(by_name).await.unwrap_err().to_string();
        assert!(refused.contains("partner.example.org") && refused.contains("SPIFFE ID"), "{refused}");
    }
}

#[tokio::test]
async fn a_leaf_that_may_sign_is_accepted_unless_it_is_to_be_refused() {
    let ca = Authority::new("root");
    let usages = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let served = ca.issue(Leaf::for_dns("a.example.org").key_usages(&usages));
    let server = Script::of(Snapshot::new(1, credential(&served), Bundles::default(), None)).identity().await;
    let (listener, port) = listen().await;
    let _incoming = server.incoming_with(listener, nobody_asked());
    let shake_hands = async |answer| {
        let trusting = Script::of(Snapshot::new(1, None, bundle(&[&ca]), None));
        let client = Identity::from_source("test", trusting).timeout(DEADLINE).signing_leaves(answer).await.unwrap();
        shake_hands_as(&client, port, ServerVerification::Name, "a.example.org").await
    };
    assert_eq!(shake_hands(SigningLeaves::Accept).await, Ok(()));
    let refused = shake_hands(SigningLeaves::Refuse).await.unwrap_err().to_string();
    assert!(refused.contains("the leaf's key usage allows to sign certificates or CRLs"), "{refused}");
}

#[tokio::test]
async fn a_constraint_that_cannot_be_evaluated_is_told_in_words() {
    let ca = Authority::new("root");
    let sub = ca.intermediate_of(Leaf::new("sub").params(|sub| {
        // Permits the directory name of no attributes, which all are under.
        let content = vec![0x30, 8, 0xa0, 6, 0x30, 4, 0xa4, 2, 0x30, 0];
        sub.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], content));
    }));
    let served = sub.issue_dns("a.example.org");
    let refused = handshake(&served, &ca, ServerVerification::Name, "a.example.org").await.unwrap_err().to_string();
    assert!(
        refused.contains("constrains directory names, and constraints of that kind are not supported"),
        "{refused}"
    );
}
