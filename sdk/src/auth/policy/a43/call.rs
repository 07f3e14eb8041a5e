//! A call, as rules see it.

use http::HeaderMap;

use crate::auth::policy::question::Question;
use crate::auth::principal::Principal;

/// A call that rules are asked about.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) caller: Caller<'a>,
}

/// Who makes it, by the connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller<'a> {
    /// Nobody knows, without TLS.
    Plaintext,
    /// Under TLS, with no certificate.
    Anonymous,
    /// By the names of its certificate that count.
    Named(&'a [String]),
}

impl<'a> Call<'a> {
    /// The call of a question; `None` for one that grpc-go decides nothing about, since it refuses it before: its path names no service
    /// and method, or names of its certificate cannot be read.
    pub(super) fn of(question: &Question<'a>) -> Option<Self> {
        let Question { path, headers, principal, is_tls } = *question;
        let names_a_method = path.strip_prefix('/').is_some_and(|path| path.contains('/'));
        let caller = match principal.and_then(Principal::certificate) {
            _ if !is_tls => Caller::Plaintext,
            None => Caller::Anonymous,
            Some(certificate) => Caller::Named(certificate.grpc_names()?),
        };
        names_a_method.then_some(Self { path, headers, caller })
    }
}
