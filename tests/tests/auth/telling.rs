//! What is counted and taken down of calls, and how often one caller may make them.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use evercert::auth::{AccessLog, AuditEvent, AuditLogger, RateLimit};
use evercert::telemetry::{Event, Recorder, TokenFailure};
use evercert_fixtures::wait;
use evercert_tests::guarded::{Method, POLICY, Stage, Token, with};
use evercert_tests::testing::Empty;
use evercert_tests::testing::test_service_client::TestServiceClient;
use parking_lot::Mutex;
use tonic::Code;
use tonic::body::Body;
use tonic_types::StatusExt as _;
use tower::{Layer as _, Service as _, service_fn};
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

#[derive(Default)]
struct Told {
    calls: Mutex<Vec<(String, Code)>>,
    denied: Mutex<Vec<(String, Code)>>,
    refused: Mutex<Vec<TokenFailure>>,
    dry_runs: Mutex<Vec<(String, bool)>>,
}

impl Recorder for Told {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Call { method, code, .. } => self.calls.lock().push(((*method).to_owned(), *code)),
            Event::Denied { method, code, .. } => self.denied.lock().push(((*method).to_owned(), *code)),
            Event::TokenRefused { failure, .. } => self.refused.lock().push(*failure),
            Event::DryRun { method, is_allowed, .. } => self.dry_runs.lock().push(((*method).to_owned(), *is_allowed)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn headers_that_hold_no_token_and_calls_without_one_are_counted_by_why() {
    let stage = Stage::new();
    let told = Arc::new(Told::default());
    let server = stage.serve(stage.security().recorder(told.clone()).build().unwrap()).await;
    let mut client = TestServiceClient::new(stage.channel(&server, false).await);
    for header in ["Basic YTpi", "Bearer a b"] {
        let mut request = tonic::Request::new(Empty {});
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        assert_eq!(client.empty_call(request).await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(client.empty_call(Empty {}).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(*told.refused.lock(), [TokenFailure::Malformed, TokenFailure::Malformed, TokenFailure::Missing]);
}

#[tokio::test]
async fn what_a_dry_run_would_have_decided_otherwise_is_counted() {
    let stage = Stage::new();
    stage.write(&stage.policy_file(), &format!("dry_run = true\n{POLICY}"));
    let told = Arc::new(Told::default());
    let server = stage.serve(stage.security().recorder(told.clone()).build().unwrap()).await;
    let channel = stage.channel(&server, false).await;
    assert_eq!(Method::Unary.call(&channel, stage.token(Token::WithoutRole).as_deref()).await, Code::Ok);
    assert_eq!(*told.dry_runs.lock(), [("/grpc.testing.TestService/UnaryCall".to_owned(), false)]);
}

/// The lines of the log about requests by such a one, each to a copy of the stack of its own, and what is counted.
async fn turned_away(request: http::request::Builder, line: &str) -> (usize, Vec<(String, Code)>) {
    let (log, _guard) = Log::of_this_thread();
    let told = Arc::new(Told::default());
    let security = Stage::new().security().recorder(told.clone()).build().unwrap();
    let request = request.body(()).unwrap();
    for _ in 0..100 {
        let handler = service_fn(async |_| Ok::<_, Infallible>(http::Response::new(Body::empty())));
        let Ok(_) = security.layer(handler).call(request.clone().map(|()| Body::empty())).await;
    }
    let lines = String::from_utf8(log.0.lock().clone()).unwrap().matches(line).count();
    (lines, told.denied.lock().clone())
}

#[tokio::test]
async fn what_is_no_call_is_counted_and_told_of_at_a_bounded_rate_however_many_connections_it_comes_by() {
    let other = || "other".to_owned();
    let (lines, denied) = turned_away(http::Request::get("https://localhost/a.B/C"), "a request is no call").await;
    assert!((20..25).contains(&lines), "{lines}");
    assert_eq!(denied, vec![(other(), Code::Unknown); 100]);
    let call = http::Request::post("https://localhost/a.B/C").version(http::Version::HTTP_2);
    let (lines, denied) = turned_away(call.header("content-type", "application/grpc"), "a call is denied").await;
    assert!((20..25).contains(&lines), "{lines}");
    assert_eq!(denied, vec![(other(), Code::Unauthenticated); 100]);
}

#[tokio::test]
async fn calls_denials_and_refused_tokens_are_counted_by_the_recorder_of_the_server() {
    let stage = Stage::new();
    let told = Arc::new(Told::default());
    let security = stage.security().build().unwrap();
    let server = stage.serve_with(|server| server.recorder(told.clone()).security(security)).await;
    let channel = stage.channel(&server, false).await;
    for token in [Token::Good, Token::WithoutRole, Token::Expired] {
        _ = Method::Bidirectional.call(&channel, stage.token(token).as_deref()).await;
    }
    let method = "/grpc.testing.TestService/FullDuplexCall".to_owned();
    // A call is over when the server has sent its end, and the client may see that first.
    wait::until_so("all are told of", || told.calls.lock().len() == 3).await;
    let calls = told.calls.lock().clone();
    let expected = [Code::Ok, Code::PermissionDenied, Code::Unauthenticated].map(|code| (method.clone(), code));
    assert_eq!(calls, expected);
    assert_eq!(*told.denied.lock(), expected[1..]);
    assert_eq!(*told.refused.lock(), [TokenFailure::Expired]);
}

/// What is written into the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Somebody who wants no events. While there is one subscriber alone, `tracing` asks the thread that comes by an event first whether anybody
/// wants it, and a thread of another test has none.
static NOBODY: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

impl Log {
    /// All that this thread writes, which is that of a whole test.
    fn of_this_thread() -> (Self, DefaultGuard) {
        LazyLock::force(&NOBODY);
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_who_called_what_and_how_it_ended_and_never_a_token() {
    let (log, _guard) = Log::of_this_thread();
    let stage = Stage::new();
    let every = AccessLog::one_in(NonZeroU32::MIN);
    let server = stage.serve(stage.security().access_log(every).build().unwrap()).await;
    let channel = stage.channel(&server, true).await;
    let mut tokens = Vec::new();
    for kind in Token::ALL {
        let bearer = stage.token(kind);
        for method in Method::ALL {
            _ = method.call(&channel, bearer.as_deref()).await;
        }
        tokens.extend(bearer.filter(|token| token.len() > 10));
    }
    let shown = || String::from_utf8(log.0.lock().clone()).unwrap();
    wait::until_so("the log is written", || shown().contains("evercert::access")).await;
    let shown = shown();
    for (token, part) in tokens.iter().flat_map(|token| token.split('.').map(move |part| (token, part))) {
        // The header is the same in all, and says nothing.
        let is_header = token.starts_with(part);
        assert!(is_header || !shown.contains(part), "{shown}");
    }
    for line in [
        r#"evercert::access: call method="/grpc.testing.TestService/UnaryCall" principal="https://issuer.example.org/alice" code="OK""#,
        r#"a call is denied method="/grpc.testing.TestService/UnaryCall" principal="https://issuer.example.org/alice" code="PERMISSION_DENIED""#,
        r#"principal="spiffe://example.org/ns/testing/sa/caller" code="UNAUTHENTICATED""#,
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
}

/// Method, principal, policy, and whether it was allowed.
type Entry = (String, String, String, bool);

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<Entry>>>);

impl AuditLogger for Book {
    fn log(&self, event: &AuditEvent<'_>) {
        let entry = (event.rpc_method.into(), event.principal.into(), event.policy_name.into(), event.authorized);
        self.0.lock().push(entry);
    }
}

#[tokio::test]
async fn decisions_are_taken_down_where_the_policy_wants_it() {
    let stage = Stage::new();
    stage.write(&stage.policy_file(), &format!("name = \"testing\"\naudit = \"on-deny\"\n{POLICY}"));
    let book = Book::default();
    let server = stage.serve(stage.security().audit(book.clone()).build().unwrap()).await;
    let channel = stage.channel(&server, false).await;
    for token in [Token::Good, Token::WithoutRole] {
        _ = Method::Unary.call(&channel, stage.token(token).as_deref()).await;
    }
    let entries = book.0.lock().clone();
    let principal = "https://issuer.example.org/alice".to_owned();
    assert_eq!(entries, [("/grpc.testing.TestService/UnaryCall".to_owned(), principal, "testing".to_owned(), false)]);
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back_and_nobody_else_is() {
    let stage = Stage::new();
    let limit = RateLimit::per_principal(NonZeroU32::new(3).unwrap(), Duration::from_secs(3600));
    let server = stage.serve(stage.security().rate_limit(limit).build().unwrap()).await;
    let token = stage.token(Token::Good);
    // By whichever connection it calls, with whichever certificate.
    let mut clients = Vec::new();
    for has_certificate in [true, false] {
        clients.push(TestServiceClient::new(stage.channel(&server, has_certificate).await));
    }
    for call in 0..3 {
        clients[call % 2].empty_call(with(Empty {}, token.as_deref())).await.unwrap();
    }
    for client in &mut clients {
        let status = client.empty_call(with(Empty {}, token.as_deref())).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::from_secs(60));
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    }
    clients[0].empty_call(with(Empty {}, None)).await.unwrap();
    assert_eq!(server.counted.reached(), 4);
}
