//! Whatever becomes of the file of a key, and wherever it is read: no message holds a piece of it.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use evercert_fixtures::{Entity, Key, key, now, pem};
use proptest::prelude::*;

use super::super::contents::Contents;
use super::{inner, sec1};
use crate::check::assess;
use crate::spec::{CredentialFiles, FileSet, IdentitySpec};
use crate::test_files::{Files, spec};
use crate::trusted::Trusted;

/// How many characters in a row are a piece.
const PIECE: usize = 6;

/// A key as its owner has it.
struct Secret {
    label: &'static str,
    der: Vec<u8>,
}

impl Secret {
    /// Keys of every kind, in every encoding.
    fn all() -> Vec<Self> {
        let rsa = Key::Rsa2048.pair();
        let ed25519 = Key::Ed25519.pair();
        let p256 = key();
        let secret = |label, der: &[u8]| Self { label, der: der.to_vec() };
        vec![
            secret("EC PRIVATE KEY", &sec1(p256.serialized_der())),
            secret("PRIVATE KEY", p256.serialized_der()),
            secret("PRIVATE KEY", ed25519.serialized_der()),
            secret("RSA PRIVATE KEY", inner(rsa.serialized_der()).1),
            secret("PRIVATE KEY", rsa.serialized_der()),
        ]
    }

    fn base64(&self) -> String {
        Base64::encode_string(&self.der)
    }

    fn pem(&self) -> String {
        pem(self.label, &self.der)
    }
}

/// Each kind of key twice: what is said of both alike is no piece of one.
static SECRETS: LazyLock<[Vec<Secret>; 2]> = LazyLock::new(|| [Secret::all(), Secret::all()]);

static CERTIFICATE: LazyLock<Entity> = LazyLock::new(|| Entity::root("root").leaf());

/// The damage that a file may take on its way.
#[derive(Debug, Clone)]
enum Damage {
    LineBreaks(&'static str),
    FirstLineBreak,
    LastLineBreaks,
    CutOff(f64),
    BeginCut(usize),
    Flipped(f64, u8),
    Label(&'static str),
    LabelOfKey { upper: bool, is_end_alone: bool },
    KeyInLabel,
    EachLine(&'static str, &'static str),
    Dashes(&'static str),
    NoBoundaries,
    Header,
    Glued,
    InCertificate,
    Utf16,
    Base64,
    Der,
    Hex,
    Toml,
    Json,
    Twice,
}

fn damage() -> impl Strategy<Value = Damage> {
    let texts = |texts: &'static [&'static str]| prop::sample::select(texts);
    prop_oneof![
        texts(&["", " ", "\\n", "\\r\\n", "\\\\n", "\r", "\r\n", "\0", "\t", "\u{2028}", "|"])
            .prop_map(Damage::LineBreaks),
        Just(Damage::FirstLineBreak),
        Just(Damage::LastLineBreaks),
        (0.0..1.0).prop_map(Damage::CutOff),
        (1_usize..40).prop_map(Damage::BeginCut),
        (0.0..1.0, 1_u8..).prop_map(|(place, by)| Damage::Flipped(place, by)),
        texts(&[
            "CERTIFICATE",
            "X509 CRL",
            "PKCS7",
            "TRUSTED CERTIFICATE",
            "EC PRIVATE KEY",
            "A B",
            "",
            "certificate",
            "PUBLIC KEY"
        ])
        .prop_map(Damage::Label),
        (any::<bool>(), any::<bool>()).prop_map(|(upper, is_end_alone)| Damage::LabelOfKey { upper, is_end_alone }),
        Just(Damage::KeyInLabel),
        (texts(&["    ", "\"", "> ", "# ", "key: "]), texts(&["", "\"", "\\n\" \\", ","]))
            .prop_map(|(a, b)| Damage::EachLine(a, b)),
        texts(&["----", "=====", "\u{2014}---", "", "------"]).prop_map(Damage::Dashes),
        Just(Damage::NoBoundaries),
        Just(Damage::Header),
        Just(Damage::Glued),
        Just(Damage::InCertificate),
        Just(Damage::Utf16),
        Just(Damage::Base64),
        Just(Damage::Der),
        Just(Damage::Hex),
        Just(Damage::Toml),
        Just(Damage::Json),
        Just(Damage::Twice),
    ]
}

impl Damage {
    fn to(&self, secret: &Secret, content: Vec<u8>) -> Vec<u8> {
        let text = String::from_utf8_lossy(&content).into_owned();
        let at = |place: f64| ((content.len() as f64 * place) as usize).min(content.len().saturating_sub(1));
        let base64 = secret.base64();
        let lines = |change: &dyn Fn(&str) -> String| text.lines().map(change).collect::<String>();
        match self {
            Self::LineBreaks(instead) => text.replace('\n', instead).into_bytes(),
            Self::FirstLineBreak => text.replacen('\n', "", 1).into_bytes(),
            Self::LastLineBreaks => text.replace("\n-----END", "-----END").into_bytes(),
            Self::CutOff(place) => content[..at(*place)].to_vec(),
            Self::BeginCut(count) => content.get(*count..).unwrap_or_default().to_vec(),
            Self::Flipped(place, by) => {
                let (mut content, at) = (content.clone(), at(*place));
                content.get_mut(at).into_iter().for_each(|byte| *byte ^= by);
                content
            }
            Self::Label(label) => text.replace(secret.label, label).into_bytes(),
            Self::LabelOfKey { upper, is_end_alone } => {
                let label: String = match upper {
                    true => base64.chars().filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit()).take(60).collect(),
                    false => base64.chars().take(60).collect(),
                };
                let place = if *is_end_alone { "END " } else { "" };
                let [from, to] = [secret.label, &label].map(|label| format!("{place}{label}"));
                text.replace(&from, &to).into_bytes()
            }
            Self::KeyInLabel => text.replace(secret.label, &format!("{}{base64}", secret.label)).into_bytes(),
            Self::EachLine(before, after) => lines(&|line| format!("{before}{line}{after}\n")).into_bytes(),
            Self::Dashes(instead) => text.replace("-----", instead).into_bytes(),
            Self::NoBoundaries => {
                lines(&|line| if line.contains("-----") { String::new() } else { format!("{line}\n") }).into_bytes()
            }
            Self::Header => {
                text.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1).into_bytes()
            }
            Self::Glued => [CERTIFICATE.pem().trim_end().as_bytes(), &content].concat(),
            Self::InCertificate => CERTIFICATE.pem().replacen('\n', &format!("\n{text}"), 1).into_bytes(),
            Self::Utf16 => [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
            Self::Base64 => Base64::encode_string(&content).into_bytes(),
            Self::Der => secret.der.clone(),
            Self::Hex => secret.der.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
            Self::Toml => format!("key = \"\"\"\n{text}\"\"\"\n").into_bytes(),
            Self::Json => format!("{{\"tls.key\": \"{}\"}}", Base64::encode_string(&content)).into_bytes(),
            Self::Twice => content.repeat(2),
        }
    }
}

/// Everything that is said wherever such a file is read.
fn said(content: &[u8]) -> String {
    let mut said = match Contents::parse(content) {
        Err(error) => format!("{error} {error:?}\n"),
        Ok(_) => String::new(),
    };
    let combined = IdentitySpec {
        files: FileSet {
            credential: Some(CredentialFiles::Combined("/tls/both.pem".into())),
            federated: [("b.example.org".parse().unwrap(), "/trust/b.crt".into())].into(),
            ..FileSet::default()
        },
        ..spec()
    };
    let good = Files::of(&CERTIFICATE, &[], &[&CERTIFICATE]);
    for (spec, files) in [
        (spec(), good.clone().with_key(content)),
        (spec(), good.clone().with_chain(content)),
        (spec(), good.clone().with_key(content).with_chain(content)),
        (spec(), good.clone().with_bundle(content)),
        (spec(), good.clone().with_crl(content)),
        (combined, good.with_chain(content).with_federated("b.example.org", content)),
    ] {
        let material = files.read(&spec);
        let assessment = assess(&spec, &material, &Trusted::default(), now() + Duration::from_secs(1));
        said += &format!("{material:?}\n{:?}\n{:?}\n", assessment.findings, assessment.credential);
    }
    said
}

/// The pieces of a text.
fn pieces(text: &str, length: usize) -> HashSet<&[u8]> {
    text.as_bytes().windows(length).collect()
}

/// A piece that is in both texts, but not in the third.
fn leaked<'a>(secret: &'a str, said: &str, of_another: &str, length: usize) -> Option<&'a str> {
    let (said, of_another) = (pieces(said, length), pieces(of_another, length));
    let mut places = secret.as_bytes().windows(length).enumerate();
    let place = places.find(|(_, piece)| said.contains(piece) && !of_another.contains(piece));
    place.map(|(place, _)| &secret[place..place + length])
}

proptest! {
    #[test]
    fn no_message_holds_a_piece_of_a_key(kind in 0..5_usize, damages in prop::collection::vec(damage(), 0..3)) {
        let [of_one, of_another] = [0, 1].map(|i| {
            let secret = &SECRETS[i][kind];
            said(&damages.iter().fold(secret.pem().into_bytes(), |content, damage| damage.to(secret, content)))
        });
        let secret = &SECRETS[0][kind];
        let base64 = secret.base64();
        let hex: String = secret.der.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(leaked(&base64, &of_one, &of_another, PIECE), None, "{}", of_one);
        // Six characters of hexadecimal are in many a fingerprint.
        prop_assert_eq!(leaked(&hex, &of_one, &of_another, 4 * PIECE), None, "{}", of_one);
    }
}
