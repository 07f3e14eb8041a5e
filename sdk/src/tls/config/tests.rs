use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Leaf};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::*;

static EACH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn name() -> ServerName<'static> {
    ServerName::try_from("peer.example.org").unwrap()
}

/// A generation with a leaf for [`name`], valid for a day, which trusts its own authority.
fn generation(authority: &Authority) -> Generation {
    let now = SystemTime::now();
    let issued = authority.issue(Leaf::for_dns("peer.example.org").valid(now - DAY, now + DAY));
    let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    let own = Bundle::new(vec![authority.ca_der().to_vec().into()], Vec::new());
    let bundles = Bundles { own: Some(Arc::new(own)), federated: BTreeMap::new() };
    Generation::load(Arc::new(Snapshot::new(1, Some(Arc::new(credential)), bundles, None))).unwrap()
}

#[test]
fn a_credential_whose_key_is_not_in_memory_is_refused_in_a_sentence() {
    let whole = generation(&Authority::new("root"));
    let refused = Generation::load(Arc::new(whole.snapshot().without_key())).unwrap_err();
    assert!(refused.to_string().contains("its private key is not in memory"), "{refused}");
}

fn serving(generation: &Generation) -> ServerHandshakes {
    let tls =
        ServerTls { versions: TlsVersions::Tls12And13, resumption: Resumption::PerGeneration, ..ServerTls::default() };
    ServerHandshakes::new(generation, &tls, ExpensiveChains::InPlace).unwrap()
}

/// For one of the versions; else as a channel has it.
fn connecting(generation: &Generation, versions: &'static [&'static SupportedProtocolVersion]) -> ClientHandshakes {
    let tls =
        ClientTls { versions: TlsVersions::Tls12And13, resumption: Resumption::PerGeneration, ..ClientTls::default() };
    let handshakes = ClientHandshakes::new(generation, &tls).unwrap();
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&handshakes.verifier) as _)
        .with_client_cert_resolver(Arc::clone(&handshakes.config.client_auth_cert_resolver));
    config.alpn_protocols = handshakes.config.alpn_protocols.clone();
    config.resumption = handshakes.config.resumption.clone();
    ClientHandshakes { config: config.into(), ..handshakes }
}

/// Both ends of a connection, after each has read something of the other: tickets among it.
fn connection(client: &ClientHandshakes, server: &ServerHandshakes) -> (ClientConnection, ServerConnection) {
    let mut client = ClientConnection::new(Arc::clone(&client.config), name()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&server.config)).unwrap();
    server.writer().write_all(b"SETTINGS").unwrap();
    client.writer().write_all(b"PRI").unwrap();
    for _ in 0..5 {
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        let mut sent = &sent[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        let mut sent = &sent[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    client.reader().read_exact(&mut [0; 8]).unwrap();
    server.reader().read_exact(&mut [0; 3]).unwrap();
    assert_eq!(client.handshake_kind(), server.handshake_kind());
    (client, server)
}

fn resumes(client: &ClientHandshakes, server: &ServerHandshakes) -> bool {
    connection(client, server).0.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn a_session_is_resumed_again_and_again() {
    let generation = generation(&Authority::new("root"));
    for versions in EACH {
        let (server, client) = (serving(&generation), connecting(&generation, versions));
        assert!(!resumes(&client, &server));
        for _ in 0..3 {
            let (at_client, at_server) = connection(&client, &server);
            assert_eq!(at_client.handshake_kind(), Some(HandshakeKind::Resumed), "{versions:?}");
            let now = SystemTime::now();
            client.verify_resumed(&at_client, &name(), now).unwrap();
            server.verify_resumed(&at_server, now).unwrap();
        }
    }
}

#[test]
fn nothing_is_resumed_unless_it_is_asked_for() {
    let generation = generation(&Authority::new("root"));
    let both = TlsVersions::Tls12And13;
    let server = ServerHandshakes::new(
        &generation,
        &ServerTls { versions: both, ..ServerTls::default() },
        ExpensiveChains::InPlace,
    )
    .unwrap();
    let client = ClientHandshakes::new(&generation, &ClientTls { versions: both, ..ClientTls::default() }).unwrap();
    for versions in EACH {
        let keeping = connecting(&generation, versions);
        (0..3).for_each(|_| assert!(!resumes(&keeping, &server)));
    }
    let keeping = serving(&generation);
    (0..3).for_each(|_| assert!(!resumes(&client, &keeping)));
}

#[test]
fn configs_of_one_generation_share_no_session_and_those_of_two_neither() {
    let authority = Authority::new("root");
    let (first, second) = (generation(&authority), generation(&authority));
    for versions in EACH {
        let (server, client) = (serving(&first), connecting(&first, versions));
        assert!(!resumes(&client, &server));
        assert!(resumes(&client, &server));
        for generation in [&first, &second] {
            assert!(!resumes(&client, &serving(generation)), "another server's session");
            assert!(!resumes(&connecting(generation, versions), &server), "another channel's session");
        }
    }
}

#[test]
fn a_peer_whose_leaf_expired_since_is_refused_and_shakes_hands_in_full_then() {
    let generation = generation(&Authority::new("root"));
    for versions in EACH {
        let (server, client) = (serving(&generation), connecting(&generation, versions));
        connection(&client, &server);
        let (at_client, at_server) = connection(&client, &server);
        assert_eq!(at_client.handshake_kind(), Some(HandshakeKind::Resumed));
        let late = SystemTime::now() + 2 * DAY;
        let expired = |outcome: Result<(), rustls::Error>| {
            let rustls::Error::InvalidCertificate(error) = outcome.unwrap_err() else { panic!("not about the leaf") };
            assert!(matches!(error, rustls::CertificateError::ExpiredContext { .. }), "{error:?}");
        };

        expired(server.verify_resumed(&at_server, late));
        assert!(!resumes(&client, &server), "the server has forgotten");
        assert!(resumes(&client, &server));

        expired(client.verify_resumed(&at_client, &name(), late));
        assert!(!resumes(&client, &server), "the client has forgotten");
    }
}

#[test]
fn a_server_that_resumes_has_to_be_the_one_that_is_asked_for() {
    let generation = generation(&Authority::new("root"));
    for versions in EACH {
        let (server, client) = (serving(&generation), connecting(&generation, versions));
        connection(&client, &server);
        let (at_client, _) = connection(&client, &server);
        let other = ServerName::try_from("other.example.org").unwrap();
        assert!(client.verify_resumed(&at_client, &other, SystemTime::now()).is_err());
    }
}

#[test]
fn early_data_is_neither_sent_nor_taken() {
    let generation = generation(&Authority::new("root"));
    assert_eq!(serving(&generation).config.max_early_data_size, 0);
    assert!(!connecting(&generation, EACH[0]).config.enable_early_data);
}
