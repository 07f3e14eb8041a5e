use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use evercert_fixtures::{Authority, Leaf};
use rustls_pki_types::CertificateDer;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tower::service_fn;

use super::*;

/// Stands for what tonic tells of a connection under TLS, which nobody else can make.
impl AuthenticationLayer {
    fn over_tls(self) -> Self {
        self.with(|shared| shared.transport = Transport::always())
    }
}

fn peer() -> PeerIdentity {
    let issued = Authority::new("root").issue(Leaf::for_dns("a.example.org"));
    PeerIdentity::of_chain(&[CertificateDer::from(issued.leaf_der)]).unwrap()
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
    let mut request = Request::builder().uri("https://localhost/a.B/C").body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let Ok(answer) = layer.layer(handler).call(request).await;
    let code = Status::from_header_map(answer.headers()).map(|status| status.code());
    (code, reached.load(Ordering::Relaxed), knows.load(Ordering::Relaxed) > 0)
}

#[tokio::test]
async fn alone_it_refuses_callers_that_have_proven_nothing_unless_it_is_to_pass_them_on() {
    let layer = AuthenticationLayer::by_certificate().over_tls();
    assert_eq!(call(&layer, Some(peer())).await, (None, 1, true));
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
