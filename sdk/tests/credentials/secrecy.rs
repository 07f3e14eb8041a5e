//! Nobody but a server that was verified gets a byte of a token. Whatever an evil peer gets is searched for it, in the clear, in base64 and in
//! HPACK's code; and to see that it would be found, a good one is looked at in the same way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::ServerVerification;
use evercert::auth::BearerToken;
use evercert::client::Endpoint;
use evercert::tls::Resumption;
use evercert_fixtures::wait::{until, until_so};
use evercert_fixtures::{Authority, Leaf};
use http::Response;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::forms::{Forms, NEVER_INDEXED};
use crate::peer::{HOUR, Manner, Peer, Publisher, SERVER, SERVER_ID, acceptor, jwt, leaf};

/// The time that a call has which must not come to anything.
const LIMIT: Duration = Duration::from_millis(700);

/// The first frame of a server's HTTP/2: empty SETTINGS, and the word that ours are known.
const SETTINGS: [u8; 18] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];

/// A call, as generated clients make it.
pub(crate) async fn call<S>(channel: S) -> Result<(), Status>
where
    S: Service<http::Request<Body>, Response = Response<Body>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(drop)
}

pub(crate) fn success() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Has calls made to this endpoint, by either kind of channel, one after the other and all at once, and looks at all that peers have seen of
/// their token: nothing.
async fn assert_secret(ca: &Authority, endpoint: Endpoint, evil: &Peer, least: usize) {
    let token = jwt(HOUR);
    let forms = Forms::of(&token).await;
    let identity = Publisher::new(&[ca], None).identity().await;
    let endpoint = endpoint.timeout(LIMIT);
    let bearer = || BearerToken::fixed(token.clone()).unwrap();
    let one = endpoint.clone().wait_for_ready(true).connect_lazy(&identity).credentials(bearer());
    let several = identity.channel_balanced(vec![endpoint.clone(), endpoint.clone()]).credentials(bearer());
    let at_once = endpoint.connect_lazy(&identity).credentials(bearer());
    let calls = async {
        for _ in 0..3 {
            assert!(call(at_once.clone()).await.is_err());
        }
    };
    let (one, several, ()) = tokio::join!(call(one.clone()), call(several.clone()), calls);
    for outcome in [one, several] {
        let code = outcome.unwrap_err().code();
        assert!(matches!(code, Code::Unavailable | Code::DeadlineExceeded), "{code:?}");
    }
    assert!(evil.seen.connections() >= least, "{} connections", evil.seen.connections());
    evil.seen.until_ended(least).await;
    let all = evil.seen.all();
    assert!(!all.is_empty() && forms.found_in(&all) == 0);
    assert!(evil.seen.authorizations().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_verified_gets_it_and_whoever_sees_the_wire_does_not() {
    let ca = Authority::new("ca");
    let good = Peer::good(&ca, |_| success()).await;
    let token = jwt(HOUR);
    let forms = Forms::of(&token).await;
    let identity = Publisher::new(&[&ca], None).identity().await;
    let channel = good.endpoint().connect_lazy(&identity).credentials(BearerToken::fixed(token.clone()).unwrap());
    for _ in 0..2 {
        call(channel.clone()).await.unwrap();
    }
    assert_eq!(good.seen.authorizations(), vec![format!("Bearer {token}"); 2]);
    let clear = good.seen.clear();
    assert!(forms.found_in(&clear) > 10, "the search finds nothing");
    assert_eq!(clear.windows(2).filter(|bytes| *bytes == NEVER_INDEXED).count(), 2, "in no table of HPACK's");
    assert_eq!(forms.found_in(&good.seen.raw()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_tls_gets_nothing_whatever_it_says() {
    let ca = Authority::new("ca");
    let alert = [21, 3, 3, 0, 2, 1, 0];
    let http_1 = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    for greeting in [&[][..], &SETTINGS, http_1, b"HTTP/1.1 200 OK\r\n\r\n", &alert, &[22, 3, 3, 0, 4, 14, 0, 0, 0]] {
        let evil = Peer::start(Manner::Plaintext(greeting.to_vec())).await;
        assert_secret(&ca, evil.endpoint(), &evil, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_certificate_is_not_accepted_gets_nothing() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let past = SystemTime::now() - HOUR;
    let expired = leaf().valid(past - HOUR, past);
    let namesake = Authority::new("ca");
    for issued in [
        ca.issue(Leaf::for_dns("evil.example.org")),
        other.issue(leaf()),
        namesake.issue(leaf()),
        ca.issue(expired),
        ca.issue(leaf().extended_key_usages(&[evercert_fixtures::ExtendedKeyUsagePurpose::ClientAuth])),
    ] {
        let manner = Manner::Tls(acceptor(&issued, b"h2", None), Arc::new(|_| success()));
        let evil = Peer::start(manner).await;
        assert_secret(&ca, evil.endpoint(), &evil, 3).await;
        assert!(evil.seen.clear().is_empty());
    }
    let evil = Peer::good(&ca, |_| success()).await;
    let id = ServerVerification::SpiffeIds(vec![format!("{SERVER_ID}-2").parse().unwrap()]);
    assert_secret(&ca, evil.endpoint().server_verification(id), &evil, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_agrees_to_another_protocol_or_to_none_or_turns_the_client_away_gets_nothing() {
    let ca = Authority::new("ca");
    let issued = ca.issue(leaf());
    for acceptor in
        [acceptor(&issued, b"", None), acceptor(&issued, b"http/1.1", None), acceptor(&issued, b"h2", Some(&ca))]
    {
        let evil = Peer::start(Manner::Tls(acceptor, Arc::new(|_| success()))).await;
        assert_secret(&ca, evil.endpoint(), &evil, 3).await;
    }
    // With TLS 1.3 the client is connected before the server has said that it takes the connection.
    let silent = Peer::start(Manner::Silent(acceptor(&issued, b"h2", None))).await;
    assert_secret(&ca, silent.endpoint(), &silent, 3).await;
    assert!(!silent.seen.clear().is_empty(), "its preface");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let ca = Authority::new("ca");
    let token = jwt(HOUR);
    let identity = Publisher::new(&[&ca], None).identity().await;
    for status in [301, 302, 303, 307, 308, 200] {
        let plain = Peer::start(Manner::Plaintext(SETTINGS.to_vec())).await;
        let other = Peer::good(&ca, |_| success()).await;
        for to in [format!("http://{}/", plain.address), format!("https://{}/", other.address)] {
            let alternative = format!("h2=\"{}\"; ma=86400", other.address);
            let good = Peer::good(&ca, move |_| {
                let answer = Response::builder().status(status).header("location", &to);
                answer.header("alt-svc", &alternative).header("content-type", "application/grpc").body(()).unwrap()
            });
            let good = good.await;
            let bearer = BearerToken::fixed(token.clone()).unwrap();
            let channel = good.endpoint().timeout(LIMIT).connect_lazy(&identity).credentials(bearer);
            for calls in 1..=2 {
                assert_eq!(call(channel.clone()).await.is_ok(), status == 200);
                assert_eq!(good.seen.authorizations().len(), calls);
            }
        }
        assert_eq!((plain.seen.connections(), other.seen.connections()), (0, 0), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_the_place_of_a_server_that_died_gets_nothing() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let evils = [
        Manner::Plaintext(SETTINGS.to_vec()),
        Manner::Tls(acceptor(&other.issue(leaf()), b"h2", None), Arc::new(|_| success())),
    ];
    for evil in evils {
        let token = jwt(HOUR);
        let forms = Forms::of(&token).await;
        let identity = Publisher::new(&[&ca], None).identity().await;
        let good = Peer::good(&ca, |_| success()).await;
        let bearer = BearerToken::fixed(token).unwrap();
        let channel = good.endpoint().timeout(LIMIT).connect_lazy(&identity).credentials(bearer);
        call(channel.clone()).await.unwrap();
        let address = good.address;
        // Calls go on while the server dies.
        let calls = tokio::spawn({
            let channel = channel.clone();
            async move { while call(channel.clone()).await.is_ok() {} }
        });
        good.cut();
        drop(good);
        let evil = Peer::start_at(evil, address).await;
        calls.await.unwrap();
        for _ in 0..5 {
            assert!(call(channel.clone()).await.is_err());
        }
        until_so("it connects", || evil.seen.connections() > 0).await;
        evil.seen.until_ended(1).await;
        assert_eq!(forms.found_in(&evil.seen.all()), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_trusted_no_more_gets_none_from_then_on() {
    let (ca, next) = (Authority::new("ca"), Authority::new("next"));
    let publisher = Publisher::new(&[&ca], None);
    let identity = publisher.identity().await;
    let good = Peer::good(&ca, |_| success()).await;
    let bearer = BearerToken::fixed(jwt(HOUR)).unwrap();
    let channel = good.endpoint().timeout(LIMIT).connect_lazy(&identity).credentials(bearer);
    call(channel.clone()).await.unwrap();
    publisher.publish(&[&next], None);
    until("a call fails", async || call(channel.clone()).await.err()).await;
    let sent = good.seen.authorizations().len();
    for _ in 0..10 {
        assert!(call(channel.clone()).await.is_err());
    }
    assert_eq!(good.seen.authorizations().len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_in_no_early_data_which_could_be_replayed() {
    let ca = Authority::new("ca");
    let identity = Publisher::new(&[&ca], None).identity().await;
    let good = Peer::good(&ca, |_| success()).await;
    let bearer = BearerToken::fixed(jwt(HOUR)).unwrap();
    let endpoint = good.endpoint().resumption(Resumption::PerGeneration).wait_for_ready(true);
    let channel = endpoint.connect_lazy(&identity).credentials(bearer);
    call(channel.clone()).await.unwrap();
    let resumes = async || {
        good.cut();
        _ = call(channel.clone()).await;
        (good.seen.resumed() > 2).then_some(())
    };
    until("sessions are resumed", resumes).await;
    assert_eq!(good.seen.early_data(), 0);
}

#[test]
fn an_endpoint_that_is_not_https_does_not_exist() {
    for uri in ["http://127.0.0.1:1", "ws://127.0.0.1:1", "h2c://127.0.0.1:1", "127.0.0.1:1", "HTTP://127.0.0.1:1"] {
        assert!(Endpoint::new(uri).is_err(), "{uri}");
    }
    assert!(Endpoint::new(format!("https://{SERVER}")).is_ok());
}
