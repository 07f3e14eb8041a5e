//! What a policy is asked.

use http::HeaderMap;

use crate::auth::principal::Principal;

/// Whether this call may be made: what a policy decides by, and all that it does.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The path as it is on the wire, of whatever form.
    pub path: &'a str,
    /// The headers of the call.
    pub headers: &'a HeaderMap,
    /// Who makes it; `None` for a caller that has proven nothing.
    pub principal: Option<&'a Principal>,
    /// Whether its connection is under TLS, with a certificate of the caller's or without.
    pub is_tls: bool,
}
