//! Putting a security together.

use std::sync::Arc;

use super::Security;
use crate::auth::access_log::{AccessLog, AccessLogLayer};
use crate::auth::audit::{AuditLogger, AuditLoggers, TracingAuditLogger};
use crate::auth::authentication::{AuthorizationHeader, OnExpiry};
use crate::auth::denials::Denials;
use crate::auth::exemption::Reflection;
use crate::auth::method_names::MethodNames;
use crate::auth::policy::{InvalidPolicy, MethodPolicy, Setting};
use crate::auth::rate_limit::{InvalidRateLimit, RateLimit, RateLimitLayer};
use crate::auth::tokens::{InvalidTokens, TokenVerifier, Tokens};
#[cfg(feature = "web")]
use crate::auth::web::{InvalidWeb, Web};
use crate::telemetry::Recorder;

/// Puts a [`Security`] together; every contradiction is an error of [`SecurityBuilder::build`].
#[derive(Default)]
#[must_use = "it secures nothing until it is built"]
pub struct SecurityBuilder {
    tokens: Option<Tokens>,
    policy: Option<MethodPolicy>,
    rate_limit: Option<RateLimit>,
    access_log: AccessLog,
    audit: AuditLoggers,
    reflection: Reflection,
    on_expiry: OnExpiry,
    header: AuthorizationHeader,
    recorder: Option<Arc<dyn Recorder>>,
    #[cfg(feature = "web")]
    web: Option<Web>,
}

impl SecurityBuilder {
    /// Which bearer tokens are taken. None unless set: callers are known by their certificates alone, and a token is not looked at.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Who may call what. It must be set.
    pub fn policy(mut self, policy: impl Into<MethodPolicy>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// How often one principal may call. As often as it likes unless set.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// How much of the calls is written into the log. [`AccessLog::default`] unless set.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.access_log = log;
        self
    }

    /// One that takes down the decisions which the policy wants audited, beside those given before. [`TracingAuditLogger`] unless set.
    pub fn audit(mut self, logger: impl AuditLogger) -> Self {
        self.audit = self.audit.and(Arc::new(logger));
        self
    }

    /// Who may ask for the server's descriptors. [`Reflection::Off`] unless set.
    pub fn reflection(mut self, reflection: Reflection) -> Self {
        self.reflection = reflection;
        self
    }

    /// What becomes of a call whose token expires. [`OnExpiry::EndCall`] unless set.
    pub fn on_expiry(mut self, on_expiry: OnExpiry) -> Self {
        self.on_expiry = on_expiry;
        self
    }

    /// What handlers see of the header that a token came in. [`AuthorizationHeader::Sensitive`] unless set.
    pub fn authorization_header(mut self, header: AuthorizationHeader) -> Self {
        self.header = header;
        self
    }

    /// The recorder that is told of calls, denials, tokens and files. The server's, or its identity's, unless set.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The pages that may call by gRPC-Web. None unless set. A server then speaks HTTP/1.1 besides.
    #[cfg(feature = "web")]
    #[cfg_attr(docsrs, doc(cfg(feature = "web")))]
    pub fn web(mut self, web: Web) -> Self {
        self.web = Some(web);
        self
    }

    /// The security.
    ///
    /// # Errors
    ///
    /// A part is missing or cannot be used, or two parts contradict each other.
    pub fn build(self) -> Result<Security, InvalidSecurity> {
        let Some(policy) = self.policy else {
            return Err(InvalidSecurity::NoPolicy);
        };
        let tokens = self.tokens.map(Tokens::build).transpose()?;
        let policy = policy.build_for(Setting {
            takes_tokens: tokens.is_some(),
            takes_jwt_svids: tokens.as_ref().is_some_and(TokenVerifier::takes_jwt_svids),
            takes_certificates: true,
            reflection: self.reflection,
        })?;
        let rate_limit = self.rate_limit.map(RateLimitLayer::new).transpose()?;
        let audit = if self.audit.is_empty() { self.audit.and(Arc::new(TracingAuditLogger)) } else { self.audit };
        let names = MethodNames::new(policy.policy().methods());
        let security = Security {
            tokens,
            policy,
            rate_limit,
            access_log: AccessLogLayer::telling(self.access_log, None, names.clone()),
            denials: Denials::new(None, names.clone()),
            audit,
            reflection: self.reflection,
            on_expiry: self.on_expiry,
            header: self.header,
            recorder: None,
            names,
            #[cfg(feature = "web")]
            web: self.web.map(Web::build).transpose()?,
        };
        Ok(security.or_recorder(self.recorder))
    }
}

/// Parts of a [`Security`] that do not make one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecurity {
    /// Nothing says who may call what.
    #[error(
        "the security has no policy, which says who may call what: set one by `SecurityBuilder::policy`. \
         `MethodPolicy::any_authenticated()` lets everybody call everything who has a certificate or a token"
    )]
    NoPolicy,
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] InvalidTokens),
    /// The policy cannot be used, or does not go with the other parts.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The rate limit is none.
    #[error(transparent)]
    RateLimit(#[from] InvalidRateLimit),
    /// What pages may do makes no sense, or is not safe.
    #[cfg(feature = "web")]
    #[cfg_attr(docsrs, doc(cfg(feature = "web")))]
    #[error(transparent)]
    Web(#[from] InvalidWeb),
}
