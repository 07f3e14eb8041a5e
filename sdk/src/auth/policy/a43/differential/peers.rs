//! Who calls.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use super::random::Random;
use crate::auth::principal::Principal;
use crate::peer::PeerIdentity;
use crate::peer::test_leaf::{leaf, part};

/// How many leaves are made by chance.
const RANDOM_LEAVES: usize = 3_000;

pub(super) struct Peer {
    pub(super) is_tls: bool,
    pub(super) leaf: Option<Vec<u8>>,
    pub(super) identity: Option<PeerIdentity>,
    pub(super) principal: Option<Principal>,
}

impl Peer {
    fn without_leaf(is_tls: bool) -> Self {
        Self { is_tls, leaf: None, identity: None, principal: None }
    }

    fn of_leaf(leaf: Vec<u8>) -> Self {
        let identity = PeerIdentity::of_chain(&[CertificateDer::from(&*leaf)]);
        let principal = Principal::new(identity.clone(), None);
        Self { is_tls: true, leaf: Some(leaf), identity, principal }
    }

    /// Whether all of its leaf's names can be read, if it shows one.
    pub(super) fn is_understood(&self) -> bool {
        self.leaf.is_none() || self.identity.is_some()
    }

    /// Whether its handshake could have succeeded.
    pub(super) fn is_readable(&self) -> bool {
        self.leaf.is_none() || self.identity.as_ref().is_some_and(|identity| identity.grpc_names().is_some())
    }

    pub(super) fn names(&self) -> &[String] {
        self.identity.as_ref().and_then(PeerIdentity::grpc_names).unwrap_or_default()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "tls": self.is_tls, "leaf": self.leaf.as_ref().map(|leaf| Base64::encode_string(leaf)) })
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaf = self.leaf.as_ref().map(|leaf| leaf.escape_ascii().to_string());
        f.debug_struct("Peer").field("is_tls", &self.is_tls).field("leaf", &leaf).finish_non_exhaustive()
    }
}

/// Kinds of attributes: those that Go has names for, and others.
const KINDS: [&[u8]; 14] = [
    &[0x55, 4, 3],
    &[0x55, 4, 5],
    &[0x55, 4, 6],
    &[0x55, 4, 7],
    &[0x55, 4, 8],
    &[0x55, 4, 9],
    &[0x55, 4, 10],
    &[0x55, 4, 11],
    &[0x55, 4, 17],
    &[0x55, 4, 4],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
    &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19],
    &[0x2a, 0x87, 0xff, 0xff, 0xff, 0x7f],
    &[0x2a, 0x88, 0x80, 0x80, 0x80, 0],
];

const UTF8: u8 = 0x0c;

/// Types of values: each that Go reads, some that it does not, and an OCTET STRING.
const TYPES: [u8; 9] = [UTF8, 0x13, 0x14, 0x16, 0x12, 0x1e, 0x1c, 0x1a, 0x04];

const VALUES: [&[u8]; 20] = [
    b"a",
    b"b",
    b"Example, Inc.",
    b"#1 \"x\" + <y>; \\",
    b" a ",
    b"  ",
    b" ",
    b"a#",
    b"",
    b"a*b",
    b"a&b",
    b"a@b",
    b"12 34",
    b"a\nb",
    b"\0",
    b"\xc3\xa9\xe2\x82\xac",
    b"\xe9\xff",
    b"\x00a\x20\xac",
    b"\x00a\x00\x00",
    b"\xd8\x00\xdc\x00\xff\xfe",
];

const URIS: [&str; 48] = [
    "spiffe://example.org/ns/a/sa/b",
    "spiffe://example.org/ns/b/sa/b",
    "spiffe://other.example.org/ns/a/sa/b",
    "spiffe://example.org",
    "spiffe://example.org/",
    "SPIFFE://EXAMPLE.org/ns/a",
    "https://example.org/a?b=c#d",
    "https://example.org:8443/a%2fb",
    "https://user:pass@example.org/",
    "https://us%40er:p%3Ass@example.org/",
    "https://a@b@example.org/",
    "https://example.org/a b",
    "https://example.org/a\"b<c>",
    "https://example.org/%41%zz",
    "https://example.org/?%zz",
    "https://example.org/#a b",
    "https://example.org/#%41'(!)",
    "https://example.org/#",
    "https://example.org?",
    "https://example.org??",
    "https://example.org./",
    "https://.example.org/",
    "https://example..org/",
    "https://exa mple.org/",
    "https://exa%20mple.org/",
    "https://exa%80mple.org/",
    "https://exa%25mple.org/",
    "https://example.org:/",
    "https://example.org:80:81/",
    "redis://a:1,b:2/",
    "https://example.org:port/",
    "https://[::1]:8443/a",
    "https://[fe80::1%25en0]/a",
    "https://[fe80::1%25e%6e0]/a",
    "https://[1.2.3.4]/",
    "https://[::ffff:1.2.3.4]/",
    "https://a[::1]/",
    "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "mailto:a b@example.org?x y",
    "a",
    "a/b:c",
    "a:b/c",
    "1a:b",
    "/a/b",
    "//example.org/a",
    "///a",
    "*",
    "",
];

const DNS_NAMES: [&str; 8] =
    ["a.example.org", "b.example.org", "*.example.org", "A.example.ORG", "a.example.org.", "", "a b", "a\nb"];

/// What URIs are made of by chance.
const PIECES: [&str; 36] = [
    "a", "B", "1", ":", "/", "//", "?", "#", "@", "%", "%41", "%2f", "%25", "%80", "[", "]", "::1", ".", "-", "_", "~",
    "!", "$", "&", "'", "(", "*", "+", ",", ";", "=", " ", "\"", "<", "\\", "https://",
];

pub(super) fn all() -> Vec<Peer> {
    let cn = part(&[(KINDS[0], UTF8, b"a")]);
    let mut peers = vec![Peer::without_leaf(false), Peer::without_leaf(true)];
    let mut push = |subject: &[Vec<u8>], names: &[&[(u8, &[u8])]]| peers.push(Peer::of_leaf(leaf(subject, names)));
    push(&[], &[]);
    push(&[], &[&[]]);
    push(std::slice::from_ref(&cn), &[&[(0x82, b"a.example.org")], &[(0x86, b"spiffe://example.org/a")]]);
    for odd in [
        (0x82, &b"\xff"[..]),
        (0x87, b"123"),
        (0x87, b"1234"),
        (0x81, b"\xe9"),
        (0xa4, b""),
        (0x88, b"\x2a"),
        (0xa0, b""),
    ] {
        push(std::slice::from_ref(&cn), &[&[odd]]);
        push(std::slice::from_ref(&cn), &[&[odd, (0x82, b"a.example.org")]]);
    }
    for uri in URIS {
        push(std::slice::from_ref(&cn), &[&[(0x82, b"a.example.org"), (0x86, uri.as_bytes())]]);
    }
    for name in DNS_NAMES {
        push(std::slice::from_ref(&cn), &[&[(0x82, name.as_bytes())]]);
    }
    for tag in TYPES {
        for value in VALUES {
            push(&[part(&[(KINDS[0], tag, value)])], &[]);
            push(&[part(&[(KINDS[10], tag, value)])], &[]);
        }
    }
    let mut random = Random(1);
    for _ in 0..RANDOM_LEAVES {
        peers.push(Peer::of_leaf(random_leaf(&mut random)));
    }
    peers
}

fn random_leaf(random: &mut Random) -> Vec<u8> {
    // One odd thing in a leaf hides all else of it.
    let attribute = |random: &mut Random| match random.once_in(40) {
        true => (*random.one(&KINDS), *random.one(&TYPES), *random.one(&VALUES)),
        false => (KINDS[random.below(13)], UTF8, VALUES[random.below(16)]),
    };
    let subject = random.some(5, |random| {
        let mut attributes = random.some(2, attribute);
        attributes.push(attribute(random));
        part(&attributes)
    });
    let name = |random: &mut Random| match random.below(8) {
        0 => (0x82, random.one(&DNS_NAMES).as_bytes().to_vec()),
        1 => (0x81, b"a@example.org".to_vec()),
        2 => (0x86, random.one(&URIS).as_bytes().to_vec()),
        3 => (0x86, random.some(6, |random| *random.one(&PIECES)).concat().into_bytes()),
        _ => {
            let start = *random.one(&["spiffe://", "x:/", "/", "x://h/", "X://"]);
            (0x86, (start.to_owned() + &random.some(4, |random| *random.one(&PIECES)).concat()).into_bytes())
        }
    };
    let names = random.some(2, name);
    let names = names.iter().map(|(tag, octets)| (*tag, &**octets)).collect::<Vec<_>>();
    if random.once_in(3) { leaf(&subject, &[]) } else { leaf(&subject, &[&names]) }
}
