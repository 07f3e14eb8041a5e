use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evercert_fixtures::{Authority, Leaf, TokenIssuer, claims};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use rustls_pki_types::CertificateDer;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tower::service_fn;

use super::*;
use crate::auth::tokens::Tokens;

/// Stands for what tonic tells of a connection under TLS, which nobody else can make.
impl AuthenticationLayer {
    fn by_connection(self, connection: Connection) -> Self {
        self.with(|shared| shared.transport = Transport::always(connection))
    }
}

fn request() -> Request<Body> {
    let request = Request::post("https://localhost/a.B/C").header(CONTENT_TYPE, "application/grpc");
    request.body(Body::empty()).unwrap()
}

fn peer() -> PeerIdentity {
    let issued = Authority::new("root").issue(Leaf::for_dns("a.example.org"));
    PeerIdentity::of_chain(&[CertificateDer::from(issued.leaf_der)]).unwrap()
}

/// A service that holds something from when it is ready until it is called or dropped.
struct Limited {
    held: Arc<AtomicU64>,
    holds: bool,
}

impl Limited {
    fn let_go(&mut self) {
        if std::mem::take(&mut self.holds) {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Clone for Limited {
    fn clone(&self) -> Self {
        Self { held: Arc::clone(&self.held), holds: false }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Service<Request<Body>> for Limited {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !std::mem::replace(&mut self.holds, true) {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(self.holds, "it is called once it is ready");
        self.let_go();
        std::future::ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test]
async fn a_token_that_is_being_verified_holds_nothing_of_the_service() {
    let issuer = TokenIssuer::es256("one");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, issuer.jwks()).unwrap();
    let tokens = Tokens::jwks_file(&path).issuer("https://issuer.example.org").audience("a").build().unwrap();
    let layer = AuthenticationLayer::by_token(tokens).by_connection(Connection::Anonymous);
    let held = Arc::new(AtomicU64::new(0));
    let mut service = layer.layer(Limited { held: Arc::clone(&held), holds: false });
    let claims = claims("https://issuer.example.org", "a", "alice", SystemTime::now(), Duration::from_secs(60));
    let mut request = request();
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", issuer.sign(&claims)).parse().unwrap());
    let Ok(()) = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
    let call = service.call(request);
    drop(service);
    assert_eq!(held.load(Ordering::Relaxed), 0);
    let Ok(answer) = call.await;
    assert!(Status::from_header_map(answer.headers()).is_none());
}

/// The status of a call, whether its handler was reached, and by whom it was told that it is called.
async fn call(layer: &AuthenticationLayer, peer: Option<PeerIdentity>) -> (Option<Code>, u64, bool) {
    let reached = AtomicU64::new(0);
    let knows = AtomicU64::new(0);
    let handler = service_fn(|request: Request<Body>| {
        reached.fetch_add(1, Ordering::Relaxed);
        knows.fetch_add(u64::from(request.extensions().get::<Principal>().is_some()), Ordering::Relaxed);
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let mut request = request();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let Ok(answer) = layer.layer(handler).call(request).await;
    let code = Status::from_header_map(answer.headers()).map(|status| status.code());
    (code, reached.load(Ordering::Relaxed), knows.load(Ordering::Relaxed) > 0)
}

#[tokio::test]
async fn alone_it_refuses_callers_that_have_proven_nothing_unless_it_is_to_pass_them_on() {
    let layer = AuthenticationLayer::by_certificate().by_connection(Connection::Certified);
    assert_eq!(call(&layer, Some(peer())).await, (None, 1, true));
    let layer = layer.by_connection(Connection::Anonymous);
    assert_eq!(call(&layer, None).await, (Some(Code::Unauthenticated), 0, false));
    let open = layer.anonymous(Anonymous::PassedOn);
    assert_eq!(call(&open, None).await, (None, 1, false));
}

#[tokio::test]
async fn a_call_that_did_not_come_by_tls_is_refused_whoever_makes_it() {
    let layer = AuthenticationLayer::by_certificate().anonymous(Anonymous::PassedOn);
    for layer in [layer.clone(), layer.over::<TcpConnectInfo>()] {
        for peer in [None, Some(peer())] {
            assert_eq!(call(&layer, peer).await, (Some(Code::Unauthenticated), 0, false));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_has_understood_is_not_taken_for_none() {
    let layer = AuthenticationLayer::by_certificate().anonymous(Anonymous::PassedOn);
    let layer = layer.by_connection(Connection::Certified);
    assert_eq!(call(&layer, None).await, (Some(Code::Unauthenticated), 0, false));
    assert_eq!(call(&layer, Some(peer())).await, (None, 1, true));
}

#[tokio::test]
async fn what_a_page_can_send_unasked_is_no_call_without_a_security_either() {
    let layer = AuthenticationLayer::by_certificate().by_connection(Connection::Certified);
    let answer = async |change: fn(&mut Request<Body>)| {
        let mut request = request();
        change(&mut request);
        request.extensions_mut().insert(peer());
        let handler = service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::empty())));
        let Ok(answer) = layer.layer(handler).call(request).await;
        answer.status()
    };
    assert_eq!(answer(|_| ()).await, StatusCode::OK);
    assert_eq!(answer(|request| *request.method_mut() = Method::GET).await, StatusCode::METHOD_NOT_ALLOWED);
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert_eq!(answer(|request| drop(request.headers_mut().remove(CONTENT_TYPE))).await, unsupported);
    let plain = |request: &mut Request<Body>| {
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    };
    assert_eq!(answer(plain).await, unsupported);
}
