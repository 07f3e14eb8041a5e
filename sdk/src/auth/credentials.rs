//! The token that a client sends with its calls.
//!
//! ```text
//! BearerToken: fixed | file, followed | closure: kept, fetched early, one fetch at a time
//!      │ authorization: Bearer …
//!      ▼
//! AuthenticatedChannel ── Channel | BalancedChannel: TLS, to a server that was verified
//! ```
//!
//! A token is put into a call on the way to a channel of this library, and nowhere else. Such a channel connects by TLS alone and sends
//! nothing before the server's certificate was accepted and its first HTTP/2 frame has come, so there is nothing to turn off: what other
//! libraries call `RequireTransportSecurity` is the type here. Neither does it follow redirects. Early data is off, so a token is in no
//! message that could be replayed.
//!
//! Certificate and token are independent: the channel presents its identity's certificate to a server that asks for one, and an identity
//! without a certificate, or a channel that withholds it, sends the token alone
//! ([`Endpoint::client_certificate`](crate::client::Endpoint::client_certificate)).
//!
//! A token that is bound to the certificate (RFC 8705 §3) ends with it: whoever issues the one has to issue the other. A file is looked at
//! every second, so write the token before the certificate or soon after it. For a closure, [`BearerToken::refresh`] on
//! [`Identity::changed`](crate::Identity::changed) does it.

mod bearer;
mod channel;
mod fetched;
mod file;
mod token;

pub use bearer::BearerToken;
pub use channel::{AuthenticatedCall, AuthenticatedChannel, AuthenticatedError};
pub use fetched::AccessToken;
pub use file::TokenFileError;
pub use token::{BearerTokenError, InvalidToken};
