//! Preflights (Fetch Standard, "CORS-preflight request"): what a browser asks before a page's call.

use std::time::Duration;

use evercert::auth::Web;
use http::Method;

use super::stage::{APP, Ask, BOTH, Stage};

#[tokio::test]
async fn a_preflight_of_an_allowed_page_is_answered_without_credentials_and_reaches_no_handler() {
    let stage = Stage::new().await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::preflight(APP)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.names("access-control-allow-methods"), ["POST"]);
        let headers = answer.names("access-control-allow-headers");
        for name in ["authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"] {
            assert!(headers.contains(&name), "{name}");
        }
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert_eq!(answer.header("vary"), Some("origin"));
        for absent in ["access-control-allow-credentials", "access-control-allow-private-network"] {
            assert_eq!(answer.header(absent), None);
        }
        assert!(answer.body.is_empty());
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_preflight_says_what_was_allowed_beside() {
    let web = Web::origins(["https://first.example.org", APP])
        .allow_credentials()
        .allow_headers(["x-tenant"])
        .max_age(Duration::from_secs(5));
    let stage = Stage::with(web).await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::preflight(APP)).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-max-age"), Some("5"));
        assert!(answer.names("access-control-allow-headers").contains(&"x-tenant"));
    }
}

#[tokio::test]
async fn a_page_of_a_public_site_may_call_a_private_address_only_where_that_was_said() {
    let ask = || Ask::preflight(APP).with("access-control-request-private-network", "true");
    let (silent, told) = (Stage::new().await, Stage::with(Web::origins([APP]).allow_private_network()).await);
    for version in BOTH {
        assert_eq!(silent.ask(version, ask()).await.header("access-control-allow-private-network"), None);
        assert_eq!(told.ask(version, ask()).await.header("access-control-allow-private-network"), Some("true"));
    }
}

#[tokio::test]
async fn every_page_is_told_so_where_any_may_call_and_none_with_credentials() {
    let stage = Stage::with(Web::any_origin()).await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::preflight("https://elsewhere.example.org")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(!answer.names("access-control-allow-headers").contains(&"*"));
    }
}

#[tokio::test]
async fn what_asks_for_options_and_is_no_preflight_is_refused() {
    let stage = Stage::new().await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::new(Method::OPTIONS, "/")).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST, OPTIONS")));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_eq!(stage.calls(), 0);
}
