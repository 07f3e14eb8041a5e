use std::sync::Arc;
use std::time::SystemTime;

use evercert_fixtures::{CertificateParams, Entity, ExtendedKeyUsagePurpose as Eku, HOUR, KeyPair, key, odd};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection, SideData,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::*;
use crate::credential::PrivateKey;

fn judge(change: impl FnOnce(&mut CertificateParams)) -> Result<(), LoadError> {
    chain(&[Entity::root("root").leaf_with(change).der()])
}

fn judge_altered(change: impl FnOnce(&mut Vec<odd::Element>)) -> Result<(), LoadError> {
    let root = Entity::root("root");
    chain(&[odd::altered(&root.leaf(), &root, change)])
}

fn malformed(outcome: &Result<(), LoadError>) -> bool {
    matches!(outcome, Err(LoadError::Leaf(_)))
}

#[test]
fn a_leaf_of_version_1_or_with_what_nobody_understands_is_for_nobody() {
    assert_eq!(judge_altered(|_| {}), Ok(()));
    assert_eq!(judge_altered(odd::version_1), Err(LoadError::Leaf(webpki::Error::UnsupportedCertVersion)));
    let critical = judge_altered(odd::extension(odd::UNKNOWN_CRITICAL));
    assert_eq!(critical, Err(LoadError::CriticalExtension { oid: "1.2.3.4.5".to_owned() }));
    assert_eq!(judge_altered(odd::extension(odd::UNKNOWN)), Ok(()));
}

#[test]
fn a_leaf_with_an_extension_twice_is_for_nobody_even_where_nobody_reads_it() {
    assert!(judge_altered(odd::first_extension_again).is_err());
    let twice = |fields: &mut Vec<odd::Element>| {
        odd::extension(odd::UNKNOWN)(fields);
        odd::extension(odd::UNKNOWN)(fields);
    };
    assert_eq!(judge_altered(twice), Err(LoadError::DoubledExtension { oid: "1.2.3.4.5".to_owned() }));
}

#[test]
fn a_leaf_whose_times_are_written_oddly_is_for_nobody() {
    assert_eq!(judge_altered(odd::without_seconds), Err(LoadError::Leaf(webpki::Error::BadDerTime)));
    assert!(malformed(&judge_altered(odd::with_a_fraction)));
    assert!(malformed(&judge_altered(odd::not_after(0x17, "300101000000+0100"))));
    assert_eq!(judge_altered(odd::not_after(0x18, "20300101000000Z")), Ok(()));
}

#[test]
fn a_leaf_whose_time_has_not_come_or_is_over_can_be_loaded() {
    let now = evercert_fixtures::now();
    assert_eq!(judge(|leaf| leaf.not_before = (now + HOUR).into()), Ok(()));
    assert_eq!(judge(|leaf| leaf.not_after = (now - HOUR).into()), Ok(()));
}

#[test]
fn a_leaf_is_for_one_role_at_least() {
    assert_eq!(judge(|leaf| leaf.extended_key_usages = vec![Eku::ClientAuth]), Ok(()));
    assert_eq!(judge(|leaf| leaf.extended_key_usages = vec![Eku::CodeSigning, Eku::ServerAuth]), Ok(()));
    assert_eq!(judge(|leaf| leaf.extended_key_usages.clear()), Ok(()));
    assert_eq!(judge(|leaf| leaf.extended_key_usages = vec![Eku::CodeSigning]), Err(LoadError::NoRole));
    assert_eq!(judge(|leaf| leaf.extended_key_usages = vec![Eku::Any]), Err(LoadError::NoRole));
    let root = Entity::root("root");
    let without = root.leaf_with(|leaf| leaf.extended_key_usages.clear());
    let empty = odd::altered(&without, &root, odd::extension(odd::EMPTY_EXTENDED_KEY_USAGE));
    assert_eq!(chain(&[empty]), Err(LoadError::Leaf(webpki::Error::EmptyEkuExtension)));
}

#[test]
fn a_key_of_another_leaf_is_not_loaded() {
    let leaf = Entity::root("root").leaf();
    let load = |key: &KeyPair| {
        let key = PrivateKey::from_pkcs8(Zeroizing::new(key.serialize_der())).unwrap();
        certified_key(&Credential::new(vec![leaf.der()], key).unwrap()).map(|_| ())
    };
    assert_eq!(load(&leaf.key), Ok(()));
    assert_eq!(load(&key()), Err(LoadError::KeyMismatch));
    let key = PrivateKey::from_pkcs8(Zeroizing::new(leaf.key.serialize_der())).unwrap();
    let without = Credential::new(vec![leaf.der()], key).unwrap().without_key();
    assert_eq!(certified_key(&without).map(|_| ()), Err(LoadError::WithoutKey));
}

#[test]
fn the_longest_chain_that_is_admitted_is_received_by_either_side_in_either_version() {
    // rustls asks the system for the time.
    let (start, end) =
        (SystemTime::UNIX_EPOCH.into(), (evercert_fixtures::now() + 36_500 * evercert_fixtures::DAY).into());
    let root = Entity::root_with("root", |root| (root.not_before, root.not_after) = (start, end));
    let leaf = root.leaf_with(|leaf| (leaf.not_before, leaf.not_after) = (start, end));
    let chain_of = |length: usize| {
        let mut certificates = vec![leaf.der()];
        let mut left = length - MESSAGE_FRAME - ENTRY_FRAME - leaf.der().len();
        while left > 0 {
            // Filling that a peer passes over; two of them, as one certificate is never that long.
            let filling = left.min(40_000) - ENTRY_FRAME;
            certificates.push(vec![0; filling].into());
            left -= filling + ENTRY_FRAME;
        }
        certificates
    };
    let longest = chain_of(MAX_CERTIFICATE_MESSAGE);
    assert_eq!(chain(&longest), Ok(()));
    let longer = chain_of(MAX_CERTIFICATE_MESSAGE + 1);
    assert_eq!(chain(&longer), Err(LoadError::TooLong { length: MAX_CERTIFICATE_MESSAGE + 1 }));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(handshake(&root, &leaf, &longest, version), Ok(()), "{version:?}");
        assert!(handshake(&root, &leaf, &chain_of(0x1_0000 + 8), version).is_err(), "{version:?}");
    }
}

/// A handshake in which both sides present `chain`.
fn handshake(
    root: &Entity,
    leaf: &Entity,
    chain: &[CertificateDer<'static>],
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der()).unwrap();
    let roots = Arc::new(roots);
    let key = || PrivatePkcs8KeyDer::from(leaf.key.serialize_der()).into();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), crypto::provider()).build().unwrap();
    let server = ServerConfig::builder_with_provider(crypto::provider()).with_protocol_versions(&[version]).unwrap();
    let server = server.with_client_cert_verifier(clients).with_single_cert(chain.to_vec(), key()).unwrap();
    let client = ClientConfig::builder_with_provider(crypto::provider()).with_protocol_versions(&[version]).unwrap();
    let client = client.with_root_certificates(roots).with_client_auth_cert(chain.to_vec(), key()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok(())
}

fn carry<A: SideData, B: SideData>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<(), String> {
    let mut octets = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut octets).unwrap();
    }
    let mut octets = octets.as_slice();
    while !octets.is_empty() {
        to.read_tls(&mut octets).map_err(|error| error.to_string())?;
        to.process_new_packets().map_err(|error| error.to_string())?;
    }
    Ok(())
}
