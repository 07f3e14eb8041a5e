//! Who calls, and what they may do: authentication and authorisation of gRPC calls.

mod claims;
mod credentials;
mod followed;
mod method;
pub mod policy;
mod principal;
pub mod tokens;
#[cfg(feature = "web")]
#[cfg_attr(docsrs, doc(cfg(feature = "web")))]
pub mod web;

pub use claims::Claims;
pub use credentials::{
    AccessToken, AuthenticatedCall, AuthenticatedChannel, AuthenticatedError, BearerToken, BearerTokenError,
    InvalidToken, TokenFileError,
};
pub use followed::{FileError, FollowError};
pub use method::Method;
#[doc(inline)]
pub use policy::{Authorizer, Decision, InvalidPolicy, MethodPolicy, Question};
pub use principal::Principal;
#[doc(inline)]
pub use tokens::{Algorithm, InvalidKeys, InvalidTokens, TokenVerifier, Tokens};
#[cfg(feature = "web")]
#[doc(inline)]
pub use web::{InvalidOrigin, InvalidWeb, Web, WebLayer};
