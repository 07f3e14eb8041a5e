//! A token as it is sent, and how long it may be.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use evercert_core::clock::rfc3339;
use evercert_core::text;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use tonic::Status;
use zeroize::Zeroizing;

use crate::auth::authorization_header::{SCHEME, is_b64token};

/// The most bytes of a token: servers take 16 KiB of headers in all, by hyper's default.
pub(super) const LONGEST: usize = 12 * 1024;

/// The time before its end at which a token is not kept any longer: clocks differ, and the server needs a moment (A97).
const MARGIN: Duration = Duration::from_secs(30);

/// The time before that in which a call has the next one fetched, and is not held up by it (A97).
const EARLY: Duration = Duration::from_secs(60);

/// Neither of the two is more than this part of what is left, so that a token that lives for less than they take is not fetched with
/// every call.
const PART: u32 = 4;

/// A token that can be sent. Its bytes are wiped with the last copy of the header.
#[derive(Clone)]
pub(super) struct Token {
    header: HeaderValue,
    life: Option<Life>,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    early: SystemTime,
    kept: SystemTime,
    end: SystemTime,
}

impl Token {
    /// The token in `text`, at this time. If it is a JWT (RFC 7519), its own `exp` counts where that is before `expires`.
    ///
    /// # Errors
    ///
    /// It is none that could be sent.
    pub(super) fn new(text: &str, expires: Option<SystemTime>, now: SystemTime) -> Result<Self, InvalidToken> {
        check(text)?;
        let end = [expires, expiry(text)?].into_iter().flatten().min();
        let mut header = Zeroizing::new(Vec::with_capacity(SCHEME.len() + text.len()));
        header.extend_from_slice(SCHEME);
        header.extend_from_slice(text.as_bytes());
        let header = HeaderValue::from_maybe_shared(Bytes::from_owner(header));
        let mut header = header.map_err(|_| InvalidToken::Characters)?;
        // HPACK then keeps it out of every table (RFC 7541 §7.1.3), and `Debug` of the headers does not show it.
        header.set_sensitive(true);
        Ok(Self { header, life: end.map(|end| Life::new(end, now)) })
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Its end, if it says one.
    pub(super) fn end(&self) -> Option<SystemTime> {
        self.life.map(|life| life.end)
    }

    /// Whether the next one is to be fetched, while this one is still good.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.life.is_some_and(|life| life.early <= now)
    }

    /// Whether it is too near to its end to be kept.
    pub(super) fn is_old(&self, now: SystemTime) -> bool {
        self.life.is_some_and(|life| life.kept <= now)
    }

    /// It, unless it has expired.
    pub(super) fn unexpired(&self, now: SystemTime) -> Result<&HeaderValue, InvalidToken> {
        match self.life {
            Some(Life { end, .. }) if end <= now => Err(InvalidToken::Expired(end)),
            _ => Ok(&self.header),
        }
    }
}

impl Life {
    fn new(end: SystemTime, now: SystemTime) -> Self {
        let left = end.duration_since(now).unwrap_or_default();
        let margin = MARGIN.min(left / PART);
        let early = EARLY.min((left - margin) / PART);
        let kept = end.checked_sub(margin).unwrap_or(end);
        Self { early: kept.checked_sub(early).unwrap_or(kept), kept, end }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Whether it is a `b64token` that is sent.
fn check(text: &str) -> Result<(), InvalidToken> {
    if text.len() > LONGEST {
        return Err(InvalidToken::TooLong { length: text.len(), limit: LONGEST });
    }
    if text.trim_end_matches('=').is_empty() {
        return Err(InvalidToken::Empty);
    }
    if is_b64token(text.as_bytes()) { Ok(()) } else { Err(InvalidToken::Characters) }
}

/// The `exp` of a JWT, which is read and not verified; nothing for a token of another form.
fn expiry(text: &str) -> Result<Option<SystemTime>, InvalidToken> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<Value>,
    }
    let mut parts = text.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let mut buffer = Zeroizing::new(vec![0; payload.len()]);
    let Ok(json) = Base64UrlUnpadded::decode(payload, &mut buffer) else { return Ok(None) };
    // What is no object, or names `exp` twice, is no JWT that a server would take.
    let Ok(claims) = serde_json::from_slice::<Claims>(json) else { return Err(InvalidToken::Claims) };
    let Some(exp) = claims.exp else { return Ok(None) };
    let seconds = exp.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let end = seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(seconds));
    end.map(Some).ok_or(InvalidToken::Claims)
}

/// A token that cannot be sent. Nothing of the token is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// There is none.
    #[error("the token is empty")]
    Empty,
    /// It is longer than any that is sent.
    #[error(
        "the token has {length} bytes, and none of more than {limit} is sent: servers would refuse the call's headers"
    )]
    TooLong {
        /// Its length, in bytes.
        length: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// It has other characters than a token may have (RFC 6750 §2.1).
    #[error(
        "the token has characters that no token has (RFC 6750 section 2.1): letters, digits and - . _ ~ + / are allowed, and = at its \
         end; it is written without \"Bearer\" before it"
    )]
    Characters,
    /// It has the form of a JWT, but its claims cannot be read.
    #[error("the token has the form of a JWT, but its claims, or when it expires, cannot be read")]
    Claims,
    /// Nothing says when it expires.
    #[error("nothing says when the token expires: it is no JWT with an exp, and no other time was given")]
    Unending,
    /// It has expired.
    #[error("the token expired at {}", rfc3339(*.0))]
    Expired(SystemTime),
}

/// Why there is no token for a call. The call was not sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BearerTokenError {
    /// The token is there, and no server would take it: `UNAUTHENTICATED`.
    #[error(transparent)]
    Invalid(InvalidToken),
    /// The file with it cannot be read: `UNAVAILABLE`.
    #[error("there is no token: {0}")]
    Unreadable(Arc<dyn Error + Send + Sync>),
    /// The closure that fetches it gave an error: `UNAVAILABLE`.
    #[error("the token could not be fetched: {}", text::sentence(&.0.to_string()))]
    Failed(Arc<dyn Error + Send + Sync>),
    /// The closure that fetches it panicked: `UNAVAILABLE`.
    #[error("fetching the token panicked")]
    Panicked,
    /// There was no token in this time: `UNAVAILABLE`.
    #[error("there was no token within {0:?}")]
    TooSlow(Duration),
    /// There is no runtime to fetch it on, or it has ended: `UNAVAILABLE`.
    #[error("there is no tokio runtime to fetch a token on, or it has ended: make the call on one that runs")]
    NoRuntime,
}

impl BearerTokenError {
    /// The status of the call: one that is retried where trying again may help.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Invalid(_) => Status::unauthenticated(self.to_string()),
            _ => Status::unavailable(self.to_string()),
        }
    }
}

impl From<InvalidToken> for BearerTokenError {
    fn from(invalid: InvalidToken) -> Self {
        Self::Invalid(invalid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(seconds)
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", Base64UrlUnpadded::encode_string(claims.as_bytes()))
    }

    fn token(text: &str) -> Result<Token, InvalidToken> {
        Token::new(text, None, at(0))
    }

    #[test]
    fn a_jwt_is_kept_until_30_seconds_before_its_end_and_fetched_a_minute_before_that() {
        let token = token(&jwt(&format!(r#"{{"exp":{}}}"#, NOW.as_secs() + 3600))).unwrap();
        assert_eq!(token.end(), Some(at(3600)));
        assert!(!token.is_due(at(3509)) && token.is_due(at(3510)));
        assert!(!token.is_old(at(3569)) && token.is_old(at(3570)));
        assert!(token.unexpired(at(3599)).is_ok());
        assert_eq!(token.unexpired(at(3600)), Err(InvalidToken::Expired(at(3600))));
    }

    #[test]
    fn one_that_lives_for_a_moment_is_kept_for_most_of_it() {
        let token = Token::new("opaque", Some(at(16)), at(0)).unwrap();
        assert!(!token.is_due(at(8)) && token.is_due(at(9)));
        assert!(!token.is_old(at(11)) && token.is_old(at(12)));
    }

    #[test]
    fn of_two_ends_the_earlier_one_counts_and_one_that_is_opaque_has_none_of_its_own() {
        let exp = jwt(&format!(r#"{{"exp":{}.5}}"#, NOW.as_secs() + 100));
        assert_eq!(Token::new(&exp, Some(at(50)), at(0)).unwrap().end(), Some(at(50)));
        assert_eq!(Token::new(&exp, Some(at(500)), at(0)).unwrap().end(), Some(at(100) + Duration::from_millis(500)));
        for opaque in ["opaque", "a.b", "a.b.c.d", "a.~.c", "e30.e30.e30", "~+/=="] {
            assert_eq!(token(opaque).unwrap().end(), None, "{opaque}");
        }
    }

    #[test]
    fn what_no_server_would_take_is_refused() {
        for (text, why) in [
            ("", InvalidToken::Empty),
            ("==", InvalidToken::Empty),
            ("a\r\nb", InvalidToken::Characters),
            ("a\n", InvalidToken::Characters),
            ("Bearer a", InvalidToken::Characters),
            ("a,b", InvalidToken::Characters),
            ("a=b", InvalidToken::Characters),
            ("é", InvalidToken::Characters),
            ("a\0", InvalidToken::Characters),
            (&jwt("[]"), InvalidToken::Claims),
            (&jwt("{"), InvalidToken::Claims),
            (&jwt(r#"{"exp":"1"}"#), InvalidToken::Claims),
            (&jwt(r#"{"exp":-1}"#), InvalidToken::Claims),
            (&jwt(r#"{"exp":1e300}"#), InvalidToken::Claims),
            (&jwt(r#"{"exp":1,"exp":2}"#), InvalidToken::Claims),
        ] {
            assert_eq!(token(text).unwrap_err(), why, "{text:?}");
        }
        assert!(token(&"a".repeat(LONGEST)).is_ok());
        assert!(matches!(token(&"a".repeat(LONGEST + 1)), Err(InvalidToken::TooLong { .. })));
    }

    #[test]
    fn nothing_shows_it() {
        let token = token("s3cret").unwrap();
        let shown = format!("{token:?} {:?} {:?}", token.header(), InvalidToken::Characters);
        assert!(!shown.contains("s3cret") && token.header().is_sensitive(), "{shown}");
        assert_eq!(token.header().as_bytes(), b"Bearer s3cret");
    }

    proptest! {
        #[test]
        fn whatever_it_holds_it_is_one_header_of_one_credential_or_none(text in ".{0,40}|[a-z._~+/=-]{0,40}") {
            if let Ok(token) = token(&text) {
                let value = token.header().to_str().unwrap();
                prop_assert_eq!(value, format!("Bearer {text}"));
                prop_assert_eq!(value.matches([' ', ',']).count(), 1);
            }
        }
    }
}
