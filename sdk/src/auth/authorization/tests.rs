use std::convert::Infallible;

use tonic::Code;
use tower::service_fn;

use super::*;
use crate::auth::policy::{Caller, MethodPolicy, Rule};

/// The status of a call to a handler behind a policy that lets anybody call everything.
async fn call(passage: Option<Passage>) -> Option<Code> {
    let rule = Rule::named("all").methods(["/*"]).caller(Caller::anyone());
    let layer = AuthorizationLayer::new(MethodPolicy::builder().allow(rule).build().unwrap());
    let mut request = Request::builder().uri("https://localhost/a.B/C").body(Body::empty()).unwrap();
    if let Some(passage) = passage {
        request.extensions_mut().insert(passage);
    }
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let Ok(answer) = layer.layer(handler).call(request).await;
    Status::from_header_map(answer.headers()).map(|status| status.code())
}

#[tokio::test]
async fn a_call_that_was_not_authenticated_is_refused_whatever_the_policy_says() {
    assert_eq!(call(Some(Passage::ByPolicy(None))).await, None);
    assert_eq!(call(None).await, Some(Code::Unauthenticated));
}
