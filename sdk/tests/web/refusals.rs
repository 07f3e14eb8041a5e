//! What is neither gRPC nor gRPC-Web. A server of tonic's alone would run the method.

use http::{Method, Version};

use super::stage::{APP, Ask, BOTH, CHECK, MESSAGE, Stage};

#[tokio::test]
async fn what_a_page_may_send_without_asking_first_reaches_no_handler() {
    let stage = Stage::new().await;
    for version in BOTH {
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=a"),
            Some("application/json"),
            Some("application/octet-stream"),
            Some("application/grpc-web+json"),
            Some("application/grpc-web+proto; charset=utf-8"),
            Some("application/grpc-web-texts"),
            Some("application/grpcx"),
            Some("text/plain, application/grpc-web+proto"),
        ] {
            let mut ask = Ask::new(Method::POST, CHECK).with("authorization", "Bearer a").body(MESSAGE);
            if let Some(content_type) = content_type {
                ask = ask.with("content-type", content_type);
            }
            for ask in [ask.clone(), ask.with("origin", APP)] {
                let answer = stage.ask(version, ask).await;
                assert_eq!(answer.status, 415, "{version:?} {content_type:?}");
                assert!(answer.body.is_empty());
            }
        }
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn two_content_types_are_none() {
    let stage = Stage::new().await;
    for version in BOTH {
        let twice = Ask::call(CHECK).with("content-type", "text/plain");
        assert_eq!(stage.ask(version, twice).await.status, 415);
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_call_is_made_by_post_alone() {
    let stage = Stage::new().await;
    for version in BOTH {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE] {
            for content_type in ["application/grpc-web+proto", "application/grpc", "text/plain"] {
                let ask = Ask::new(method.clone(), CHECK).with("content-type", content_type).with("origin", APP);
                let answer = stage.ask(version, ask).await;
                assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST, OPTIONS")));
            }
        }
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn grpc_itself_is_http_2_alone() {
    let stage = Stage::new().await;
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;a=b"] {
        let ask = Ask::call(CHECK).without("content-type").with("content-type", content_type).with("te", "trailers");
        assert_eq!(stage.ask(Version::HTTP_11, ask).await.status, 505, "{content_type}");
    }
    assert_eq!(stage.calls(), 0);
}
