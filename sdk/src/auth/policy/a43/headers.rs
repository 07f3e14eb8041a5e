//! The headers of a call, as grpc-go has them: the metadata of the call.

use std::borrow::Cow;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::pattern::Pattern;

/// The keys that no rule may name, beside those that begin with a colon or `grpc-`: they are of the connection, not of the call (A43).
const UNSUPPORTED: [&str; 9] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a rule may not name this key, which is in lower case.
pub(super) fn is_unsupported(key: &str) -> bool {
    key.starts_with(':') || key.starts_with("grpc-") || UNSUPPORTED.contains(&key)
}

/// What a rule demands of one header: that it is there, and that one of the patterns fits what it says.
pub(super) struct Demand {
    pub(super) key: HeaderName,
    pub(super) patterns: Box<[Pattern]>,
}

impl Demand {
    /// Whether the call's headers meet it. The values of a header that is there more than once are joined by commas. Bytes of a
    /// `-bin` header that cannot be decoded meet nothing, but [`are_readable`] comes first.
    pub(super) fn is_met(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.key).iter();
        let is_binary = is_binary(&self.key);
        let Some(first) = values.next() else { return false };
        let Some(mut whole) = metadata(first, is_binary) else { return false };
        for value in values {
            let Some(value) = metadata(value, is_binary) else { return false };
            let joined = whole.to_mut();
            joined.push(b',');
            joined.extend_from_slice(&value);
        }
        self.patterns.iter().any(|pattern| pattern.fits(&whole))
    }
}

/// Whether its values are bytes in base64 (gRPC over HTTP/2, "Requests": `Binary-Header`).
pub(super) fn is_binary(key: &HeaderName) -> bool {
    key.as_str().ends_with("-bin")
}

/// Whether all values of these `-bin` headers can be decoded. A call with others is malformed.
pub(super) fn are_readable(keys: &[HeaderName], headers: &HeaderMap) -> bool {
    keys.iter().flat_map(|key| headers.get_all(key)).all(|value| metadata(value, true).is_some())
}

/// What a value says; `None` if it is to be decoded and cannot.
fn metadata(value: &HeaderValue, is_binary: bool) -> Option<Cow<'_, [u8]>> {
    let value = value.as_bytes();
    if !is_binary {
        return Some(Cow::Borrowed(value));
    }
    let text = std::str::from_utf8(value).ok()?;
    // Padding may be left out, but not in part.
    let bytes = if text.len() % 4 == 0 { Base64::decode_vec(text) } else { Base64Unpadded::decode_vec(text) };
    bytes.ok().map(Cow::Owned)
}
