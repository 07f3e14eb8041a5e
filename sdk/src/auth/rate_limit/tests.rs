use std::convert::Infallible;
use std::num::NonZeroU32;

use tonic_types::StatusExt as _;
use tower::service_fn;

use super::*;

fn layer(calls: u32) -> RateLimitLayer {
    RateLimitLayer::new(RateLimit::per_principal(NonZeroU32::new(calls).unwrap(), Duration::from_secs(3600))).unwrap()
}

async fn call(layer: &RateLimitLayer, passage: Option<Passage>) -> Result<(), Status> {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().extend(
        passage
            .map(|passage| {
                let mut extensions = http::Extensions::new();
                extensions.insert(passage);
                extensions
            })
            .unwrap_or_default(),
    );
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let answer = layer.layer(handler).call(request).await.unwrap();
    Status::from_header_map(answer.headers()).map_or(Ok(()), Err)
}

#[tokio::test]
async fn a_call_above_the_limit_is_told_when_it_may_come_again() {
    let layer = layer(2);
    for _ in 0..2 {
        call(&layer, Some(Passage::ByPolicy(None))).await.unwrap();
    }
    let status = call(&layer, Some(Passage::ByPolicy(None))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::from_secs(1700) && wait <= Duration::from_secs(1800), "{wait:?}");
    let pushback: u64 = status.metadata().get(RETRY_PUSHBACK).unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(u128::from(pushback), wait.as_nanos().div_ceil(1_000_000));
}

#[tokio::test]
async fn health_checks_are_not_counted_and_what_was_not_authenticated_is_refused() {
    let layer = layer(1);
    for _ in 0..10 {
        call(&layer, Some(Passage::Exempt)).await.unwrap();
        assert_eq!(call(&layer, None).await.unwrap_err().code(), Code::Unauthenticated);
    }
    call(&layer, Some(Passage::ByPolicy(None))).await.unwrap();
}

#[test]
fn a_limit_of_more_than_a_call_a_nanosecond_is_none() {
    let limit = RateLimit::per_principal(NonZeroU32::MAX, Duration::from_millis(1));
    assert!(RateLimitLayer::new(limit).unwrap_err().to_string().contains("longer time"));
}

#[test]
fn a_limit_that_cannot_be_counted_is_none() {
    let once_in = |seconds| RateLimit::per_principal(NonZeroU32::MIN, Duration::from_secs(seconds));
    let year = 365 * 24 * 3600;
    RateLimitLayer::new(once_in(year).burst(NonZeroU32::new(100).unwrap())).unwrap();
    for limit in [
        once_in(600 * year),
        once_in(u64::MAX),
        once_in(year).burst(NonZeroU32::new(101).unwrap()),
        once_in(year).burst(NonZeroU32::MAX),
    ] {
        assert!(RateLimitLayer::new(limit).unwrap_err().to_string().contains("shorter time"));
    }
}
