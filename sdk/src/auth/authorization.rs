//! The layer that asks the policy.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

use super::audit::{AuditEvent, AuditLogger, AuditLoggers};
use super::denials::{self, Denials, Why};
use super::handled::{Handled, boxed};
use super::passage::Passage;
use super::policy::{Authorizer, Decision, DryRun, Question};
use crate::telemetry::TokenFailure;

/// Asks a policy about each call, and lets none through to its handler that the policy does not allow: `UNAUTHENTICATED` where a certificate or a
/// token is missing that the caller could bring, `PERMISSION_DENIED` otherwise. What the policy says is in the log, and not in the answer.
///
/// It has to be inside of an [`AuthenticationLayer`](super::AuthenticationLayer), and refuses calls that did not pass one. Health checks are
/// not asked about.
#[derive(Debug, Clone)]
pub struct AuthorizationLayer {
    shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
struct Shared {
    policy: Authorizer,
    audit: AuditLoggers,
    denials: Denials,
    takes_tokens: bool,
}

impl AuthorizationLayer {
    /// By this policy.
    #[must_use]
    pub fn new(policy: Authorizer) -> Self {
        let shared =
            Shared { policy, audit: AuditLoggers::default(), denials: Denials::default(), takes_tokens: false };
        Self { shared: Arc::new(shared) }
    }

    /// One that takes down the decisions that the policy wants audited, beside those given before.
    #[must_use]
    pub fn audit(self, logger: Arc<dyn AuditLogger>) -> Self {
        self.with(|shared| shared.audit = shared.audit.and(logger))
    }

    pub(super) fn audited(self, audit: AuditLoggers) -> Self {
        self.with(|shared| shared.audit = audit)
    }

    pub(super) fn denials(self, denials: Denials) -> Self {
        self.with(|shared| shared.denials = denials)
    }

    /// Callers may bring tokens, so those that are missing are counted.
    pub(super) fn taking_tokens(self, takes_tokens: bool) -> Self {
        self.with(|shared| shared.takes_tokens = takes_tokens)
    }

    fn with(mut self, set: impl FnOnce(&mut Shared)) -> Self {
        set(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for AuthorizationLayer {
    type Service = AuthorizationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizationService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// The service of [`AuthorizationLayer`].
#[derive(Debug, Clone)]
pub struct AuthorizationService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, R, B> Service<Request<R>> for AuthorizationService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Handled<S::Future, B>, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        match self.shared.refusal(&request) {
            None => Either::Left(self.inner.call(request).map_ok(boxed)),
            Some(answer) => Either::Right(ready(Ok(answer))),
        }
    }
}

impl Shared {
    /// The answer to a call that is refused.
    fn refusal<R>(&self, request: &Request<R>) -> Option<Response<Body>> {
        let principal = match request.extensions().get::<Passage>() {
            Some(Passage::Exempt | Passage::Authenticated(_)) => return None,
            Some(Passage::ByPolicy(principal)) => principal.as_ref(),
            None => {
                let reason = "the authorization is not inside of an AuthenticationLayer";
                let status = Status::unauthenticated("the caller is not known");
                return Some(self.denials.deny(request, None, status, Why { reason, ..Why::default() }));
            }
        };
        let path = denials::path(request);
        // Authentication lets no other call come this far.
        let question = Question { path, headers: request.headers(), principal, is_tls: true };
        let decision = self.policy.decide(&question);
        self.take_down(&question, &decision);
        if let Some(dry_run) = decision.dry_run() {
            self.denials.would_be(path, principal, dry_run.is_allowed(), why_of(dry_run));
        }
        if decision.is_allowed() {
            return None;
        }
        let has_token = principal.is_some_and(|principal| principal.claims().is_some());
        if self.takes_tokens && !has_token && decision.code() == Code::Unauthenticated {
            self.denials.token_refused(TokenFailure::Missing);
        }
        let why = Why {
            reason: "the policy does not allow it",
            policy: decision.policy(),
            rule: decision.rule().unwrap_or(NO_RULE),
        };
        Some(self.denials.deny(request, principal, status(&decision), why))
    }

    fn take_down(&self, question: &Question<'_>, decision: &Decision) {
        if self.audit.is_empty() || !decision.is_audited() {
            return;
        }
        let principal = question.principal.map(|principal| principal.key().to_string());
        self.audit.log(&AuditEvent {
            rpc_method: question.path,
            principal: principal.as_deref().unwrap_or_default(),
            policy_name: decision.policy(),
            matched_rule: decision.rule().unwrap_or_default(),
            authorized: decision.is_allowed(),
        });
    }
}

/// What the log says where no rule fits.
const NO_RULE: &str = "none";

fn why_of(dry_run: &DryRun) -> Why<'_> {
    let reason = "a dry run would have decided otherwise";
    Why { reason, policy: dry_run.policy(), rule: dry_run.rule().unwrap_or(NO_RULE) }
}

/// What the caller is told: nothing of rules.
fn status(decision: &Decision) -> Status {
    match decision.code() {
        Code::Unauthenticated => Status::unauthenticated("a certificate or a token is required"),
        _ => Status::permission_denied("the caller may not call this"),
    }
}

#[cfg(test)]
mod tests;
