//! Whatever becomes of one certificate or list of a file: it is read, or the file is rejected.

use std::sync::LazyLock;

use base64ct::{Base64, Encoding as _};
use evercert_fixtures::{Entity, now, pem};
use proptest::prelude::*;

use super::super::{Material, Part};
use super::broken;
use super::wrapping::{SERVER_AUTH, aux, pkcs7};
use crate::test_files::{Files, spec};

/// Certificates of a chain, leaf first, which are as good as anchors; a file holds as many of them as are asked for.
static CERTIFICATES: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    vec![leaf, sub, root, Entity::root("other")]
});

static CRLS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let issuers = CERTIFICATES[1..].iter().enumerate();
    issuers.map(|(i, issuer)| issuer.crl(&[7, 8, 9, 10][..=i], now()).as_ref().to_vec()).collect()
});

/// The damage that one block may take.
#[derive(Debug, Clone)]
enum Damage {
    EachLine(&'static str, &'static str),
    Before(&'static [u8]),
    After(&'static [u8]),
    Dashes(&'static str),
    BeginDashes(&'static str),
    EndDashes(&'static str),
    Replaced(&'static str, &'static str),
    WithoutLine(usize),
    WithoutBoundaries,
    LineBreaks(&'static str),
    Wrapped(usize),
    Lowercase,
    Label(&'static str),
    Trusted,
    Pkcs7,
    Utf16,
    Base64,
    Der,
    Json,
    Deleted(f64),
    Changed(f64, u8),
    Inserted(f64, u8),
    CutOff(f64),
    BeginCut(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let texts = |texts: &'static [&'static str]| prop::sample::select(texts);
    let dashes = [
        "----",
        "------",
        "=====",
        "\u{2014}---",
        "\u{2013}\u{2013}",
        "-- ---",
        "",
        "_____",
        "\u{2212}\u{2212}\u{2212}",
    ];
    let dashes = prop::sample::select(dashes.to_vec());
    let before: &[&[u8]] = &[
        b"\xef\xbb\xbf",
        b"\0\0\0\0",
        b"ca=",
        b"\"",
        b"- |\n",
        b"\xff\xfe",
        b"\x97\x97",
        b"text ",
        b"-",
        b"-----END CERTIFICATE-----",
    ];
    prop_oneof![
        (texts(&["    ", "\t", "\"", "> ", "# ", "+", "| ", "//"]), texts(&["", "\"", "\\n\"", "\\", ","]))
            .prop_map(|(before, after)| Damage::EachLine(before, after)),
        prop::sample::select(before).prop_map(Damage::Before),
        prop::sample::select(before).prop_map(Damage::After),
        dashes.clone().prop_map(Damage::Dashes),
        dashes.clone().prop_map(Damage::BeginDashes),
        dashes.prop_map(Damage::EndDashes),
        (
            texts(&["BEGIN ", "END ", "BEGIN", "END", "CERTIFICATE", "CRL"]),
            texts(&["", "begin ", "BEGN ", "Begin", "CERTIFCATE", "E ND"])
        )
            .prop_map(|(from, to)| Damage::Replaced(from, to)),
        (0..8_usize).prop_map(Damage::WithoutLine),
        Just(Damage::WithoutBoundaries),
        texts(&["", " ", "\\n", "\\r\\n", "\r", "\r\n", "\0", "\u{2028}"]).prop_map(Damage::LineBreaks),
        (4..200_usize).prop_map(Damage::Wrapped),
        Just(Damage::Lowercase),
        texts(&[
            "X509 CERTIFICATE",
            "TRUSTED CERTIFICATE",
            "PUBLIC KEY",
            "PRIVATE KEY",
            "CERTIFICATE REQUEST",
            "PKCS7",
            "A",
            "X509 CRL",
            "CERTIFICATE"
        ])
        .prop_map(Damage::Label),
        Just(Damage::Trusted),
        Just(Damage::Pkcs7),
        Just(Damage::Utf16),
        Just(Damage::Base64),
        Just(Damage::Der),
        Just(Damage::Json),
        (0.0..1.0).prop_map(Damage::Deleted),
        (0.0..1.0, 1_u8..).prop_map(|(place, by)| Damage::Changed(place, by)),
        (0.0..1.0, any::<u8>()).prop_map(|(place, byte)| Damage::Inserted(place, byte)),
        (0.0..1.0).prop_map(Damage::CutOff),
        (0.0..0.9).prop_map(Damage::BeginCut),
    ]
}

impl Damage {
    fn to(&self, label: &str, der: &[u8]) -> Vec<u8> {
        let block = pem(label, der);
        let bytes = block.clone().into_bytes();
        let at = |place: f64| (bytes.len() as f64 * place) as usize;
        let lines = |change: &dyn Fn(&str) -> String| block.lines().map(change).collect::<String>().into_bytes();
        match self {
            Self::EachLine(before, after) => lines(&|line| format!("{before}{line}{after}\n")),
            Self::Before(text) => [text, bytes.as_slice()].concat(),
            Self::After(text) => [bytes.as_slice(), text].concat(),
            Self::Dashes(instead) => block.replace("-----", instead).into_bytes(),
            Self::BeginDashes(instead) => block.replace("-----BEGIN", &format!("{instead}BEGIN")).into_bytes(),
            Self::EndDashes(instead) => block.replace("-----END", &format!("{instead}END")).into_bytes(),
            Self::Replaced(from, to) => block.replace(from, to).into_bytes(),
            Self::WithoutLine(number) => {
                let lines = block.lines().enumerate().filter(|(i, _)| i != number).map(|(_, line)| format!("{line}\n"));
                lines.collect::<String>().into_bytes()
            }
            Self::WithoutBoundaries => {
                lines(&|line| if line.contains("--") { String::new() } else { format!("{line}\n") })
            }
            Self::LineBreaks(instead) => block.replace('\n', instead).into_bytes(),
            Self::Wrapped(width) => {
                let base64 = Base64::encode_string(der);
                let lines = base64.as_bytes().chunks(*width).map(|line| String::from_utf8_lossy(line) + "\n");
                format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>()).into_bytes()
            }
            Self::Lowercase => block.replace("BEGIN", "begin").replace(label, &label.to_lowercase()).into_bytes(),
            Self::Label(label) => pem(label, der).into_bytes(),
            Self::Trusted => pem("TRUSTED CERTIFICATE", &[der, &aux(0x30, SERVER_AUTH)].concat()).into_bytes(),
            Self::Pkcs7 if label == "X509 CRL" => pem("PKCS7", &pkcs7(&[], &[der])).into_bytes(),
            Self::Pkcs7 => pem("PKCS7", &pkcs7(&[der], &[])).into_bytes(),
            Self::Utf16 => block.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Base64 => [Base64::encode_string(&bytes).as_bytes(), b"\n"].concat(),
            Self::Der => der.to_vec(),
            Self::Json => format!("{{\"ca.crt\": \"{}\"}}\n", block.replace('\n', "\\n")).into_bytes(),
            Self::Deleted(place) => [&bytes[..at(*place)], &bytes[at(*place) + 1..]].concat(),
            Self::Changed(place, by) => {
                let mut bytes = bytes.clone();
                bytes[at(*place)] ^= by;
                bytes
            }
            Self::Inserted(place, byte) => [&bytes[..at(*place)], &[*byte], &bytes[at(*place)..]].concat(),
            Self::CutOff(place) => bytes[..at(*place).max(40)].to_vec(),
            Self::BeginCut(place) => bytes[at(*place)..].to_vec(),
        }
    }
}

/// A file of blocks of which one is damaged.
fn file<'a>(label: &str, ders: impl Iterator<Item = &'a [u8]>, damaged: usize, damage: &Damage) -> Vec<u8> {
    let block = |(i, der)| if i == damaged { damage.to(label, der) } else { pem(label, der).into_bytes() };
    ders.enumerate().flat_map(block).collect()
}

fn ders(count: usize) -> impl Iterator<Item = &'static [u8]> {
    CERTIFICATES.iter().take(count).map(|entity| entity.certificate.der().as_ref())
}

/// How many there are; none where the file is rejected.
fn count<T>(part: &Part<T>, count: impl Fn(&T) -> usize) -> Option<usize> {
    match part {
        Part::Whole(whole) => Some(count(whole)),
        other => {
            assert!(!broken(other).is_empty());
            None
        }
    }
}

fn read(files: &Files) -> Material {
    files.read(&spec())
}

proptest! {
    #[test]
    fn a_bundle_has_every_certificate_or_is_rejected(of in 2..=4_usize, damaged in 0..4_usize, damage in damage()) {
        let content = file("CERTIFICATE", ders(of), damaged % of, &damage);
        let text = String::from_utf8_lossy(&content).into_owned();
        let material = read(&Files::of(&CERTIFICATES[0], &[], &[]).with_bundle(content));
        let anchors = count(&material.bundle, |bundle| bundle.anchors().len());
        prop_assert!(anchors.is_none_or(|anchors| anchors == of), "{anchors:?}: {text}");
    }

    #[test]
    fn a_chain_has_every_certificate_or_is_rejected(of in 2..=3_usize, damaged in 0..3_usize, damage in damage()) {
        let content = file("CERTIFICATE", ders(of), damaged % of, &damage);
        let text = String::from_utf8_lossy(&content).into_owned();
        let material = read(&Files::of(&CERTIFICATES[0], &[], &[]).with_chain(content));
        let certificates = count(&material.credential, |keyed| keyed.credential.chain().len());
        prop_assert!(certificates.is_none_or(|certificates| certificates == of), "{certificates:?}: {text}");
    }

    #[test]
    fn a_file_of_crls_has_every_list_or_is_rejected(of in 2..=3_usize, damaged in 0..3_usize, damage in damage()) {
        let content = file("X509 CRL", CRLS.iter().take(of).map(Vec::as_slice), damaged % of, &damage);
        let text = String::from_utf8_lossy(&content).into_owned();
        let material = read(&Files::of(&CERTIFICATES[0], &[], &[]).with_crl(content));
        let crls = count(&material.crls[0], |crls| crls.len());
        prop_assert!(crls.is_none_or(|crls| crls == of), "{crls:?}: {text}");
    }
}
