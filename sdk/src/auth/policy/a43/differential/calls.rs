//! What is called.

use super::peers::Peer;
use super::random::Random;

pub(super) struct ForeignCall {
    pub(super) peer: usize,
    pub(super) path: String,
    pub(super) pairs: Vec<(String, Vec<u8>)>,
    /// Whether it is denied though grpc-go allows it.
    pub(super) is_refused: bool,
}

pub(super) const PATHS: [&str; 24] = [
    "/pay.v1.Pay/Charge",
    "/pay.v1.Pay/Refund",
    "/pay.v1.Pay/Re",
    "/pay.v1.Pay/",
    "/pay.v1.Payments/Charge",
    "/pay.v1.Admin/Purge",
    "/pay.v1.Admin/*",
    "/PAY.v1.Pay/Charge",
    "//pay.v1.Pay/Charge",
    "/pay.v1.Pay//Charge",
    "/pay.v1.Pay/Charge/",
    "/pay.v1.Pay/Charge/x",
    "/pay.v1.Pay%2FCharge",
    "/pay.v1.Pay/%43harge",
    "/pay.v1.Pay/Charge?x=/y",
    "/pay.v1.Pay/../Admin/Purge",
    "/a/b",
    "//",
    "/a",
    "/",
    "pay.v1.Pay/Charge",
    "a",
    "",
    "*",
];

pub(super) const KEYS: [&str; 7] = ["x-a", "x-b", "authorization", "user-agent", "cookie", "x-bin", "x-a-bin"];

pub(super) const VALUES: [&str; 14] =
    ["a", "b", "a,b", "ab", "", "a b", "*", "*a", ",", "Bearer a", "A", "\u{e9}", "a\tb", "b,a"];

/// In base64: as it is sent.
const BYTES: [&str; 8] = ["YQ", "YQ==", "YWI", "YWI=", "YWJj", "", "CgBh", "/+8"];

const MALFORMED_BYTES: [&str; 8] = ["Y", "YQ=", "YWI==", "YQ,YQ", "YQ==,YQ==", "%%%%", "-_8", "YWJj="];

const CONTENT_TYPES: [&str; 3] = ["application/grpc", "application/grpc+proto", "application/grpc;a"];

/// The keys whose values a policy may be asked to decode: those of which a malformed one is sent.
pub(super) fn random(random: &mut Random, peers: &[Peer], asked: &[&str]) -> ForeignCall {
    let peer = loop {
        // The first ones are without a leaf, or of one that was thought of.
        let limit = if random.once_in(2) { 80 } else { peers.len() };
        let peer = random.below(limit);
        if peers[peer].is_readable() {
            break peer;
        }
    };
    let mut pairs = random.some(4, |random| {
        // One key comes more than once.
        let key = if random.once_in(2) { KEYS[0] } else { *random.one(&KEYS) };
        let value = match key.ends_with("-bin") {
            true if random.once_in(12) && asked.contains(&key) => random.one(&MALFORMED_BYTES).as_bytes().to_vec(),
            true => random.one(&BYTES).as_bytes().to_vec(),
            false if random.once_in(20) => vec![0xff, b'a'],
            // Few values, so that rules are about what they are together.
            false if key == KEYS[0] => VALUES[random.below(5)].as_bytes().to_vec(),
            false => random.one(&VALUES).as_bytes().to_vec(),
        };
        (key.to_owned(), value)
    });
    pairs.push(("content-type".to_owned(), random.one(&CONTENT_TYPES).as_bytes().to_vec()));
    pairs.push(("te".to_owned(), b"trailers".to_vec()));
    pairs.rotate_left(random.below(2));
    let path = if random.once_in(3) { *random.one(&PATHS) } else { PATHS[random.below(6)] };
    ForeignCall { peer, path: path.to_owned(), pairs, is_refused: false }
}

/// A call with a `-bin` header that has bits behind its last byte, which grpc-go cuts off.
pub(super) fn with_bits_left() -> ForeignCall {
    let pairs =
        vec![("content-type".to_owned(), CONTENT_TYPES[0].as_bytes().to_vec()), ("x-bin".to_owned(), b"YR".to_vec())];
    ForeignCall { peer: 0, path: PATHS[0].to_owned(), pairs, is_refused: true }
}
