//! Pages before a whole security: tokens, a policy, and what a stream's end looks like.

use std::time::{Duration, SystemTime};

use evercert::auth::{InvalidSecurity, InvalidWeb, MethodPolicy, Security, SecurityBuilder, Tokens, Web};
use evercert_fixtures::{Files, PlainDirectory, TokenIssuer, claims};
use http::{Method, Version};
use tonic::Code;

use super::stage::{APP, Answer, Ask, BOTH, CHECK, MESSAGE, REPLY, Stage, WATCH};

const ISSUER: &str = "https://issuer.example.org";
const AUDIENCE: &str = "pages";

/// An issuer of tokens, whose keys are in a file.
struct Issuer {
    issuer: TokenIssuer,
    keys: PlainDirectory,
}

impl Issuer {
    fn new() -> Self {
        let issuer = TokenIssuer::es256("pages");
        let keys = PlainDirectory::new(&Files::new().with("jwks.json", issuer.jwks()));
        Self { issuer, keys }
    }

    fn security(&self) -> SecurityBuilder {
        let keys = self.keys.path().join("jwks.json");
        let tokens = Tokens::jwks_file(keys).issuer(ISSUER).audience(AUDIENCE).leeway(Duration::ZERO);
        Security::builder().tokens(tokens).policy(MethodPolicy::any_authenticated())
    }

    fn token(&self, lifetime: Duration) -> String {
        self.issuer.sign(&claims(ISSUER, AUDIENCE, "page", SystemTime::now(), lifetime))
    }
}

/// A call of the page that may, with this token.
fn page(path: &'static str, token: Option<&str>) -> Ask {
    let ask = Ask::call(path).without("authorization").with("origin", APP);
    match token {
        Some(token) => ask.with("authorization", &format!("Bearer {token}")),
        None => ask,
    }
}

fn assert_readable(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
}

#[tokio::test]
async fn a_page_with_a_token_calls_and_one_without_is_told_what_it_lacks() {
    let issuer = Issuer::new();
    let stage = Stage::secured(issuer.security().web(Web::origins([APP])).build().unwrap()).await;
    let good = issuer.token(Duration::from_secs(60));
    for version in BOTH {
        for path in [CHECK, WATCH] {
            let before = stage.calls();
            for bad in [None, Some("of-the-test"), Some(Issuer::new().token(Duration::from_secs(60)).as_str())] {
                let answer = stage.ask(version, page(path, bad)).await;
                assert_readable(&answer);
                assert_eq!((answer.outcome().0, answer.outcome().2), (Code::Unauthenticated, &[][..]));
            }
            assert_eq!(stage.calls(), before);
            let answer = stage.ask(version, page(path, Some(&good))).await;
            assert_readable(&answer);
            assert!(answer.outcome().2.starts_with(REPLY));
            assert_eq!(stage.calls(), before + 1);
        }
    }
}

#[tokio::test]
async fn a_page_that_a_policy_does_not_let_is_told_so() {
    let issuer = Issuer::new();
    let policy = MethodPolicy::builder().method(CHECK, ["a-role-of-nobody"]);
    let stage = Stage::secured(issuer.security().policy(policy).web(Web::origins([APP])).build().unwrap()).await;
    let token = issuer.token(Duration::from_secs(60));
    for version in BOTH {
        for path in [CHECK, WATCH, "/testing.v1.Pages/Other", "/testing.v1.Pages/Check/", "//testing.v1.Pages/Check"] {
            let answer = stage.ask(version, page(path, Some(&token))).await;
            assert_readable(&answer);
            assert_eq!(answer.outcome().0, Code::PermissionDenied, "{path}");
        }
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_token_and_for_methods_that_nobody_may_call() {
    let policy = MethodPolicy::builder().method("/elsewhere.v1.Other/Method", ["a-role-of-nobody"]);
    let issuer = Issuer::new();
    let stage = Stage::secured(issuer.security().policy(policy).web(Web::origins([APP])).build().unwrap()).await;
    for version in BOTH {
        let answer = stage.ask(version, Ask::preflight(APP)).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, Some(APP)));
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_its_page_reads_why() {
    let issuer = Issuer::new();
    let stage = Stage::secured(issuer.security().web(Web::origins([APP])).build().unwrap()).await;
    for version in BOTH {
        let token = issuer.token(Duration::from_secs(2));
        let answer = stage.ask(version, page(WATCH, Some(&token)).with("forever", "")).await;
        assert_readable(&answer);
        let (code, _, replies) = answer.outcome();
        assert_eq!((code, replies), (Code::Unauthenticated, &[REPLY, REPLY].concat()[..]));
    }
    assert_eq!(stage.calls(), 2);
}

#[tokio::test]
async fn http_1_1_is_spoken_only_where_pages_may_call() {
    let issuer = Issuer::new();
    let stage = Stage::secured(issuer.security().web(Web::origins([APP])).build().unwrap()).await;
    stage.try_connect(Version::HTTP_11).await.unwrap();
    let stage = Stage::secured(issuer.security().build().unwrap()).await;
    assert!(stage.try_connect(Version::HTTP_11).await.is_err());
    stage.try_connect(Version::HTTP_2).await.unwrap();
}

#[tokio::test]
async fn no_page_has_a_browser_call_with_its_users_certificate() {
    let security = || Security::builder().policy(MethodPolicy::any_authenticated());
    let of_pages = Web::origins([APP]).allow_credentials();
    for security in [security().build().unwrap(), security().web(of_pages).build().unwrap()] {
        let stage = Stage::secured(security).await;
        let mut user = stage.connect_as_user(Version::HTTP_2).await;
        for (method, content_type, status) in [
            (Method::POST, "text/plain", 415),
            (Method::POST, "application/x-www-form-urlencoded", 415),
            (Method::POST, "multipart/form-data; boundary=a", 415),
            (Method::GET, "application/grpc", 405),
            (Method::HEAD, "application/grpc", 405),
        ] {
            for path in [CHECK, WATCH] {
                let ask = Ask::new(method.clone(), path).with("content-type", content_type).body(MESSAGE);
                assert_eq!(user.ask(ask).await.status, status, "{method} {content_type}");
            }
        }
        assert_eq!(stage.calls(), 0);
        let grpc = Ask::call(WATCH).without("content-type").with("content-type", "application/grpc");
        assert!(user.ask(grpc).await.body.starts_with(REPLY));
        assert_eq!(stage.calls(), 1);
    }
}

#[tokio::test]
async fn grpc_web_is_no_call_where_no_page_may_call() {
    let issuer = Issuer::new();
    let stage = Stage::secured(issuer.security().build().unwrap()).await;
    let token = issuer.token(Duration::from_secs(60));
    for origin in [None, Some(APP)] {
        let ask = page(CHECK, Some(&token)).without("origin");
        let ask = origin.iter().fold(ask, |ask, origin| ask.with("origin", origin));
        assert_eq!(stage.ask(Version::HTTP_2, ask).await.status, 415);
        let preflight = Ask::preflight(APP);
        assert_eq!(stage.ask(Version::HTTP_2, preflight).await.header("access-control-allow-origin"), None);
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn a_security_for_pages_of_any_origin_with_credentials_cannot_be_made() {
    let web = Web::any_origin().allow_credentials();
    let made = Security::builder().policy(MethodPolicy::any_authenticated()).web(web).build();
    assert!(matches!(made, Err(InvalidSecurity::Web(InvalidWeb::CredentialsOfAnyOrigin))));
}
