//! Tokens that callers show: which are taken, and what they say.
//!
//! A token is a signed JWT (RFC 7519) in compact serialization. It is read strictly, as RFC 8725 asks for: the algorithm is the key's own and
//! never the header's choice, a name that is twice in an object is an error, and what a header asks for that is not done here refuses the
//! token. [`Tokens`] says which tokens are taken, [`TokenVerifier`] takes them.

mod algorithm;
mod cache;
mod compact;
mod discovery;
mod fetched;
mod json;
mod key;
mod key_set;
mod keys;
mod rules;
mod settings;
mod verifier;

pub use algorithm::Algorithm;
pub(super) use compact::TOKEN_LIMIT;
pub(super) use json::{StrictObject, object};
pub use key::{KeyUse, UnusableKey};
pub use key_set::{InvalidKeys, KeyPlace, KeysProblem};
pub(super) use rules::subject;
pub use settings::{InvalidTokens, Tokens};
pub use verifier::TokenVerifier;
