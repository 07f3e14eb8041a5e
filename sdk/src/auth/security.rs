//! All of it in one value.

mod builder;
mod fit;

use std::fmt;
use std::sync::Arc;

use tower::Layer;
use tower::util::{Either, option_layer};

use super::access_log::{AccessLogLayer, AccessLogService};
use super::audit::AuditLoggers;
use super::authentication::{Anonymous, AuthenticationLayer, AuthenticationService, AuthorizationHeader, OnExpiry};
use super::authorization::{AuthorizationLayer, AuthorizationService};
use super::denials::Denials;
use super::exemption::Reflection;
use super::method_names::MethodNames;
use super::policy::Authorizer;
use super::protocol::GrpcOnly;
use super::rate_limit::{RateLimitLayer, RateLimitService};
use super::tokens::TokenVerifier;
use super::transport::Transport;
#[cfg(feature = "web")]
use super::web::{WebLayer, WebService};
use crate::peer::{PeerIdentityLayer, PeerIdentityService};
use crate::telemetry::Recorder;

pub use builder::{InvalidSecurity, SecurityBuilder};
pub use fit::Unfit;

/// Who may call what on a server, how often, and what is told of it: one value, in which nothing contradicts anything else.
///
/// ```no_run
/// # const DESCRIPTORS: &[u8] = &[];
/// # async fn example(
/// #     identity: evercert::Identity,
/// #     routes: tonic::service::Routes,
/// #     listener: tokio::net::TcpListener,
/// #     shutdown: impl std::future::Future<Output = ()>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use evercert::Server;
/// use evercert::auth::{MethodPolicy, RateLimit, Security, Tokens};
///
/// let security = Security::builder()
///     .tokens(Tokens::jwks_file("/etc/tls/jwks.json").issuer("https://issuer.example.org").audience("payments"))
///     .policy(MethodPolicy::file("/etc/evercert/policy.json").checked_against(DESCRIPTORS))
///     .rate_limit(RateLimit::per_principal(NonZeroU32::new(100).expect("not zero"), Duration::from_secs(1)))
///     .build()?;
/// Server::new(&identity).security(security).serve(routes, listener, shutdown).await?;
/// # Ok(())
/// # }
/// ```
///
/// Each call, unary or streaming, goes one way:
///
/// ```text
/// (pages, gRPC-Web →) access log → peer identity → exemptions → authentication → rate limit → authorisation → layers of one's own → handler
/// ```
///
/// - What is no call gets no further than the first of them: a method is run for a POST with gRPC's content type by HTTP/2, and for
///   gRPC-Web where pages may call (`SecurityBuilder::web`, feature `web`). All else is answered with 405, 415 or 505. So no page of anybody's
///   can have a browser call with its user's certificate.
/// - Exempt are the methods `Check` and `Watch` of `grpc.health.v1.Health`, to the byte, and nothing else. Reflection is off
///   unless it is asked for.
/// - Authenticated is a caller by its certificate, by a bearer token, or both. A token that cannot be verified is `UNAUTHENTICATED`,
///   whatever certificate the caller has. Handlers find the caller by [`Principal::of`](super::Principal::of).
/// - Nothing is allowed that the policy does not allow, and there is no security without a policy.
///
/// [`Server::security`](crate::Server::security) is where it belongs. As a tower layer it does the same over
/// [`Incoming`](crate::server::Incoming) in a serve loop of one's own, on TCP and Unix sockets; there nobody compares it with the server's
/// settings. A call that did not come by TLS is refused in both, unless it is a health check. A cheap clone: what is counted and cached is shared.
#[derive(Clone)]
pub struct Security {
    tokens: Option<TokenVerifier>,
    policy: Authorizer,
    rate_limit: Option<RateLimitLayer>,
    access_log: AccessLogLayer,
    denials: Denials,
    audit: AuditLoggers,
    reflection: Reflection,
    on_expiry: OnExpiry,
    header: AuthorizationHeader,
    recorder: Option<Arc<dyn Recorder>>,
    names: MethodNames,
    #[cfg(feature = "web")]
    web: Option<WebLayer>,
}

impl Security {
    /// Where it is put together.
    pub fn builder() -> SecurityBuilder {
        SecurityBuilder::default()
    }

    /// Has this recorder told of calls, of denials, of tokens and of files, unless another one was set.
    pub(crate) fn or_recorder(mut self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        if let (None, Some(recorder)) = (&self.recorder, recorder) {
            self.policy.record_to(Arc::clone(&recorder));
            if let Some(tokens) = &self.tokens {
                tokens.record_to(Arc::clone(&recorder));
            }
            self.denials = Denials::new(Some(Arc::clone(&recorder)), self.names.clone());
            self.access_log = self.access_log.with_recorder(Arc::clone(&recorder));
            self.recorder = Some(recorder);
        }
        self
    }

    /// The stack over `inner`, for connections with this `ConnectInfo` under their TLS.
    pub(crate) fn over<C: Clone + Send + Sync + 'static, S>(&self, inner: S) -> Secured<S> {
        self.stack(PeerIdentityLayer::over::<C>(), Transport::over::<C>(), inner)
    }

    fn stack<S>(&self, peers: PeerIdentityLayer, transport: Transport, inner: S) -> Secured<S> {
        let denials = &self.denials;
        let authentication = match &self.tokens {
            Some(tokens) => AuthenticationLayer::by_token(tokens.clone()),
            None => AuthenticationLayer::by_certificate(),
        };
        let authentication = authentication
            // It is the policy that says what anybody may call.
            .anonymous(Anonymous::PassedOn)
            .reflection(self.reflection)
            .on_expiry(self.on_expiry)
            .authorization_header(self.header)
            .over_transport(transport)
            .denials(denials.clone());
        let rate_limit = self.rate_limit.clone().map(|layer| layer.denials(denials.clone()));
        let authorization = AuthorizationLayer::new(self.policy.clone())
            .audited(self.audit.clone())
            .taking_tokens(self.tokens.is_some())
            .denials(denials.clone());
        let authorized = authorization.layer(inner);
        let limited = option_layer(rate_limit).layer(authorized);
        self.entrance(self.access_log.layer(peers.layer(authentication.layer(limited))))
    }

    #[cfg(not(feature = "web"))]
    fn entrance<S>(&self, inner: S) -> Entrance<S> {
        GrpcOnly::new(inner, self.denials.clone())
    }

    #[cfg(feature = "web")]
    fn entrance<S>(&self, inner: S) -> Entrance<S> {
        match &self.web {
            Some(web) => Either::Right(web.clone().denials(self.denials.clone()).layer(inner)),
            None => Either::Left(GrpcOnly::new(inner, self.denials.clone())),
        }
    }

    /// Whether pages in browsers may call, and so HTTP/1.1 is spoken besides.
    pub(crate) fn is_for_pages(&self) -> bool {
        #[cfg(feature = "web")]
        return self.web.is_some();
        #[cfg(not(feature = "web"))]
        false
    }
}

/// A service behind a [`Security`].
pub type Secured<S> =
    Entrance<AccessLogService<PeerIdentityService<AuthenticationService<Limited<AuthorizationService<S>>>>>>;

#[cfg(not(feature = "web"))]
type Entrance<S> = GrpcOnly<S>;

#[cfg(feature = "web")]
type Entrance<S> = Either<GrpcOnly<S>, WebService<S>>;

type Limited<S> = Either<RateLimitService<S>, S>;

impl<S> Layer<S> for Security {
    type Service = Secured<S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.stack(PeerIdentityLayer::default(), Transport::default(), inner)
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("tokens", &self.tokens)
            .field("policy", &self.policy)
            .field("rate_limit", &self.rate_limit)
            .field("access_log", &self.access_log)
            .field("reflection", &self.reflection)
            .field("on_expiry", &self.on_expiry)
            .finish_non_exhaustive()
    }
}
