//! The layer that finds out who calls.

mod calling;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};
use zeroize::Zeroizing;

use super::authorization_header::bearer;
use super::claims::Claims;
use super::denials::{self, Denials, Why};
use super::exemption::{Exemption, Reflection};
use super::expiry::{Expiry, request_until};
use super::noted::Noted;
use super::passage::Passage;
use super::principal::Principal;
use super::protocol::{NoCall, Protocol};
use super::tokens::TokenVerifier;
use super::transport::{Connection, Transport};
use crate::peer::PeerIdentity;
use crate::telemetry::TokenFailure;

pub use calling::AuthenticationFuture;
use calling::Verifying;
pub use settings::{Anonymous, AuthorizationHeader, OnExpiry};

/// Finds out who makes each call: by the certificate that [`PeerIdentityLayer`](crate::peer::PeerIdentityLayer), which has to be outside of
/// it, has put into the request, and by a bearer token, where there is a [`TokenVerifier`]. Both are then the call's [`Principal`], in the
/// extensions of the request.
///
/// It is for unary and streaming calls alike. Refused are what is no POST with a content type of gRPC or gRPC-Web, which a page of anybody's
/// could have a browser send with its user's certificate, a call that did not come by TLS, one whose token cannot be verified, whatever
/// certificate it has, one whose certificate is not understood, and, unless [`Anonymous::PassedOn`] is set, one that has neither. A call whose token expires ends
/// ([`OnExpiry`]). The methods of health checks are anybody's.
///
/// What a caller may do it does not say: that is what an [`AuthorizationLayer`](super::AuthorizationLayer) inside of it is for. A
/// [`Security`](super::Security) has both, in their order.
#[derive(Debug, Clone)]
pub struct AuthenticationLayer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    tokens: Option<TokenVerifier>,
    anonymous: Anonymous,
    reflection: Reflection,
    on_expiry: OnExpiry,
    header: AuthorizationHeader,
    transport: Transport,
    denials: Denials,
}

impl AuthenticationLayer {
    /// By certificates alone.
    #[must_use]
    pub fn by_certificate() -> Self {
        let shared = Shared {
            tokens: None,
            anonymous: Anonymous::default(),
            reflection: Reflection::default(),
            on_expiry: OnExpiry::default(),
            header: AuthorizationHeader::default(),
            transport: Transport::default(),
            denials: Denials::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// By certificates and by tokens.
    #[must_use]
    pub fn by_token(tokens: TokenVerifier) -> Self {
        Self::by_certificate().with(|shared| shared.tokens = Some(tokens))
    }

    /// What becomes of callers that have proven nothing. [`Anonymous::Refused`] unless set.
    #[must_use]
    pub fn anonymous(self, anonymous: Anonymous) -> Self {
        self.with(|shared| shared.anonymous = anonymous)
    }

    /// Who may ask for the server's descriptors. [`Reflection::Off`] unless set.
    #[must_use]
    pub fn reflection(self, reflection: Reflection) -> Self {
        self.with(|shared| shared.reflection = reflection)
    }

    /// What becomes of a call whose token expires. [`OnExpiry::EndCall`] unless set.
    #[must_use]
    pub fn on_expiry(self, on_expiry: OnExpiry) -> Self {
        self.with(|shared| shared.on_expiry = on_expiry)
    }

    /// What handlers see of the header that a token came in. [`AuthorizationHeader::Sensitive`] unless set.
    #[must_use]
    pub fn authorization_header(self, header: AuthorizationHeader) -> Self {
        self.with(|shared| shared.header = header)
    }

    /// For connections with this `ConnectInfo` under their TLS; for TCP and Unix sockets unless set.
    #[must_use]
    pub fn over<C: Clone + Send + Sync + 'static>(self) -> Self {
        self.over_transport(Transport::over::<C>())
    }

    pub(super) fn over_transport(self, transport: Transport) -> Self {
        self.with(|shared| shared.transport = transport)
    }

    pub(super) fn denials(self, denials: Denials) -> Self {
        self.with(|shared| shared.denials = denials)
    }

    fn with(mut self, set: impl FnOnce(&mut Shared)) -> Self {
        set(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for AuthenticationLayer {
    type Service = AuthenticationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticationService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// The service of [`AuthenticationLayer`].
#[derive(Debug, Clone)]
pub struct AuthenticationService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<Body>> for AuthenticationService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AuthenticationFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.shared.look(request) {
            Looked::Decided(Admission::Admitted(request, expiry)) => {
                AuthenticationFuture::calling(self.inner.call(request), expiry)
            }
            Looked::Decided(Admission::Denied(answer)) => AuthenticationFuture::denied(answer),
            Looked::ToVerify(arrived, token) => {
                // A copy takes the call once the token is verified: whatever the one that is ready holds is not held for strangers.
                let inner = self.inner.clone();
                let shared = Arc::clone(&self.shared);
                AuthenticationFuture::verifying(Verifying { inner, shared, arrived }, token)
            }
        }
    }
}

/// What is to be done with a call.
enum Looked {
    Decided(Admission),
    /// Its token is seen for the first time.
    ToVerify(Arrived, Zeroizing<String>),
}

enum Admission {
    /// It may go on, until then.
    Admitted(Request<Body>, Option<Expiry>),
    Denied(Response<Body>),
}

/// A call by whoever has shown this certificate, or none.
struct Arrived {
    request: Request<Body>,
    certificate: Option<PeerIdentity>,
    exemption: Exemption,
}

impl Shared {
    fn look(&self, mut request: Request<Body>) -> Looked {
        // Behind gRPC-Web's translation, whatever version of HTTP the page came by.
        if let Err(no_call @ (NoCall::Method | NoCall::ContentType)) = Protocol::of(&request) {
            return Admission::Denied(no_call.refuse(&request, "POST", &self.denials)).into();
        }
        let exemption = Exemption::of(denials::path(&request), self.reflection);
        match exemption {
            Exemption::Anybody => {
                request.extensions_mut().remove::<Principal>();
                request.extensions_mut().insert(Passage::Exempt);
                return Admission::Admitted(request, None).into();
            }
            Exemption::Absent => {
                let status = Status::unimplemented("there is no such method");
                let reason = "reflection is off; Security's `reflection` turns it on";
                return Admission::Denied(self.denials.deny(&request, None, status, Why { reason, ..Why::default() }))
                    .into();
            }
            Exemption::Authenticated | Exemption::None => {}
        }
        let certificate = request.extensions().get::<PeerIdentity>().cloned();
        match self.transport.connection(request.extensions()) {
            Connection::Plaintext => {
                let reason =
                    "the call did not come by TLS, or not by a connection that the layer knows; `over` tells it which";
                return self.unauthenticated(&request, None, "calls are taken by TLS alone", reason).into();
            }
            // Taken for one without, its owner would get around all that is denied to it.
            Connection::Certified if certificate.is_none() => {
                let reason = "the peer showed a certificate that is not understood, or no PeerIdentityLayer for such connections is \
                              outside of the AuthenticationLayer";
                return self.unauthenticated(&request, None, "the certificate is not understood", reason).into();
            }
            Connection::Anonymous | Connection::Certified => {}
        }
        let arrived = Arrived { request, certificate, exemption };
        let Some(tokens) = &self.tokens else { return self.admit(arrived, None).into() };
        match bearer(arrived.request.headers()) {
            Ok(None) => self.admit(arrived, None).into(),
            Ok(Some(token)) => match tokens.cached(token, arrived.certificate.as_ref(), SystemTime::now()) {
                Some(claims) => self.admit(arrived, Some(claims)).into(),
                None => {
                    let token = Zeroizing::new(token.to_owned());
                    Looked::ToVerify(arrived, token)
                }
            },
            Err(reason) => {
                self.denials.token_refused(reason.failure());
                let by = Principal::new(arrived.certificate, None);
                let told = "the authorization header is not a bearer token's";
                self.unauthenticated(&arrived.request, by.as_ref(), told, &reason.to_string()).into()
            }
        }
    }

    /// What is to be done with a call whose token was verified.
    fn verified(&self, arrived: Arrived, claims: Result<Claims, TokenFailure>) -> Admission {
        match claims {
            Ok(claims) => self.admit(arrived, Some(claims)),
            Err(failure) => {
                let by = Principal::new(arrived.certificate, None);
                self.denials.token_refused(failure);
                let status = failure.to_status();
                let why = Why { reason: failure.as_str(), ..Why::default() };
                Admission::Denied(self.denials.deny(&arrived.request, by.as_ref(), status, why))
            }
        }
    }

    fn admit(&self, arrived: Arrived, claims: Option<Claims>) -> Admission {
        let Arrived { mut request, certificate, exemption } = arrived;
        let expires = claims.as_ref().map(Claims::expires).filter(|_| self.on_expiry == OnExpiry::EndCall);
        let has_token = claims.is_some();
        let principal = Principal::new(certificate, claims);
        let passage = match (exemption, principal) {
            (Exemption::Authenticated, Some(principal)) => Passage::Authenticated(principal),
            (Exemption::Authenticated, None) => return self.nobody(&request),
            (_, None) if self.anonymous == Anonymous::Refused => return self.nobody(&request),
            (_, principal) => Passage::ByPolicy(principal),
        };
        if has_token {
            self.header.apply(request.headers_mut());
        }
        let extensions = request.extensions_mut();
        match passage.principal() {
            Some(principal) => {
                if let Some(noted) = extensions.get::<Noted>() {
                    noted.made_by(principal);
                }
                extensions.insert(principal.clone());
            }
            None => drop(extensions.remove::<Principal>()),
        }
        extensions.insert(passage);
        let Some(expires) = expires else { return Admission::Admitted(request, None) };
        let expiry = Expiry::new(expires);
        Admission::Admitted(request.map(|body| request_until(body, &expiry)), Some(expiry))
    }

    fn nobody(&self, request: &Request<Body>) -> Admission {
        let told = if self.tokens.is_some() {
            self.denials.token_refused(TokenFailure::Missing);
            "a certificate or a token is required"
        } else {
            "a client certificate is required"
        };
        self.unauthenticated(request, None, told, "the caller has proven nothing")
    }

    fn unauthenticated(
        &self,
        request: &Request<Body>,
        by: Option<&Principal>,
        told: &'static str,
        reason: &str,
    ) -> Admission {
        let why = Why { reason, ..Why::default() };
        Admission::Denied(self.denials.deny(request, by, Status::unauthenticated(told), why))
    }
}

impl From<Admission> for Looked {
    fn from(admission: Admission) -> Self {
        Self::Decided(admission)
    }
}

impl AuthorizationHeader {
    fn apply(self, headers: &mut http::HeaderMap) {
        match self {
            Self::Sensitive => {
                if let Some(value) = headers.get_mut(AUTHORIZATION) {
                    value.set_sensitive(true);
                }
            }
            Self::Removed => drop(headers.remove(AUTHORIZATION)),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("tokens", &self.tokens.is_some())
            .field("anonymous", &self.anonymous)
            .field("reflection", &self.reflection)
            .field("on_expiry", &self.on_expiry)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
