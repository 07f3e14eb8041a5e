//! Certificates and keys in other shapes than the usual ones, and files that are something else than was expected.

use base64ct::{Base64, Encoding as _};
use evercert_fixtures::odd::element;
use evercert_fixtures::{Entity, now, pem};

use super::super::{Material, Part};
use super::{broken, sec1};
use crate::check::assess;
use crate::finding::Check;
use crate::mount::ReadError;
use crate::spec::FileSet;
use crate::test_files::{Files, spec};
use crate::trusted::Trusted;

/// id-kp-serverAuth.
pub(super) const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];

/// id-kp-emailProtection.
const EMAIL: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 4];

/// id-signedData.
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

/// id-data.
const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

/// The trust settings of OpenSSL, with one usage that is trusted (`0x30`) or rejected (`0xa0`), and an alias.
pub(super) fn aux(tag: u8, usage: &[u8]) -> Vec<u8> {
    element(0x30, &[element(tag, usage), element(0x0c, b"alias")].concat())
}

/// A `SignedData` without signatures, as `openssl crl2pkcs7` writes it.
pub(super) fn pkcs7(certificates: &[&[u8]], crls: &[&[u8]]) -> Vec<u8> {
    let mut fields = vec![vec![0x02, 1, 1], element(0x31, &[]), element(0x30, DATA)];
    for (tag, set) in [(0xa0, certificates), (0xa1, crls)] {
        if !set.is_empty() {
            fields.push(element(tag, &set.concat()));
        }
    }
    fields.push(element(0x31, &[]));
    element(0x30, &[SIGNED_DATA, &element(0xa0, &element(0x30, &fields.concat()))].concat())
}

fn utf_16(text: &str, with_mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = with_mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

fn sentence<T>(part: &Part<T>) -> &str {
    match part {
        Part::Broken(findings) => {
            assert_eq!(findings.len(), 1, "{findings:?}");
            &findings[0].sentence
        }
        _ => panic!("is not broken"),
    }
}

fn anchors(material: &Material) -> usize {
    match &material.bundle {
        Part::Whole(bundle) => bundle.anchors().len(),
        Part::Broken(findings) => panic!("{findings:?}"),
        _ => panic!("there is none"),
    }
}

#[test]
fn trusted_certificates_are_read_unless_they_are_not_trusted_for_tls() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let files = Files::of(&root.leaf(), &[], &[]);
    let with = |settings: &[u8]| {
        let trusted = pem("TRUSTED CERTIFICATE", &[other.der().as_ref(), settings].concat());
        files.clone().with_bundle(root.pem() + &trusted).read(&spec())
    };
    for settings in [Vec::new(), aux(0x30, SERVER_AUTH), aux(0xa0, EMAIL), element(0x30, &[])] {
        assert_eq!(anchors(&with(&settings)), 2, "{settings:?}");
    }
    for settings in [aux(0xa0, SERVER_AUTH), aux(0x30, EMAIL)] {
        assert!(sentence(&with(&settings).bundle).contains("trust settings do not allow it for TLS"), "{settings:?}");
    }
    assert!(sentence(&with(&[0x30]).bundle).contains("is no certificate with trust settings"));
    let leaf = root.leaf();
    let chain = pem("TRUSTED CERTIFICATE", &[leaf.der().as_ref(), &aux(0x30, SERVER_AUTH)].concat());
    assert!(matches!(Files::of(&leaf, &[], &[]).with_chain(chain).read(&spec()).credential, Part::Whole(_)));
}

#[test]
fn collections_in_pkcs7_are_read_from_pem_and_der() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let crl = root.crl(&[7], now());
    let collection = pkcs7(&[root.der().as_ref(), other.der().as_ref()], &[crl.as_ref()]);
    let files = Files::of(&root.leaf(), &[], &[]);
    for content in [pem("PKCS7", &collection).into_bytes(), pem("CMS", &collection).into_bytes(), collection.clone()] {
        let material = files.clone().with_bundle(content.clone()).with_crl(content).read(&spec());
        let Part::Whole(bundle) = &material.bundle else { panic!("{:?}", material.bundle) };
        assert_eq!((bundle.anchors().len(), bundle.crls().len()), (2, 1));
        assert!(matches!(&material.crls[0], Part::Whole(crls) if crls.len() == 1));
    }
    let attribute = pkcs7(&[root.der().as_ref(), &element(0xa1, &[])], &[]);
    let material = files.clone().with_bundle(pem("PKCS7", &attribute)).read(&spec());
    assert!(sentence(&material.bundle).contains("neither a certificate nor a CRL"));
    let material = files.with_bundle(root.pem() + &pem("PKCS7", &collection[..40])).read(&spec());
    assert!(sentence(&material.bundle).contains("PKCS7"));
}

#[test]
fn what_was_encoded_once_more_is_read() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let [chain, key, bundle] =
        [&files.chain, &files.key, &files.bundle].map(|file| String::from_utf8(file.clone().unwrap()).unwrap());
    type Encode = fn(&str) -> Vec<u8>;
    let encodings: [Encode; 5] = [
        |text| Base64::encode_string(text.as_bytes()).into_bytes(),
        |text| (Base64::encode_string(text.as_bytes()) + "\n").into_bytes(),
        |text| utf_16(text, true, u16::to_le_bytes),
        |text| utf_16(text, true, u16::to_be_bytes),
        |text| utf_16(text, false, u16::to_le_bytes),
    ];
    for (i, encode) in encodings.iter().enumerate() {
        let material = Files::default()
            .with_chain(encode(&chain))
            .with_key(encode(&key))
            .with_bundle(encode(&bundle))
            .read(&spec());
        assert!(matches!(material.credential, Part::Whole(_)), "{i}: {:?}", material.credential);
        assert_eq!(anchors(&material), 1, "{i}");
    }
    let body = |der: &[u8]| Base64::encode_string(der);
    let material = files.clone().with_key(body(leaf.key.serialized_der())).with_bundle(body(&root.der())).read(&spec());
    assert!(matches!(material.credential, Part::Whole(_)));
    let der = |der: &[u8]| [der, b"\r\n"].concat();
    let material = files.with_key(der(leaf.key.serialized_der())).with_bundle(der(&root.der())).read(&spec());
    assert!(matches!(material.credential, Part::Whole(_)), "{:?}", material.credential);
    assert_eq!(anchors(&material), 1);
}

#[test]
fn a_file_that_is_something_else_is_named_with_what_to_do() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let pfx = element(0x30, &[vec![0x02, 1, 3], element(0x30, &[DATA, &element(0xa0, &[0; 200])].concat())].concat());
    let spki = element(0x30, &[element(0x30, SERVER_AUTH), element(0x03, &[0; 160])].concat());
    for (content, named, advice) in [
        (pfx, "a PKCS#12 keystore", "openssl pkcs12"),
        (vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2], "a Java keystore", "keytool"),
        (b"\n<!DOCTYPE html><html></html>".to_vec(), "an HTML or XML page", "fetch the file again"),
        (b"{\"kty\":\"EC\"}".to_vec(), "a JSON text", "take the value out of it"),
        (b"apiVersion: v1\nkind: Secret\n".to_vec(), "a Kubernetes manifest", "take the value out of it"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b".to_vec(), "a public key of SSH", ""),
        (b"\x1f\x8b\x08\0".to_vec(), "a compressed archive", "unpack it"),
        (vec![0; 100], "nothing but NUL bytes", "copy the file again"),
        (root.der()[..100].to_vec(), "DER that is cut off", "copy the file again"),
        (b"hello".to_vec(), "a text without a PEM block", "as PEM or DER"),
        (b"\x01\x02\x03".to_vec(), "binary data", ""),
        (pem("CERTIFICATE REQUEST", &[0x30, 0]).into_bytes(), "a certificate signing request", "have it signed"),
        (spki.clone(), "a public key", ""),
        (pem("PUBLIC KEY", &spki).into_bytes(), "a public key", ""),
        (pem("DH PARAMETERS", &[0x30, 0]).into_bytes(), "parameters of a key exchange", ""),
        (pem("PGP PUBLIC KEY BLOCK", &[0x30, 0]).into_bytes(), "a key of PGP", ""),
        ([root.der().as_ref(), b"junk"].concat(), "4 bytes of something else follow its DER", "remove them"),
    ] {
        let material = files.clone().with_chain(content.clone()).with_bundle(content.clone()).read(&spec());
        for sentence in [sentence(&material.credential), sentence(&material.bundle)] {
            assert!(sentence.contains(named) && sentence.contains(advice), "{sentence}");
        }
        let material = files.clone().with_key(content).read(&spec());
        let sentence = sentence(&material.credential);
        assert!(sentence.contains(named), "{sentence}");
    }
}

#[test]
fn the_advice_about_a_damaged_file_is_about_what_it_should_hold() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let binary = [pem("PUBLIC KEY", &[0x30, 0]).as_bytes(), &root.der()].concat();
    let unknown = pem("A", &[0x30, 0]).into_bytes();
    let pgp = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nmDMEY\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
    for (content, of_chain, of_key, of_crl) in [
        (
            b"----BEGIN X509 CRL----".to_vec(),
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN X509 CRL-----",
        ),
        (unknown, "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----", "-----BEGIN X509 CRL-----"),
        (binary, "openssl x509 -inform DER", "openssl pkey -inform DER", "openssl crl -inform DER"),
        (
            b" \n".to_vec(),
            "is empty, and holds no certificate;",
            "is empty, and holds no",
            "is empty, and holds no certificate rev",
        ),
        (
            pgp.into(),
            "a key of PGP instead of a cert",
            "a key of PGP instead of a private",
            "a key of PGP instead of cert",
        ),
    ] {
        let chain = files.clone().with_chain(content.clone()).read(&spec());
        assert!(sentence(&chain.credential).contains(of_chain), "{}", sentence(&chain.credential));
        let key = files.clone().with_key(content.clone()).read(&spec());
        assert!(sentence(&key.credential).contains(of_key), "{}", sentence(&key.credential));
        let crl = files.clone().with_crl(content).read(&spec());
        assert!(sentence(&crl.crls[0]).contains(of_crl), "{}", sentence(&crl.crls[0]));
    }
}

#[test]
fn what_is_no_file_is_named() {
    let sentence = |error| super::super::finding::unreadable(std::path::Path::new("/tls/tls.crt"), &error).sentence;
    assert_eq!(
        sentence(ReadError::IsADirectory),
        "/tls/tls.crt is a directory and not a file; put the file itself in its place"
    );
    assert_eq!(
        sentence(ReadError::LinkLoop),
        "/tls/tls.crt is a symbolic link that leads in a circle; let it lead to the file itself"
    );
}

#[test]
fn files_that_are_swapped_are_told_in_one_finding() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let (chain, key) = (files.chain.clone().unwrap(), files.key.clone().unwrap());
    let swapped = files.clone().with_chain(key.clone()).with_key(chain.clone()).read(&spec());
    assert!(sentence(&swapped.credential).contains("the two are swapped"), "{}", sentence(&swapped.credential));
    let twice = files.clone().with_key(chain).read(&spec());
    assert!(sentence(&twice.credential).contains("it holds a certificate instead of a private key"));
    let twice = files.with_chain(key).read(&spec());
    assert!(sentence(&twice.credential).contains("it holds a private key instead of a certificate"));
}

#[test]
fn a_private_key_among_certificates_is_a_warning_and_what_is_read_is_published() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let with_key = |file: &Option<Vec<u8>>| [file.clone().unwrap(), files.key.clone().unwrap()].concat();
    let material = files.clone().with_chain(with_key(&files.chain)).with_bundle(with_key(&files.bundle)).read(&spec());
    let assessment = assess(&spec(), &material, &Trusted::default(), now());
    let findings: Vec<_> =
        assessment.findings.iter().map(|f| (f.check, f.file.as_deref().unwrap().to_str().unwrap())).collect();
    assert_eq!(findings, [(Check::KeyMisplaced, "/tls/tls.crt"), (Check::KeyMisplaced, "/tls/ca.crt")]);
    assert!(matches!(assessment.credential, crate::check::Verdict::Admitted(_)));
    let alone = files.clone().with_bundle(files.key.clone().unwrap()).read(&spec());
    assert!(sentence(&alone.bundle).contains("holds a private key instead of the certificates of a bundle"));
}

#[test]
fn what_is_beside_lists_and_a_list_beside_a_chain_is_a_warning_that_says_where_it_belongs() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let list = pem("X509 CRL", &root.crl(&[7], now()));
    let chain = String::from_utf8(files.chain.clone().unwrap()).unwrap();
    let key = String::from_utf8(files.key.clone().unwrap()).unwrap();
    let note = |files: Files| {
        let material = files.read(&spec());
        assert!(matches!(material.credential, Part::Whole(_)));
        let [note] = material.notes() else { panic!("{:?}", material.notes()) };
        assert_eq!(note.severity, crate::finding::Severity::Warn);
        (note.check, note.file.as_deref().unwrap().to_str().unwrap().to_owned(), note.sentence.clone())
    };
    let (check, file, sentence) = note(files.clone().with_crl(list.clone() + &key));
    assert_eq!((check, file.as_str()), (Check::KeyMisplaced, "/tls/ca.crl"));
    assert!(sentence.contains("holds a private key beside its certificate revocation lists"), "{sentence}");
    let (check, file, sentence) = note(files.clone().with_crl(list.clone() + &root.pem()));
    assert_eq!((check, file.as_str()), (Check::AnchorUnusable, "/tls/ca.crl"));
    assert!(sentence.contains("holds a certificate beside its certificate revocation lists"), "{sentence}");
    assert!(sentence.contains("not trusted") && sentence.contains("into the bundle"), "{sentence}");
    let (check, file, sentence) = note(files.with_chain(chain + &list));
    assert_eq!((check, file.as_str()), (Check::CrlScope, "/tls/tls.crt"));
    assert!(sentence.contains("revokes nobody there") && sentence.contains("ca.crl"), "{sentence}");
}

#[test]
fn an_empty_bundle_beside_a_credential_names_what_to_write() {
    let files = Files::of(&Entity::root("root").leaf(), &[], &[]).with_bundle("");
    let material = files.read(&spec());
    assert_eq!(broken(&material.bundle), [(Check::BundleEmpty, "/tls/ca.crt")]);
    assert!(sentence(&material.bundle).contains("bundle = \"none\""), "{}", sentence(&material.bundle));
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_by_its_place() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let files = Files::of(&root.leaf(), &[], &[]);
    let cut = pem("CERTIFICATE", &other.der()[..200]);
    let material = files.clone().with_bundle(root.pem() + &cut).read(&spec());
    assert!(sentence(&material.bundle).contains("certificate 2 of 2 is not an X.509 certificate"));
    let key = pem("CERTIFICATE", root.key.serialized_der());
    let material = files.with_bundle(key).read(&spec());
    assert!(sentence(&material.bundle).contains("its certificate is a private key under the label of a certificate"));
}

/// The curve P-256 by its name, and a structure of the same length in its place.
const CURVES: [&[u8]; 2] = [&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], &[0x30, 8, 2, 1, 1, 4, 3, 0, 0, 0]];

fn explicit(der: &[u8]) -> Vec<u8> {
    let place = der.windows(CURVES[0].len()).position(|window| window == CURVES[0]).unwrap();
    [&der[..place], CURVES[1], &der[place + CURVES[0].len()..]].concat()
}

#[test]
fn a_curve_with_parameters_instead_of_a_name_is_told_as_one_cause() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let pkcs8 = leaf.key.serialized_der();
    let files = Files::of(&leaf, &[], &[]);
    let keys = [pem("PRIVATE KEY", &explicit(pkcs8)), pem("EC PRIVATE KEY", &explicit(&sec1(pkcs8)))];
    for key in &keys {
        let material = files.clone().with_key(key.as_str()).read(&spec());
        assert_eq!(broken(&material.credential), [(Check::KeyUnsupported, "/tls/tls.key")]);
        let sentence = sentence(&material.credential);
        assert!(sentence.contains("explicit curve parameters instead of a named curve"), "{sentence}");
        assert!(sentence.contains("openssl ec -param_enc named_curve"), "{sentence}");
    }
    let chain = pem("CERTIFICATE", &explicit(&leaf.der()));
    for key in keys.into_iter().chain([leaf.key.serialize_pem()]) {
        let material = files.clone().with_chain(chain.as_str()).with_key(key).read(&spec());
        assert_eq!(broken(&material.credential), [(Check::KeyUnsupported, "/tls/tls.crt")]);
        assert!(sentence(&material.credential).contains("the leaf"), "{}", sentence(&material.credential));
    }
}

#[test]
fn a_file_where_a_directory_was_meant_is_told_once_also_if_it_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.cert");
    let mut spec = spec();
    spec.files = FileSet::cert_manager(&file);
    let read = || Material::parse(&spec, crate::mount::read(&spec.files));
    let before = crate::mount::visit(&spec.files).stamp().clone();
    assert_eq!(broken(&read().credential).len(), 2);
    std::fs::write(&file, "").unwrap();
    assert_ne!(crate::mount::visit(&spec.files).stamp().clone(), before);
    let material = read();
    let [(check, _)] = broken(&material.credential)[..] else { panic!("{:?}", material.credential) };
    assert_eq!(check, Check::NotADirectory);
    let told = sentence(&material.credential);
    assert!(told.starts_with(&format!("{} is a file and not a directory", file.display())), "{told}");
    assert!(matches!((&material.bundle, &material.crls[..]), (Part::Missing, [Part::Missing])));
}
