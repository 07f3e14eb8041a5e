//! The outer form of a token: a JWS in compact serialization (RFC 7515 §7.1), before its signature is checked.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use crate::telemetry::TokenFailure;

/// The longest token that is read, in bytes.
pub(in crate::auth) const TOKEN_LIMIT: usize = 16 * 1024;

/// The longest name of a key, in bytes.
pub(super) const KID_LIMIT: usize = 256;

/// Members of a header that change what it means, or where its key comes from: a token that has one is refused, so that nobody can take it
/// for one that was verified as it asked.
const REFUSED: [&str; 9] = ["crit", "b64", "zip", "enc", "cty", "jku", "jwk", "x5u", "x5c"];

/// A token that was taken apart.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    pub(super) header: Header,
    /// What is signed: the first two parts with the dot between them.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
    claims: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
}

impl<'a> Compact<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, TokenFailure> {
        if token.len() > TOKEN_LIMIT {
            return Err(TokenFailure::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenFailure::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenFailure::Malformed)?;
        // A dot that is left in the middle is no letter of base64url.
        let (claims, signature) = (decoded(claims)?, decoded(signature)?);
        let header = Header::read(&decoded(header)?)?;
        Ok(Self { header, message, signature, claims })
    }

    /// What it says: to be read once its signature is known to be good.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, TokenFailure> {
        json::object(&self.claims).map_err(|_| TokenFailure::Malformed)
    }
}

impl Header {
    fn read(json: &[u8]) -> Result<Self, TokenFailure> {
        let mut header = json::object(json).map_err(|_| TokenFailure::Malformed)?;
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(TokenFailure::Malformed);
        }
        let mut text = |name: &str| match header.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenFailure::Malformed),
        };
        let algorithm = text("alg")?.ok_or(TokenFailure::Malformed)?;
        let algorithm = Algorithm::named(&algorithm).ok_or(TokenFailure::WrongAlgorithm)?;
        let (kid, typ) = (text("kid")?, text("typ")?);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_LIMIT) {
            return Err(TokenFailure::Malformed);
        }
        Ok(Self { algorithm, kid, typ })
    }
}

/// Base64url without padding, of which each value has one form alone (RFC 7515 §2, RFC 4648 §3.5).
fn decoded(part: &str) -> Result<Vec<u8>, TokenFailure> {
    Base64UrlUnpadded::decode_vec(part).map_err(|_| TokenFailure::Malformed)
}
