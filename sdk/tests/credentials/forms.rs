//! The forms in which a token can be on a wire.

use base64ct::{Base64, Base64Url, Encoding};
use bytes::Bytes;
use http::{HeaderValue, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// The bytes of a token that give it away, wherever they are.
const PART: usize = 12;

const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
/// `authorization` by its number in the static table, with a value that is never indexed (RFC 7541 §6.2.3).
pub(crate) const NEVER_INDEXED: [u8; 2] = [0x1f, 0x08];

/// A token in every form that it is looked for in.
pub(crate) struct Forms(Vec<Vec<u8>>);

impl Forms {
    pub(crate) async fn of(token: &str) -> Self {
        let mut forms = vec![token.as_bytes().to_vec()];
        for before in 0..3 {
            let shifted = [&vec![0; before], token.as_bytes()].concat();
            forms.extend([Base64::encode_string(&shifted), Base64Url::encode_string(&shifted)].map(|text| {
                // Without the characters that what is around it has a part in.
                text.into_bytes()[4..].to_vec()
            }));
        }
        let huffman = huffman(token).await;
        forms.extend((0..8).map(|bits| shifted(&huffman, bits)));
        Self(forms)
    }

    /// The number of places at which a part of it is found.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> usize {
        let parts = self.0.iter().flat_map(|form| form.windows(PART).step_by(PART / 2));
        parts.map(|part| bytes.windows(PART).filter(|bytes| *bytes == part).count()).sum()
    }
}

/// The same bits, so many further on; without the bytes that have others too.
fn shifted(bytes: &[u8], bits: u32) -> Vec<u8> {
    let both = |pair: &[u8]| (u16::from_be_bytes([pair[0], pair[1]]) >> bits).to_be_bytes()[1];
    let shifted: Vec<_> = bytes.windows(2).map(both).collect();
    shifted[..shifted.len() - 1].to_vec()
}

/// The token in HPACK's Huffman code (RFC 7541 §5.2), as h2 writes it.
async fn huffman(token: &str) -> Vec<u8> {
    let (client, mut server) = duplex(64 * 1024);
    let (sender, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut value = HeaderValue::from_str(token).unwrap();
    value.set_sensitive(true);
    let request = Request::builder().uri("https://a.example.org/").header("authorization", value).body(()).unwrap();
    server.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut sender = sender.ready().await.unwrap();
    _ = sender.send_request(request, true).unwrap();
    let mut preface = [0; PREFACE];
    server.read_exact(&mut preface).await.unwrap();
    let block = loop {
        let mut header = [0; FRAME_HEADER];
        server.read_exact(&mut header).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
        server.read_exact(&mut payload).await.unwrap();
        if header[3] == HEADERS {
            break Bytes::from(payload);
        }
    };
    connection.abort();
    let at = block.windows(2).position(|pair| pair == NEVER_INDEXED).unwrap() + 2;
    let (length, read) = integer(&block[at..]);
    assert!(block[at] & 0x80 != 0, "h2 has written it without the code");
    block[at + read..][..length].to_vec()
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1), and the number of its bytes.
fn integer(bytes: &[u8]) -> (usize, usize) {
    let mut value = usize::from(bytes[0] & 0x7f);
    if value < 0x7f {
        return (value, 1);
    }
    for (place, byte) in bytes[1..].iter().enumerate() {
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (value, place + 2);
        }
    }
    panic!("an integer without an end");
}

#[tokio::test]
async fn every_form_is_found_wherever_it_begins() {
    let token = "e30.eyJzdWIiOiJhIiwiZXhwIjoxOTAwMDAwMDAwfQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
    let forms = Forms::of(token).await;
    assert_eq!(forms.found_in(&[b'a'; 1000]), 0);
    for before in 0..8 {
        let text = format!("{}Bearer {token}, and more", "x".repeat(before));
        let huffman = huffman(&text).await;
        let encoded = Base64::encode_string(text.as_bytes());
        for bytes in [text.as_bytes(), encoded.as_bytes(), &huffman] {
            assert!(forms.found_in(bytes) > 5, "{before}: {}", forms.found_in(bytes));
        }
    }
}
