//! Keys that come from their issuer: when they are fetched, and what becomes of tokens meanwhile.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::OwnCertificate;
use evercert::auth::{TokenVerifier, Tokens};
use evercert::client::HttpsSettings;
use evercert::telemetry::{Event, FileKind, Recorder, TokenFailure};
use evercert::tls::ClientTls;
use evercert_fixtures::{Authority, TokenIssuer, wait};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::timeout;

use crate::issuer::{Answer, Site, identity};
use crate::service::{AUDIENCE, claims_with, now};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn after(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

/// A token of the site by this key, for two days.
fn token(site: &Site, key: &TokenIssuer) -> String {
    named(site, key, key.kid())
}

/// The same, which gives the key another name.
fn named(site: &Site, key: &TokenIssuer, kid: &str) -> String {
    let claims = evercert_fixtures::claims(&site.url, AUDIENCE, "alice", now(), 2 * DAY);
    key.sign_with_header(&json!({"alg": key.algorithm(), "kid": kid}), &claims)
}

async fn verify(verifier: &TokenVerifier, token: &str, now: SystemTime) -> Result<(), TokenFailure> {
    let verified = timeout(wait::DEADLINE, verifier.verify(token, None, now)).await;
    verified.expect("a call waits for one fetch at most").map(drop)
}

#[tokio::test]
async fn an_issuers_keys_are_found_by_its_url_over_each_version_of_http() {
    let key = TokenIssuer::es256("one");
    let offers: [&[&[u8]]; 3] = [&[b"h2"], &[b"http/1.1"], &[]];
    for alpn in offers {
        let site = Site::speaking(alpn, &key);
        let verifier = site.verifier().await;
        verify(&verifier, &token(&site, &key), now()).await.unwrap();
        assert_eq!((site.asked(), site.fetched()), (1, 1));
    }
}

#[tokio::test]
async fn tokens_of_another_issuer_are_refused_though_its_key_is_known() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let other = key.sign(&claims_with(|claims| claims["iss"] = format!("{}/", site.url).into()));
    assert_eq!(verify(&site.verifier().await, &other, now()).await, Err(TokenFailure::WrongIssuer));
}

#[tokio::test]
async fn ten_thousand_unknown_keys_make_one_fetch_in_thirty_seconds() {
    let key = TokenIssuer::eddsa("one");
    let site = Site::new(&key);
    let verifier = site.verifier().await;
    let good = token(&site, &key);
    verifier.ready(now()).await.unwrap();
    let unknown: Vec<_> = (0..10_000).map(|index| named(&site, &key, &format!("made-up-{index}"))).collect();
    // All at once, and over 29 seconds.
    let at_once = unknown.iter().map(|token| verify(&verifier, token, now()));
    assert!(join_all(at_once).await.iter().all(|verdict| *verdict == Err(TokenFailure::UnknownKey)));
    for (index, token) in unknown.iter().enumerate() {
        let now = now() + Duration::from_millis(2 * index as u64);
        assert_eq!(verify(&verifier, token, now).await, Err(TokenFailure::UnknownKey));
    }
    assert_eq!(site.fetched(), 1);
    // Over an hour, in which keys are fetched again every 5 minutes as well.
    for (index, token) in unknown.iter().enumerate() {
        let now = after(30) + Duration::from_millis(360 * index as u64);
        assert_eq!(verify(&verifier, token, now).await, Err(TokenFailure::UnknownKey));
    }
    assert!(site.fetched() <= 1 + 3600 / 30, "{}", site.fetched());
    verify(&verifier, &good, after(3630)).await.unwrap();
}

#[tokio::test]
async fn a_thousand_first_calls_wait_for_one_fetch() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let (verifier, token) = (site.verifier().await, token(&site, &key));
    assert!(verifier.cached(&token, None, now()).is_none());
    let verdicts = join_all((0..1000).map(|_| verify(&verifier, &token, now()))).await;
    assert!(verdicts.iter().all(Result::is_ok));
    assert_eq!((site.asked(), site.fetched()), (1, 1));
    assert!(verifier.cached(&token, None, now()).is_some());
}

#[tokio::test]
async fn a_token_that_expires_while_its_keys_are_fetched_is_refused() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let lifetime = Duration::from_secs(1);
    site.answer(Answer::Late(key.jwks(), lifetime + Duration::from_millis(100)));
    let verifier = site.tokens().await.leeway(Duration::ZERO).build().unwrap();
    let token = key.sign(&evercert_fixtures::claims(&site.url, AUDIENCE, "alice", now(), lifetime));
    assert_eq!(verify(&verifier, &token, now()).await, Err(TokenFailure::Expired));
    assert_eq!(site.fetched(), 1);
}

#[tokio::test]
async fn a_key_that_is_new_at_the_issuer_is_taken_up_by_its_first_token() {
    let (old, new) = (TokenIssuer::es256("old"), TokenIssuer::rs256("new"));
    let site = Site::new(&old);
    let (verifier, by_old, by_new) = (site.verifier().await, token(&site, &old), token(&site, &new));
    verify(&verifier, &by_old, now()).await.unwrap();
    site.set_keys([&old, &new]);
    assert_eq!(verify(&verifier, &by_new, after(29)).await, Err(TokenFailure::UnknownKey));
    verify(&verifier, &by_new, after(30)).await.unwrap();
    verify(&verifier, &by_old, after(30)).await.unwrap();
    assert_eq!(site.fetched(), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_takes_its_tokens_with_it_after_the_interval() {
    let (old, new) = (TokenIssuer::es256("old"), TokenIssuer::es256("new"));
    let site = Site::new(&old);
    let (verifier, by_old) = (site.verifier().await, token(&site, &old));
    verify(&verifier, &by_old, now()).await.unwrap();
    site.set_keys([&new]);
    // Nobody waits for the fetch: this call has its answer by the keys before.
    assert!(verifier.cached(&by_old, None, after(299)).is_some());
    assert_eq!(site.fetched(), 1);
    assert!(verifier.cached(&by_old, None, after(300)).is_some());
    wait::until_so("the key is gone", || verifier.cached(&by_old, None, after(300)).is_none()).await;
    assert_eq!(verify(&verifier, &by_old, after(300)).await, Err(TokenFailure::UnknownKey));
    verify(&verifier, &token(&site, &new), after(300)).await.unwrap();
    assert_eq!(site.fetched(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_leaves_its_keys_for_their_lifetime_and_no_longer() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let (verifier, token) = (site.verifier().await, token(&site, &key));
    verify(&verifier, &token, now()).await.unwrap();
    site.describe(Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    for hour in 1..24 {
        verify(&verifier, &token, after(hour * 3600)).await.unwrap();
    }
    let end = after(24 * 3600);
    verify(&verifier, &token, end - Duration::from_secs(1)).await.unwrap();
    assert!(verifier.cached(&token, None, end).is_none());
    assert_eq!(verify(&verifier, &token, end).await, Err(TokenFailure::KeysUnavailable));
    assert_eq!(site.fetched(), 1);
    site.describe_with(|_| {});
    verify(&verifier, &token, end + Duration::from_secs(60)).await.unwrap();
    assert!(verifier.cached(&token, None, end + Duration::from_secs(60)).is_some());
}

#[tokio::test]
async fn an_issuer_that_comes_up_late_is_asked_again_after_five_seconds() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    site.answer(Answer::Status(StatusCode::NOT_FOUND));
    let (verifier, token) = (site.verifier().await, token(&site, &key));
    assert_eq!(verifier.ready(now()).await, Err(TokenFailure::KeysUnavailable));
    site.set_keys([&key]);
    assert_eq!(verify(&verifier, &token, after(4)).await, Err(TokenFailure::KeysUnavailable));
    assert_eq!(site.fetched(), 1);
    verify(&verifier, &token, after(5)).await.unwrap();
}

#[tokio::test]
async fn what_is_fetched_and_cannot_be_used_leaves_the_keys_before() {
    let (key, other) = (TokenIssuer::es256("one"), TokenIssuer::es256("other"));
    let site = Site::new(&key);
    let (verifier, good, unknown) = (site.verifier().await, token(&site, &key), token(&site, &other));
    verify(&verifier, &good, now()).await.unwrap();
    let twice = TokenIssuer::jwks_of([&other, &TokenIssuer::rs256("other")]);
    let huge = format!("{{\"x\":\"{}\",{}", "x".repeat(1024 * 1024), &other.jwks()[1..]);
    for (minute, answer) in [
        Answer::Text("no JSON".to_owned()),
        Answer::Text(json!({"keys": []}).to_string()),
        Answer::Text(twice),
        Answer::Text(huge),
        Answer::Redirect("/elsewhere"),
        Answer::Status(StatusCode::NO_CONTENT),
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
    ]
    .into_iter()
    .enumerate()
    {
        site.answer(answer);
        let now = after(60 * (minute as u64 + 1));
        assert_eq!(verify(&verifier, &unknown, now).await, Err(TokenFailure::UnknownKey), "{minute}");
        assert_eq!(site.fetched(), minute + 2);
        verify(&verifier, &good, now).await.unwrap();
    }
    assert_eq!(site.elsewhere(), 0);
}

#[tokio::test]
async fn what_an_issuer_says_of_itself_has_to_be_what_it_is_asked_for() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let refused = async |what: &str| {
        let verifier = site.verifier().await;
        let verdict = verify(&verifier, &token(&site, &key), now()).await;
        assert_eq!(verdict, Err(TokenFailure::KeysUnavailable), "{what}");
        assert_eq!((site.fetched(), site.elsewhere()), (0, 0), "{what}");
    };
    site.describe_with(|document| document["issuer"] = "https://other.example.org".into());
    refused("another name").await;
    site.describe_with(|document| document["issuer"] = format!("{}/", site.url).into());
    refused("a name with a slash").await;
    site.describe_with(|document| _ = document.as_object_mut().unwrap().remove("issuer"));
    refused("no name").await;
    site.describe_with(|document| document["jwks_uri"] = site.url.replace("https", "http").into());
    refused("keys over plaintext").await;
    site.describe_with(|document| document["jwks_uri"] = site.url.replace("//", "//user@").into());
    refused("keys by a user's name").await;
    site.describe_with(|document| document["jwks_uri"] = "/keys".into());
    refused("keys without a host").await;
    site.describe_with(|document| document["jwks_uri"] = "file:///etc/passwd".into());
    refused("keys in a file").await;
    site.describe_with(|document| document["x"] = "x".repeat(64 * 1024).into());
    refused("a document that is too large").await;
    let twice = format!("{{\"issuer\":\"{0}\",\"issuer\":\"{0}\",\"jwks_uri\":\"{0}/keys\"}}", site.url);
    site.describe(Answer::Text(twice));
    refused("a name twice").await;
    site.describe(Answer::Redirect("/elsewhere"));
    refused("a redirect").await;
}

#[tokio::test]
async fn an_issuer_whose_certificate_is_not_trusted_is_not_asked() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let stranger = identity(&Authority::new("other")).await;
    let verifier = Tokens::discover(&site.url, &stranger).audience(AUDIENCE).build().unwrap();
    assert_eq!(verify(&verifier, &token(&site, &key), now()).await, Err(TokenFailure::KeysUnavailable));
    assert_eq!((site.asked(), site.fetched()), (0, 0));
}

#[tokio::test]
async fn keys_at_another_host_are_fetched_without_the_identitys_certificate_unless_that_is_set() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    site.verifier().await.ready(now()).await.unwrap();
    assert_eq!((site.shown(), site.fetched()), (2, 1), "the issuer is shown it, whatever it is asked for");
    let keys = site.beside(&key);
    site.describe_with(|document| document["jwks_uri"] = format!("{}/keys", keys.url).into());
    site.verifier().await.ready(now()).await.unwrap();
    assert_eq!((site.shown(), keys.shown(), keys.fetched()), (3, 0, 1));
    let presenting = HttpsSettings::default().tls(ClientTls::default().certificate(OwnCertificate::Presented));
    site.tokens().await.https(presenting).build().unwrap().ready(now()).await.unwrap();
    assert_eq!((site.shown(), keys.shown(), keys.fetched()), (4, 1, 2));
    let withholding = HttpsSettings::default().tls(ClientTls::default().certificate(OwnCertificate::Withheld));
    site.tokens().await.https(withholding).build().unwrap().ready(now()).await.unwrap();
    assert_eq!((site.shown(), keys.shown(), keys.fetched()), (4, 1, 3));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    site.answer(Answer::Silence);
    let verifier = site.verifier().await;
    assert_eq!(verify(&verifier, &token(&site, &key), now()).await, Err(TokenFailure::KeysUnavailable));
    assert_eq!(site.fetched(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_take_the_fetch_along() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let (verifier, token) = (site.verifier().await, token(&site, &key));
    assert!(verifier.verify(&token, None, now()).now_or_never().is_none());
    verify(&verifier, &token, now()).await.unwrap();
    assert_eq!(site.fetched(), 1);
}

#[test]
fn a_runtime_that_ends_does_not_take_the_fetch_along() {
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let token = token(&site, &key);
    let verifier = runtime().block_on(async {
        let verifier = site.verifier().await;
        assert!(verifier.verify(&token, None, now()).now_or_never().is_none());
        verifier
    });
    runtime().block_on(verify(&verifier, &token, now())).unwrap();
    assert_eq!(site.fetched(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_keys_from_being_fetched() {
    let (old, new) = (TokenIssuer::es256("old"), TokenIssuer::es256("new"));
    let site = Site::new(&old);
    let verifier = site.verifier().await;
    verifier.ready(after(3600)).await.unwrap();
    site.set_keys([&new]);
    // A little is what callers differ by.
    let by_new = token(&site, &new);
    assert_eq!(verify(&verifier, &by_new, after(3599)).await, Err(TokenFailure::UnknownKey));
    verify(&verifier, &by_new, now()).await.unwrap();
}

#[tokio::test]
async fn what_is_fetched_is_told_of() {
    struct Told(Mutex<Vec<bool>>);
    impl Recorder for Told {
        fn record(&self, event: &Event<'_>) {
            if let Event::Reloaded { file: FileKind::Keys, is_used, .. } = event {
                self.0.lock().push(*is_used);
            }
        }
    }
    let key = TokenIssuer::es256("one");
    let site = Site::new(&key);
    let (verifier, told) = (site.verifier().await, Arc::new(Told(Mutex::default())));
    verifier.record_to(told.clone());
    verifier.ready(now()).await.unwrap();
    site.answer(Answer::Status(StatusCode::NOT_FOUND));
    let unknown = named(&site, &key, "other");
    assert_eq!(verify(&verifier, &unknown, after(30)).await, Err(TokenFailure::UnknownKey));
    assert_eq!(*told.0.lock(), [true, false]);
}

#[tokio::test]
async fn settings_by_which_keys_could_not_be_fetched_or_used_are_errors() {
    let site = Site::new(&TokenIssuer::es256("one"));
    let identity = site.identity().await;
    let of = |issuer: &str| Tokens::discover(issuer, &identity).audience(AUDIENCE);
    let seconds = Duration::from_secs;
    for (tokens, word) in [
        (of("http://issuer.example.org"), "no URL of https"),
        (of("issuer.example.org"), "no URL of https"),
        (of("https://user@issuer.example.org"), "no URL of https"),
        (of("https://issuer.example.org?a=b"), "no URL of https"),
        (of("https://issuer.example.org#a"), "no URL of https"),
        (of("https://"), "no URL of https"),
        (of(""), "empty"),
        (of(&site.url).issuer("https://other.example.org"), "is set to \"https://other.example.org\""),
        (of(&site.url).refresh_interval(seconds(29)), "every 29 s"),
        (of(&site.url).keys_lifetime(seconds(300)), "used for 300 s"),
        (Tokens::jwks_file("/nowhere").issuer("a").audience("b").keys_lifetime(DAY), "keys that are fetched"),
    ] {
        let error = tokens.build().unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
