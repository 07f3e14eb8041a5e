mod damage;
mod secrecy;
mod wrapping;

use der::Encode as _;
use evercert_fixtures::{DAY, Entity, Key, key, now, pem};
use pkcs8::PrivateKeyInfoRef;

use super::*;
use crate::bundle::{MAX_ANCHORS, MAX_CRLS};
use crate::finding::Check;
use crate::spec::{BundleFile, CredentialFiles, CrlFile};
use crate::test_files::{Files, spec};

/// The findings that keep a credential or bundle from being whole.
fn broken<T>(part: &Part<T>) -> Vec<(Check, &str)> {
    match part {
        Part::Broken(findings) => {
            findings.iter().map(|f| (f.check, f.file.as_deref().unwrap().to_str().unwrap())).collect()
        }
        Part::Whole(_) | Part::Missing | Part::NotWanted => panic!("is not broken"),
    }
}

fn keyed(material: &Material) -> &KeyedCredential {
    match &material.credential {
        Part::Whole(keyed) => keyed,
        other => panic!("{other:?}"),
    }
}

fn anchors(material: &Material) -> usize {
    match &material.bundle {
        Part::Whole(bundle) => bundle.anchors().len(),
        other => panic!("{other:?}"),
    }
}

/// The inner key of a PKCS#8 structure.
fn inner(pkcs8: &[u8]) -> (PrivateKeyInfoRef<'_>, &[u8]) {
    let info = PrivateKeyInfoRef::try_from(pkcs8).unwrap();
    let key = info.private_key.as_bytes();
    (info, key)
}

/// A SEC1 structure that names its curve, as `openssl ecparam -genkey` writes it.
fn sec1(pkcs8: &[u8]) -> Vec<u8> {
    let (info, key) = inner(pkcs8);
    let mut key: sec1::EcPrivateKey<'_> = der::Decode::from_der(key).unwrap();
    key.parameters = Some(sec1::EcParameters::NamedCurve(info.algorithm.parameters_oid().unwrap()));
    key.to_der().unwrap()
}

fn belongs(key: impl Into<Vec<u8>>, leaf: &Entity) {
    let spec = spec();
    let material = Files::of(leaf, &[], &[]).with_key(key).read(&spec);
    let of_leaf =
        crate::certificate::parse(&leaf.der()).map(|leaf| Digest::fingerprint(leaf.public_key().raw)).unwrap();
    assert_eq!(keyed(&material).public_key, Some(of_leaf));
}

#[test]
fn rsa_keys_come_in_pkcs8_and_pkcs1() {
    let key = Key::Rsa2048.pair();
    let leaf = Entity::root("root").leaf_of(key, |_| {});
    let pkcs8 = leaf.key.serialized_der();
    let pkcs1 = inner(pkcs8).1;
    belongs(pem("PRIVATE KEY", pkcs8), &leaf);
    belongs(pem("RSA PRIVATE KEY", pkcs1), &leaf);
    belongs(pem("RSA PRIVATE KEY", pkcs8), &leaf);
    belongs(pem("PRIVATE KEY", pkcs1), &leaf);
    belongs(pkcs8, &leaf);
    belongs(pkcs1, &leaf);
}

#[test]
fn ecdsa_keys_come_in_pkcs8_and_sec1() {
    let curves = [Key::P256, Key::P384, Key::P521];
    // ring does not know P-521.
    let known = if cfg!(feature = "aws-lc-rs") { 3 } else { 2 };
    for curve in &curves[..known] {
        let leaf = Entity::root("root").leaf_of(curve.pair(), |_| {});
        let pkcs8 = leaf.key.serialized_der();
        belongs(pem("PRIVATE KEY", pkcs8), &leaf);
        belongs(pem("EC PARAMETERS", &[6, 0]) + &pem("EC PRIVATE KEY", &sec1(pkcs8)), &leaf);
        belongs(pkcs8, &leaf);
        belongs(sec1(pkcs8), &leaf);
    }
}

#[test]
fn a_sec1_key_that_names_no_curve_is_on_that_of_its_leaf() {
    let without_curve = |pkcs8: &[u8]| {
        sec1::EcPrivateKey { parameters: None, ..der::Decode::from_der(inner(pkcs8).1).unwrap() }.to_der().unwrap()
    };
    for curve in [Key::P256, Key::P384] {
        let leaf = Entity::root("root").leaf_of(curve.pair(), |_| {});
        let sec1 = without_curve(leaf.key.serialized_der());
        belongs(pem("EC PRIVATE KEY", &sec1), &leaf);
        belongs(sec1, &leaf);
    }
    let ed25519 = Entity::root("root").leaf_of(Key::Ed25519.pair(), |_| {});
    let sec1 = pem("EC PRIVATE KEY", &without_curve(key().serialized_der()));
    let material = Files::of(&ed25519, &[], &[]).with_key(sec1).read(&spec());
    assert_eq!(broken(&material.credential), [(Check::KeyUnsupported, "/tls/tls.key")]);
}

#[test]
fn ed25519_keys_come_with_and_without_their_public_key() {
    let leaf = Entity::root("root").leaf_of(Key::Ed25519.pair(), |_| {});
    let (info, key) = inner(leaf.key.serialized_der());
    let key = der::asn1::OctetStringRef::new(key).unwrap();
    let public_key = der::asn1::BitStringRef::from_bytes(leaf.key.public_key_raw()).unwrap();
    for public_key in [None, Some(public_key)] {
        let info = PrivateKeyInfoRef { algorithm: info.algorithm, private_key: key, public_key };
        belongs(pem("PRIVATE KEY", &info.to_der().unwrap()), &leaf);
    }
}

#[test]
fn a_key_that_cannot_be_used_says_what_to_do() {
    let leaf = Entity::root("root").leaf();
    let pkcs8 = leaf.key.serialized_der();
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
    for (key, check, word) in [
        (pem("ENCRYPTED PRIVATE KEY", pkcs8), Check::KeyUnsupported, "encrypted"),
        (legacy.to_owned(), Check::KeyUnsupported, "encrypted"),
        (pem("OPENSSH PRIVATE KEY", pkcs8), Check::KeyUnsupported, "a key of SSH"),
        (pem("DSA PRIVATE KEY", pkcs8), Check::KeyUnsupported, "kind"),
        (pem("PRIVATE KEY", &pkcs8[..40]), Check::Unparsable, "PKCS#8"),
        (pem("RSA PRIVATE KEY", &[1, 2]), Check::Unparsable, "PKCS#1"),
        (pem("EC PRIVATE KEY", &pkcs8[..40]), Check::Unparsable, "SEC1"),
        (
            pem("EC PARAMETERS", &[6, 0]),
            Check::Unparsable,
            "parameters of a key exchange or curve instead of a private key",
        ),
        ("hello".to_owned(), Check::Unparsable, "neither PEM nor DER"),
        (String::new(), Check::Unparsable, "no private key"),
    ] {
        let material = Files::of(&leaf, &[], &[]).with_key(key).read(&spec());
        assert_eq!(broken(&material.credential), [(check, "/tls/tls.key")]);
        let Part::Broken(findings) = &material.credential else { unreachable!() };
        assert!(findings[0].sentence.contains(word), "{:?}", findings[0].sentence);
    }
}

#[test]
fn a_key_that_the_provider_does_not_know_has_no_public_key() {
    let leaf = Entity::root("root").leaf();
    // secp256k1 is well-formed PKCS#8 of a curve that TLS does not use.
    let (info, key) = inner(leaf.key.serialized_der());
    let curve = const_oid::ObjectIdentifier::new_unwrap("1.3.132.0.10");
    let algorithm = pkcs8::spki::AlgorithmIdentifierRef { oid: info.algorithm.oid, parameters: Some((&curve).into()) };
    let key = der::asn1::OctetStringRef::new(key).unwrap();
    let other = PrivateKeyInfoRef { algorithm, private_key: key, public_key: None }.to_der().unwrap();
    let material = Files::of(&leaf, &[], &[]).with_key(pem("PRIVATE KEY", &other)).read(&spec());
    assert_eq!(keyed(&material).public_key, None);
}

#[test]
fn one_file_may_hold_key_and_chain_in_either_order() {
    let (root, mut spec) = (Entity::root("root"), spec());
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    spec.files.credential = Some(CredentialFiles::Combined("/tls/both.pem".into()));
    let (chain, key) = (leaf.pem() + &sub.pem(), leaf.key.serialize_pem());
    for both in [key.clone() + &chain, chain.clone() + &key, format!("# text\r\n{key}\r\n\r\nmore\r\n{chain}")] {
        let material = Files::default().with_chain(both).read(&spec);
        assert_eq!(keyed(&material).credential.chain(), [leaf.der(), sub.der()]);
    }
    assert_eq!(
        broken(&Files::default().with_chain(chain).read(&spec).credential),
        [(Check::Unparsable, "/tls/both.pem")]
    );
    assert_eq!(
        broken(&Files::default().with_chain(key).read(&spec).credential),
        [(Check::Unparsable, "/tls/both.pem")]
    );
    assert_eq!(broken(&Files::default().read(&spec).credential), [(Check::FileMissing, "/tls/both.pem")]);
}

#[test]
fn certificates_come_as_der_too() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[]).with_chain(leaf.der().to_vec()).with_bundle(root.der().to_vec());
    let material = files.read(&spec());
    assert_eq!(keyed(&material).credential.chain(), [leaf.der()]);
    assert_eq!(anchors(&material), 1);
    let both = [root.der().to_vec(), Entity::root("other").der().to_vec()].concat();
    assert_eq!(anchors(&files.with_bundle(both).read(&spec())), 2);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_never_whole() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[&root.sub_ca("sub", |_| {})], &[&root, &Entity::root("other")]);
    let whole = files.read(&spec());
    let chain = files.chain.clone().unwrap();
    for length in 0..chain.len() - 1 {
        let material = files.clone().with_chain(&chain[..length]).read(&spec());
        // Cut between two blocks it is a shorter chain, which path validation notices.
        if let Part::Whole(keyed) = &material.credential {
            assert_eq!(keyed.credential.chain().len(), 1, "cut at {length}");
            let text = std::str::from_utf8(&chain[..length]).unwrap();
            let tail = text.rsplit("-----END CERTIFICATE-----").next().unwrap().trim();
            assert!("-----BEGIN".starts_with(tail) && tail != "-----BEGIN", "cut at {length}: {tail}");
        }
    }
    let key = files.key.clone().unwrap();
    for length in 0..key.len() - 1 {
        broken(&files.clone().with_key(&key[..length]).read(&spec()).credential);
    }
    assert!(matches!((whole.credential, whole.bundle), (Part::Whole(_), Part::Whole(_))));
}

#[test]
fn an_anchor_that_cannot_be_parsed_spoils_the_bundle() {
    let root = Entity::root("root");
    let der = root.der();
    let mut trailing = der.to_vec();
    trailing.push(0);
    for bad in [&der[..der.len() - 1], &trailing, &[]] {
        let bundle = root.pem() + &pem("CERTIFICATE", bad);
        let material = Files::of(&root.leaf(), &[], &[]).with_bundle(bundle).read(&spec());
        assert_eq!(broken(&material.bundle), [(Check::Unparsable, "/tls/ca.crt")]);
        assert!(matches!(material.credential, Part::Whole(_)));
    }
}

#[test]
fn a_bundle_without_certificates_is_empty_and_one_with_crls_holds_them() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[]);
    for empty in ["", " \n", "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(
            broken(&files.clone().with_bundle(empty).read(&spec()).bundle),
            [(Check::BundleEmpty, "/tls/ca.crt")]
        );
    }
    let crl = root.crl(&[7], now());
    let material = files.clone().with_bundle(root.pem() + &pem("X509 CRL", &crl)).read(&spec());
    let Part::Whole(bundle) = &material.bundle else { panic!() };
    assert_eq!(bundle.crls(), [crl]);
    let broken_crl = files.with_bundle(root.pem() + &pem("X509 CRL", &[0x30, 0]));
    assert_eq!(broken(&broken_crl.read(&spec()).bundle), [(Check::Unparsable, "/tls/ca.crt")]);
}

#[test]
fn crls_are_read_from_pem_and_der_alike_with_what_people_want_to_know_of_them() {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let (first, second) = (root.crl(&[7, 8], now()), other.crl(&[], now()));
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let pems = pem("X509 CRL", &first) + &pem("X509 CRL", &second);
    for content in [pems.into_bytes(), [first.as_ref(), second.as_ref()].concat()] {
        let material = files.clone().with_crl(content).read(&spec());
        let [Part::Whole(crls)] = material.crls.as_slice() else { panic!("{:?}", material.crls) };
        assert_eq!(**crls, [first.clone(), second.clone()]);
        let [of_root, of_other] = &**material.crls_on_disk() else { panic!() };
        assert_eq!((of_root.issuer.common_name.as_str(), of_root.revoked), ("root", 2));
        assert_eq!((of_root.this_update, of_root.next_update), (now(), Some(now() + DAY)));
        assert_eq!((of_root.number.as_deref(), of_other.revoked), (Some("1"), 0));
    }
}

#[test]
fn a_file_that_holds_no_crl_is_broken_and_one_that_is_not_there_may_be_lawful() {
    let root = Entity::root("root");
    let (files, mut spec) = (Files::of(&root.leaf(), &[], &[&root]), spec());
    for content in ["", "nonsense", &root.pem(), &pem("X509 CRL", &[0x30, 0])] {
        let material = files.clone().with_crl(content).read(&spec);
        assert_eq!(broken(&material.crls[0]), [(Check::Unparsable, "/tls/ca.crl")], "{content:?}");
        assert!(matches!(material.bundle, Part::Whole(_)));
    }
    assert!(matches!(files.read(&spec).crls[..], [Part::Missing]));
    spec.files.crls = vec![CrlFile::Dedicated("/trust/ca.crl".into())];
    assert_eq!(broken(&files.read(&spec).crls[0]), [(Check::FileMissing, "/trust/ca.crl")]);
}

#[test]
fn a_missing_bundle_is_lawful_beside_a_credential_alone() {
    let (mut spec, leaf) = (spec(), Entity::root("root").leaf());
    assert!(matches!(Files::of(&leaf, &[], &[]).read(&spec).bundle, Part::Missing));
    spec.files.bundle = Some(BundleFile::Dedicated("/trust/ca.crt".into()));
    assert_eq!(broken(&Files::of(&leaf, &[], &[]).read(&spec).bundle), [(Check::FileMissing, "/trust/ca.crt")]);
    spec.files.bundle = None;
    assert!(matches!(Files::of(&leaf, &[], &[]).read(&spec).bundle, Part::NotWanted));
}

#[test]
fn every_file_that_is_missing_is_told() {
    assert_eq!(
        broken(&Files::default().read(&spec()).credential),
        [(Check::FileMissing, "/tls/tls.key"), (Check::FileMissing, "/tls/tls.crt")]
    );
}

#[test]
fn a_chain_is_read_up_to_its_limit() {
    let leaf = Entity::root("root").leaf();
    let files = Files::of(&leaf, &[], &[]);
    assert_eq!(
        keyed(&files.clone().with_chain(leaf.pem().repeat(MAX_CHAIN)).read(&spec())).credential.chain().len(),
        100
    );
    let material = files.with_chain(leaf.pem().repeat(MAX_CHAIN + 1)).read(&spec());
    assert_eq!(broken(&material.credential), [(Check::TooLarge, "/tls/tls.crt")]);
}

#[test]
fn a_bundle_is_read_up_to_its_limit() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[]);
    let material = files.with_bundle(root.pem().repeat(MAX_ANCHORS + 1)).read(&spec());
    assert_eq!(broken(&material.bundle), [(Check::TooLarge, "/tls/ca.crt")]);
}

#[test]
fn a_file_of_crls_is_read_up_to_its_limit_and_told_of_with_what_it_holds_too_much_of() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let mut spec = spec();
    spec.files.crls = vec![CrlFile::OfCredential("/tls/ca.crl".into())];
    let material = files.with_crl(pem("X509 CRL", &root.crl(&[7], now())).repeat(MAX_CRLS + 1)).read(&spec);
    let [Part::Broken(findings)] = material.crls.as_slice() else { panic!("{:?}", material.crls) };
    assert_eq!(findings[0].check, Check::TooLarge);
    let sentence =
        "/tls/ca.crl holds more certificate revocation lists than the 100 that are read; leave out what is not needed";
    assert_eq!(findings[0].sentence, sentence);

    let bundle = root.pem() + &pem("X509 CRL", &root.crl(&[7], now())).repeat(MAX_CRLS + 1);
    let Part::Broken(findings) = Files::of(&root.leaf(), &[], &[]).with_bundle(bundle).read(&spec).bundle else {
        panic!()
    };
    assert_eq!(findings[0].check, Check::TooLarge, "nor does a bundle hold more");
}

#[test]
fn the_certificates_on_disk_are_told_whatever_they_are_worth() {
    let root = Entity::root("root");
    let material = Files::of(&root.leaf(), &[], &[&root]).with_key(key().serialize_pem()).read(&spec());
    let on_disk: Vec<_> =
        material.on_disk().iter().map(|c| (c.file.to_str().unwrap(), &*c.facts.subject.text)).collect();
    assert_eq!(on_disk, [("/tls/tls.crt", "CN=leaf"), ("/tls/ca.crt", "CN=root")]);
    assert!(material.on_disk()[0].facts.not_before < now());
}

proptest::proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_read_without_a_panic(
        bytes: Vec<u8>,
        label in "(RSA |EC |)PRIVATE KEY|CERTIFICATE|X509 CRL",
        text in "[-\nA-Za-z0-9+/=: ]{0,200}",
    ) {
        for content in [pem(&label, &bytes).into_bytes(), text.into_bytes(), bytes] {
            let (chain, key) = (Some(content.clone()), Some(content.clone()));
            let files = Files { chain, key, bundle: Some(content), ..Files::default() };
            let _ = files.read(&spec());
        }
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let leaf = Entity::root("root").leaf();
    let shown = format!("{:?}", Files::of(&leaf, &[], &[]).read(&spec()));
    assert!(shown.contains("PrivateKey(redacted)"), "{shown}");
}
