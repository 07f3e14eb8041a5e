//! The header that a token comes in.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::tokens::TOKEN_LIMIT;
use crate::telemetry::TokenFailure;

/// What is before the token, with its one space.
pub(super) const SCHEME: &[u8] = b"Bearer ";

/// The token of a call: `Bearer`, in letters of either case, one space, and a token of the form of RFC 6750 §2.1; `None` where there is no
/// such header.
///
/// # Errors
///
/// There are several, or it is of any other form: two readers of it could come to different ends.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, NotBearer> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(NotBearer::Several);
    }
    token(value).map(Some)
}

fn token(value: &HeaderValue) -> Result<&str, NotBearer> {
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len()).ok_or(NotBearer::Scheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(NotBearer::Scheme);
    }
    if token.len() > TOKEN_LIMIT {
        return Err(NotBearer::TooLong);
    }
    if !is_b64token(token) {
        return Err(NotBearer::Form);
    }
    std::str::from_utf8(token).map_err(|_| NotBearer::Form)
}

/// Whether this is a `b64token` (RFC 6750 §2.1): nothing in one could end a header, or begin another credential.
pub(super) fn is_b64token(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let (body, _) = text.split_at(text.len() - padding);
    !body.is_empty() && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

/// A header that is no bearer token's. It holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotBearer {
    #[error("there are several authorization headers")]
    Several,
    #[error("the authorization header is not of the scheme Bearer")]
    Scheme,
    #[error("the token is longer than {TOKEN_LIMIT} bytes")]
    TooLong,
    #[error("the token is not of the form of RFC 6750")]
    Form,
}

impl NotBearer {
    /// What it is counted as.
    pub(super) fn failure(self) -> TokenFailure {
        match self {
            Self::TooLong => TokenFailure::TooLarge,
            Self::Several | Self::Scheme | Self::Form => TokenFailure::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, NotBearer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn a_token_comes_after_its_scheme_in_letters_of_either_case_and_one_space() {
        assert_eq!(read(&[]), Ok(None));
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(read(&[&format!("{scheme} a.b-c_d~e+f/g==")]), Ok(Some("a.b-c_d~e+f/g==".to_owned())));
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        for value in
            ["", "Bearer", "Basic YTpi", "Bearers a", "Token a.b.c", "a.b.c", " Bearer a", "Bearer\ta", "\u{fc}earer a"]
        {
            assert_eq!(read(&[value]), Err(NotBearer::Scheme), "{value:?}");
        }
        for value in [
            "Bearer ",
            "Bearer  a",
            "Bearer a ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a, Bearer b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"a\"",
            "Bearer \u{e9}",
        ] {
            assert_eq!(read(&[value]), Err(NotBearer::Form), "{value:?}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(NotBearer::Several));
        assert_eq!(read(&["Bearer a", "Basic b"]), Err(NotBearer::Several));
    }

    #[test]
    fn a_token_is_looked_at_up_to_its_longest() {
        assert!(read(&[&format!("Bearer {}", "a".repeat(TOKEN_LIMIT))]).is_ok());
        assert_eq!(read(&[&format!("Bearer {}", "a".repeat(TOKEN_LIMIT + 1))]), Err(NotBearer::TooLong));
        assert_eq!(NotBearer::TooLong.failure(), TokenFailure::TooLarge);
    }
}
