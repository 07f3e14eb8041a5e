//! What becomes of calls that carry a token, or should.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evercert::auth::{AccessToken, AuthenticatedChannel, AuthenticatedError, BearerToken, BearerTokenError};
use evercert::telemetry::{Event, FileKind, Recorder};
use evercert::{Identity, OwnCertificate};
use evercert_fixtures::Authority;
use evercert_fixtures::wait::{soon, until};
use futures_util::FutureExt;
use http::{Request, Response};
use parking_lot::Mutex;
use tonic::Code;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::peer::{HOUR, Manner, Peer, Publisher, acceptor, jwt, leaf};
use crate::secrecy::{call, success};

type AnyError = Box<dyn Error + Send + Sync>;

async fn peers() -> (Authority, Peer, Identity) {
    let ca = Authority::new("ca");
    let good = Peer::good(&ca, |_| success()).await;
    let identity = Publisher::new(&[&ca], None).identity().await;
    (ca, good, identity)
}

/// A server that takes no token but this.
async fn taking(ca: &Authority, token: String) -> Peer {
    Peer::good(ca, move |request| {
        let is_taken = request.headers()["authorization"] == format!("Bearer {token}");
        if is_taken { success() } else { Response::builder().header("grpc-status", "16").body(()).unwrap() }
    })
    .await
}

#[tokio::test]
async fn a_token_in_a_file_is_sent_and_the_next_one_once_it_is_written() {
    let (_ca, good, identity) = peers().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let (first, second) = (jwt(HOUR), jwt(HOUR));
    fs::write(&path, &first).unwrap();
    let channel = good.endpoint().connect_lazy(&identity).credentials(BearerToken::file(&path).unwrap());
    call(channel.clone()).await.unwrap();
    fs::write(&path, &second).unwrap();
    until("the second token", async || {
        call(channel.clone()).await.unwrap();
        good.seen.authorizations().contains(&format!("Bearer {second}")).then_some(())
    })
    .await;
    assert_eq!(good.seen.authorizations()[0], format!("Bearer {first}"));
}

#[tokio::test]
async fn after_a_server_did_not_take_it_the_file_is_looked_at_before_its_time() {
    let ca = Authority::new("ca");
    let (first, second) = (jwt(HOUR), jwt(HOUR));
    let (good, identity) = (taking(&ca, second.clone()).await, Publisher::new(&[&ca], None).identity().await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, &first).unwrap();
    let channel = good.endpoint().connect_lazy(&identity).credentials(BearerToken::file(&path).unwrap());
    fs::write(&path, &second).unwrap();
    assert_eq!(call(channel.clone()).await.unwrap_err().code(), Code::Unauthenticated);
    until("the second token", async || call(channel.clone()).await.ok()).await;
}

#[tokio::test]
async fn after_a_server_did_not_take_it_another_is_fetched_though_it_has_not_expired() {
    let ca = Authority::new("ca");
    let (good, identity) = (taking(&ca, "t1".to_owned()).await, Publisher::new(&[&ca], None).identity().await);
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let token = BearerToken::from_fn(move || {
        let token = AccessToken::new(format!("t{}", counted.fetch_add(1, Ordering::Relaxed)));
        std::future::ready(Ok::<_, AnyError>(token.expires_in(HOUR)))
    });
    let channel = good.endpoint().connect_lazy(&identity).credentials(token);
    assert_eq!(call(channel.clone()).await.unwrap_err().code(), Code::Unauthenticated);
    until("another token", async || call(channel.clone()).await.ok()).await;
    assert_eq!(fetches.load(Ordering::Relaxed), 2, "not with every call");
}

#[tokio::test]
async fn calls_of_many_channels_share_one_fetch() {
    let (_ca, good, identity) = peers().await;
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let token = BearerToken::from_fn(move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            Ok::<_, AnyError>(AccessToken::new(format!("opaque-{number}")).expires_in(HOUR))
        }
    });
    let one = good.endpoint().connect_lazy(&identity).credentials(token.clone());
    let several = identity.channel_balanced(good.endpoint()).credentials(token);
    let calls = (0..20).map(|_| async { (call(one.clone()).await, call(several.clone()).await) });
    for (one, several) in futures_util::future::join_all(calls).await {
        one.unwrap();
        several.unwrap();
    }
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    assert_eq!(good.seen.authorizations(), vec!["Bearer opaque-0"; 40]);
}

#[tokio::test]
async fn a_call_that_waits_for_its_token_ends_with_its_deadline_and_the_server_is_told_what_is_left() {
    let (_ca, good, identity) = peers().await;
    let limit = Duration::from_millis(50);
    let never = || BearerToken::from_fn(std::future::pending::<Result<String, AnyError>>);
    let by_endpoint = good.endpoint().timeout(limit).connect_lazy(&identity).credentials(never());
    let balanced = identity.channel_balanced(good.endpoint().timeout(limit)).credentials(never());
    let by_call = good.endpoint().connect_lazy(&identity).credentials(never());
    assert_eq!(soon("the limit", call(by_endpoint)).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(soon("the limit", call(balanced)).await.unwrap_err().code(), Code::DeadlineExceeded);
    let request = || Request::builder().uri("/a.b/C").header("grpc-timeout", "50m").body(Body::empty()).unwrap();
    let error = soon("the limit", by_call.oneshot(request())).await.unwrap_err();
    assert!(error.status().message().contains("no token"), "{error}");
    assert_eq!((error.status().code(), good.seen.authorizations().len()), (Code::DeadlineExceeded, 0));

    let told = Arc::new(AtomicUsize::new(usize::MAX));
    let ca = Authority::new("ca");
    let seen = Arc::clone(&told);
    let good = Peer::good(&ca, move |request| {
        let timeout = request.headers()["grpc-timeout"].to_str().unwrap();
        seen.store(timeout.trim_end_matches(|unit: char| !unit.is_ascii_digit()).parse().unwrap(), Ordering::Relaxed);
        assert!(timeout.ends_with('u'), "{timeout}");
        success()
    })
    .await;
    let identity = Publisher::new(&[&ca], None).identity().await;
    let slow = BearerToken::from_fn(|| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, AnyError>(AccessToken::new("opaque".to_owned()).expires_in(HOUR))
    });
    let channel = good.endpoint().connect(&identity).await.unwrap().credentials(slow);
    let request = Request::builder().uri("/a.b/C").header("grpc-timeout", "30S").body(Body::empty()).unwrap();
    soon("the call", channel.oneshot(request)).await.unwrap();
    assert!(told.load(Ordering::Relaxed) <= 29_800_000, "{told:?} µs");
}

#[tokio::test]
async fn a_call_that_has_an_authorization_of_its_own_is_not_sent() {
    let (_ca, good, identity) = peers().await;
    let mut channel =
        good.endpoint().connect(&identity).await.unwrap().credentials(BearerToken::fixed(jwt(HOUR)).unwrap());
    let request =
        Request::builder().uri("/a.b/C").header("authorization", "Bearer s3cret").body(Body::empty()).unwrap();
    let error = channel.ready().await.unwrap().call(request).await.unwrap_err();
    assert!(matches!(error, AuthenticatedError::TwoCredentials { .. }) && !format!("{error:?}").contains("s3cret"));
    assert_eq!(error.status().code(), Code::InvalidArgument);
    call(channel).await.unwrap();
    assert_eq!(good.seen.authorizations().len(), 1);
}

#[tokio::test]
async fn calls_without_a_token_fail_as_a97_says_and_are_not_sent() {
    let (_ca, good, identity) = peers().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, jwt(Duration::ZERO)).unwrap();
    let expired = BearerToken::file(&path).unwrap();
    let fetched = |outcome: Result<&'static str, &'static str>| {
        BearerToken::from_fn(move || std::future::ready(outcome.map(str::to_owned)))
    };
    for (token, code) in [
        (expired.clone(), Code::Unauthenticated),
        (BearerToken::fixed(jwt(Duration::ZERO)).unwrap(), Code::Unauthenticated),
        (fetched(Ok("a\r\nx-role: admin")), Code::Unauthenticated),
        (fetched(Ok("opaque")), Code::Unauthenticated),
        (fetched(Err("the issuer is down")), Code::Unavailable),
        (
            BearerToken::from_fn(|| -> std::future::Ready<Result<String, AnyError>> { panic!("a defect") }),
            Code::Unavailable,
        ),
    ] {
        let status = call(good.endpoint().connect_lazy(&identity).credentials(token)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
    fs::remove_file(&path).unwrap();
    let status = call(good.endpoint().connect_lazy(&identity).credentials(expired)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(good.seen.authorizations().len(), 0);
}

#[tokio::test]
async fn a_token_goes_with_a_client_certificate_or_without_one() {
    let ca = Authority::new("ca");
    let issued = ca.issue_dns("client");
    let answer = Arc::new(|_: &Request<_>| success());
    let demanding = Peer::start(Manner::Tls(acceptor(&ca.issue(leaf()), b"h2", Some(&ca)), answer)).await;
    let open = Peer::good(&ca, |_| success()).await;
    let (with, without) = (Publisher::new(&[&ca], Some(&issued)), Publisher::new(&[&ca], None));
    let (with, without) = (with.identity().await, without.identity().await);
    let bearer = || BearerToken::fixed(jwt(HOUR)).unwrap();
    let limit = Duration::from_secs(2);
    let calls = async |peer: &Peer, identity: &Identity, certificate| {
        let endpoint = peer.endpoint().timeout(limit).client_certificate(certificate);
        call(endpoint.connect_lazy(identity).credentials(bearer())).await.is_ok()
    };
    assert!(calls(&demanding, &with, OwnCertificate::UnlessPublic).await);
    assert!(calls(&open, &with, OwnCertificate::Withheld).await);
    assert!(calls(&open, &without, OwnCertificate::UnlessPublic).await);
    assert!(!calls(&demanding, &with, OwnCertificate::Withheld).await);
    assert!(!calls(&demanding, &without, OwnCertificate::UnlessPublic).await);
    assert_eq!((demanding.seen.authorizations().len(), open.seen.authorizations().len()), (1, 2));
}

#[test]
fn a_channel_with_a_token_that_is_kept_in_a_static_serves_one_runtime_after_the_other() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_ca, good, identity) = serving.block_on(peers());
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let token = BearerToken::from_fn(move || {
        let token = AccessToken::new(format!("t{}", counted.fetch_add(1, Ordering::Relaxed)));
        std::future::ready(Ok::<_, AnyError>(token.expires_in(HOUR)))
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, jwt(HOUR)).unwrap();
    let file = runtime().block_on(async { BearerToken::file(&path).unwrap() });
    let fetched = good.endpoint().connect_lazy(&identity).credentials(token.clone());
    let followed = good.endpoint().connect_lazy(&identity).credentials(file);
    for number in 0..3 {
        // Each of the runtimes has to fetch one.
        token.refresh();
        runtime().block_on(async {
            call(fetched.clone()).await.unwrap();
            call(followed.clone()).await.unwrap();
        });
        assert_eq!(good.seen.authorizations().iter().filter(|sent| **sent == format!("Bearer t{number}")).count(), 1);
        let second = jwt(HOUR);
        fs::write(&path, &second).unwrap();
        runtime().block_on(until("the next one", async || {
            call(followed.clone()).await.unwrap();
            good.seen.authorizations().contains(&format!("Bearer {second}")).then_some(())
        }));
    }
    assert_eq!(fetches.load(Ordering::Relaxed), 3);
    token.refresh();
    let fetched = fetched.oneshot(Request::new(Body::empty()));
    let error = fetched.now_or_never().unwrap().unwrap_err();
    assert!(matches!(error, AuthenticatedError::NoToken { cause: BearerTokenError::NoRuntime, .. }), "{error}");
}

#[tokio::test]
async fn the_recorder_of_the_identity_is_told_of_each_fetch_whoever_calls_first() {
    struct Told(Mutex<Vec<bool>>);
    impl Recorder for Told {
        fn record(&self, event: &Event<'_>) {
            if let Event::Reloaded { file: FileKind::Token, is_used, .. } = event {
                self.0.lock().push(*is_used);
            }
        }
    }
    let (ca, told) = (Authority::new("ca"), Arc::new(Told(Mutex::default())));
    let good = Peer::good(&ca, |_| success()).await;
    let source = Publisher::new(&[&ca], None);
    let identity = Identity::from_source("client", source).recorder(Arc::clone(&told) as _).await.unwrap();
    let fetched = |outcome: Result<(), AnyError>| {
        let outcome = Mutex::new(Some(outcome));
        BearerToken::from_fn(move || {
            let outcome = outcome.lock().take().unwrap();
            std::future::ready(outcome.map(|()| AccessToken::new("opaque".to_owned()).expires_in(HOUR)))
        })
    };
    let channel = good.endpoint().connect_lazy(&identity).credentials(fetched(Ok(())));
    assert!(call(channel).await.is_ok());
    let balanced = identity.channel_balanced(good.endpoint()).credentials(fetched(Err("down".into())));
    assert!(call(balanced).await.is_err());
    assert_eq!(*told.0.lock(), [true, false]);
}

#[tokio::test]
async fn it_is_ready_when_its_channel_is() {
    let (_ca, good, identity) = peers().await;
    let ready = |channel: &mut AuthenticatedChannel| channel.ready().now_or_never().is_some();
    let mut channel = good.endpoint().connect_lazy(&identity).credentials(BearerToken::fixed(jwt(HOUR)).unwrap());
    assert!(!ready(&mut channel), "it has no connection yet");
    call(channel.clone()).await.unwrap();
    assert!(ready(&mut channel));
}

#[tokio::test]
async fn nothing_shows_the_token() {
    let (_ca, good, identity) = peers().await;
    let token = jwt(HOUR);
    let channel = good.endpoint().connect_lazy(&identity).credentials(BearerToken::fixed(token.clone()).unwrap());
    let shown = format!("{channel:?} {:?}", channel.token());
    let shows = token.split('.').any(|part| shown.contains(part));
    assert!(!shows, "{shown}");
    drop(good);
    let error = format!("{:?}", call(channel).await.unwrap_err());
    assert!(!token.split('.').any(|part| error.contains(part)), "{error}");
}
