//! Who calls, and what they may do: authentication and authorisation of gRPC calls.

mod access_log;
mod audit;
mod authentication;
mod authorization;
mod authorization_header;
mod claims;
mod credentials;
mod denials;
mod exemption;
mod expiry;
mod followed;
mod handled;
mod method;
mod method_names;
mod noted;
mod passage;
pub mod policy;
mod principal;
mod protocol;
mod rate_limit;
mod security;
pub mod tokens;
mod transport;
#[cfg(feature = "web")]
#[cfg_attr(docsrs, doc(cfg(feature = "web")))]
pub mod web;

pub use access_log::{AccessLog, AccessLogFuture, AccessLogLayer, AccessLogService};
pub use audit::{AuditEvent, AuditLogger, StdoutAuditLogger, TracingAuditLogger};
pub use authentication::{
    Anonymous, AuthenticationFuture, AuthenticationLayer, AuthenticationService, AuthorizationHeader, OnExpiry,
};
pub use authorization::{AuthorizationLayer, AuthorizationService};
pub use claims::Claims;
pub use credentials::{
    AccessToken, AuthenticatedCall, AuthenticatedChannel, AuthenticatedError, BearerToken, BearerTokenError,
    InvalidToken, TokenFileError,
};
pub use exemption::Reflection;
pub use followed::{FileError, FollowError};
pub use method::Method;
#[doc(inline)]
pub use policy::{Authorizer, Decision, InvalidPolicy, MethodPolicy, Question};
pub use principal::{Principal, PrincipalKey};
pub use rate_limit::{AnonymousLimit, InvalidRateLimit, RateLimit, RateLimitLayer, RateLimitService};
pub use security::{InvalidSecurity, Secured, Security, SecurityBuilder, Unfit};
#[doc(inline)]
pub use tokens::{Algorithm, InvalidKeys, InvalidTokens, TokenVerifier, Tokens};
#[cfg(feature = "web")]
#[doc(inline)]
pub use web::{InvalidOrigin, InvalidWeb, Web, WebLayer};
