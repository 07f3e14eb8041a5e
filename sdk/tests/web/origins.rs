//! Pages of other origins.

use evercert::auth::Web;
use http::{Method, Version};
use tonic::Code;

use super::stage::{APP, Ask, BOTH, CHECK, MESSAGE, REPLY, Stage};

/// All of them are another origin than [`APP`], or none at all.
const OTHERS: [&str; 16] = [
    "null",
    "",
    "*",
    "https://evil.example.net",
    "https://app.example.org.evil.example.net",
    "https://evilapp.example.org",
    "https://sub.app.example.org",
    "https://example.org",
    "http://app.example.org",
    "https://app.example.org:8443",
    "https://app.example.org:443",
    "https://APP.example.org",
    "https://app.example.org/",
    "https://app.example.org.",
    "https://app.example.org, https://evil.example.net",
    "https://app.example.org@evil.example.net",
];

#[tokio::test]
async fn nothing_of_another_origin_reaches_a_handler_however_it_is_sent() {
    let stage = Stage::with(Web::origins([APP]).allow_credentials()).await;
    for version in BOTH {
        for origin in OTHERS {
            let simple = Ask::new(Method::POST, CHECK).body(MESSAGE);
            for ask in [
                Ask::preflight("https://replaced.example.org").without("origin"),
                Ask::call(CHECK),
                Ask::call(CHECK).without("content-type").with("content-type", "application/grpc"),
                Ask::call(CHECK).without("content-type").with("content-type", "application/grpc-web-text"),
                simple.clone().with("content-type", "text/plain"),
                simple.clone(),
                Ask::new(Method::GET, CHECK),
            ] {
                let answer = stage.ask(version, ask.clone().with("origin", origin)).await;
                assert_eq!(answer.status, 403, "{version:?} {origin:?} {ask:?}");
                assert_eq!(answer.header("vary"), Some("origin"));
                let told = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
                assert!(!told && answer.body.is_empty(), "{answer:?}");
            }
        }
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_request_that_names_two_origins_is_of_none_that_is_allowed() {
    for web in [Web::origins([APP]), Web::any_origin()] {
        let stage = Stage::with(web).await;
        for version in BOTH {
            for second in ["https://evil.example.net", APP] {
                let answer = stage.ask(version, Ask::call(CHECK).with("origin", APP).with("origin", second)).await;
                assert_eq!(answer.status, 403);
            }
        }
        assert_eq!(stage.calls(), 0);
    }
}

#[tokio::test]
async fn a_page_that_may_call_reads_the_answer() {
    let stage = Stage::with(Web::origins([APP]).expose_headers(["x-request-id"])).await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::call(CHECK).with("origin", APP)).await;
        assert_eq!(answer.outcome(), (Code::Ok, String::new(), REPLY));
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("vary"), Some("origin"));
        let exposed = answer.names("access-control-expose-headers");
        for name in ["grpc-message", "grpc-status", "grpc-status-details-bin", "x-request-id"] {
            assert!(exposed.contains(&name), "{name}");
        }
    }
    assert_eq!(stage.calls(), 2);
}

#[tokio::test]
async fn a_client_that_is_no_browser_names_no_origin_and_is_told_of_none() {
    let stage = Stage::new().await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::call(CHECK)).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..7]), (200, REPLY));
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")));
    }
    assert_eq!(stage.calls(), 2);
}

#[tokio::test]
async fn several_origins_are_each_told_their_own() {
    let stage = Stage::with(Web::origins([APP, "http://localhost:8080"])).await;
    let mut client = stage.connect(Version::HTTP_2).await;
    for origin in ["http://localhost:8080", APP] {
        let answer = client.ask(Ask::call(CHECK).with("origin", origin)).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    }
}
