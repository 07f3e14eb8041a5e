//! What a call costs that is authenticated, limited and authorised.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evercert::auth::{AccessLog, MethodPolicy, RateLimit, Security, Tokens};
use evercert::client::Endpoint;
use evercert::{Channel, Identity, Server};
use evercert_tests::counted::Counted;
use evercert_tests::guarded::{AUDIENCE, ISSUER, Stage, with};
use evercert_tests::testing::Empty;
use evercert_tests::testing::test_service_client::TestServiceClient;
use evercert_tests::testing::test_service_server::TestServiceServer;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::service::Routes;
use tower::util::MapRequestLayer;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::blocks::Blocks;
use crate::stage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many calls of a service without a network are in a block
    #[arg(long, default_value_t = 2000)]
    calls: usize,
    /// How many blocks there are of each kind
    #[arg(long, default_value_t = 60)]
    blocks: usize,
    /// How long calls are compared over a network
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many calls run at a time there
    #[arg(long, default_value_t = 32)]
    workers: usize,
}

/// What a call with a token that was seen before may cost more than one without any security.
const MOST_ADDED_US: f64 = 3.0;
/// What a call may cost with a thousand rules, by what it costs with ten.
const MOST_BY_RULES: f64 = 1.2;
/// What a token of first sight may cost, by what one check of a signature does: less than two checks.
const MOST_CHECKS: f64 = 2.0;

const METHOD: &str = "/grpc.testing.TestService/EmptyCall";

pub(crate) async fn run(args: Args) -> Value {
    let stage = Stage::new();
    let connection = connection(&stage).await;
    let token = header(&stage.token_for(Duration::from_secs(3600)));
    let known = || token.clone();

    let mut bare = handler();
    let mut ten = security(&stage, 10).layer(handler());
    let mut thousand = security(&stage, 1000).layer(handler());
    let (mut of_none, mut of_ten, mut of_thousand) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.blocks {
        of_none.push(block(&mut bare, &connection, known, args.calls).await);
        of_ten.push(block(&mut ten, &connection, known, args.calls).await);
        of_thousand.push(block(&mut thousand, &connection, known, args.calls).await);
    }
    let [of_none, of_ten, of_thousand] = [of_none, of_ten, of_thousand].map(median);

    // Each of them once.
    let mut tokens = (0..args.calls).map(|number| {
        let mut claims = evercert_fixtures::claims(
            ISSUER,
            AUDIENCE,
            &number.to_string(),
            std::time::SystemTime::now(),
            Duration::from_secs(3600),
        );
        claims["roles"] = json!(["caller"]);
        stage.issuer().sign(&claims)
    });
    let tokens: Vec<_> = tokens.by_ref().collect();
    let bare_check = bare_check(&stage, &tokens);
    let mut headers = tokens.iter().map(|token| header(token));
    let of_first_sight = block(&mut ten, &connection, || headers.next().unwrap(), args.calls).await;

    let added = of_ten - of_none;
    let by_rules = (of_thousand - of_none) / added;
    let checks = (of_first_sight - of_none) / bare_check;
    let network = network(&args, &stage).await;
    json!({
        "scenario": "auth",
        "kept": added <= MOST_ADDED_US && by_rules <= MOST_BY_RULES && checks < MOST_CHECKS,
        "settings": {
            "calls": args.calls, "blocks": args.blocks, "seconds": args.seconds, "workers": args.workers,
        },
        "cpu_us_a_call": {
            "without": rounded(of_none), "ten_rules": rounded(of_ten), "thousand_rules": rounded(of_thousand),
            "token_of_first_sight": rounded(of_first_sight),
        },
        "added_us": rounded(added),
        "thousand_rules_by_ten": rounded(by_rules),
        "check_of_a_signature_us": rounded(bare_check),
        "first_sight_in_checks": rounded(checks),
        "calls_per_second": network.figures("secured", "plain"),
    })
}

/// The whole of it, with so many rules.
fn security(stage: &Stage, rules: usize) -> Security {
    let mut policy = MethodPolicy::builder().method(METHOD, ["caller"]);
    for rule in 1..rules {
        policy = policy.method(format!("/example.v{rule}.Service/Method{rule}"), ["admin", "caller"]);
    }
    let limit = RateLimit::per_principal(NonZeroU32::MAX, Duration::from_secs(3600));
    Security::builder()
        .tokens(Tokens::jwks_file(stage.keys_file()).issuer(ISSUER).audience(AUDIENCE))
        .policy(policy)
        .rate_limit(limit)
        .access_log(AccessLog::default())
        .build()
        .unwrap()
}

/// What tonic and we put into the requests of a connection.
async fn connection(stage: &Stage) -> Extensions {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let layer = MapRequestLayer::new(move |request: Request<Body>| {
        *keep.lock() = Some(request.extensions().clone());
        request
    });
    let identity = Identity::from_directory(stage.caller_directory()).await.unwrap();
    let (listener, address) = stage::listener().await;
    let routes = Routes::new(TestServiceServer::new(Counted::default()));
    let serving = tokio::spawn(Server::new(&identity).layer(layer).serve(routes, listener, std::future::pending()));
    let channel = Endpoint::new(format!("https://{address}")).unwrap().connect(&identity).await.unwrap();
    TestServiceClient::new(channel).empty_call(Empty {}).await.unwrap();
    serving.abort();
    seen.lock().take().unwrap()
}

fn header(token: &str) -> HeaderValue {
    format!("Bearer {token}").parse().unwrap()
}

/// Reads its request and answers with a message and trailers, as a unary method does, at once.
fn handler()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    tower::service_fn(async |request: Request<Body>| {
        drop(request.into_body().collect().await);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
        let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Infallible>)));
        Ok(Response::new(Body::new(body)))
    })
}

/// Microseconds of this thread's CPU time for one of so many calls.
async fn block<S>(service: &mut S, connection: &Extensions, mut token: impl FnMut() -> HeaderValue, calls: usize) -> f64
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let before = cpu_time();
    for _ in 0..calls {
        let body = Body::new(Full::new(Bytes::from_static(&[0; 5])));
        let mut request = Request::post(METHOD).version(Version::HTTP_2).body(body).unwrap();
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(AUTHORIZATION, token());
        *request.extensions_mut() = connection.clone();
        let Ok(answer) = service.ready().await.unwrap().call(request).await;
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    }
    (cpu_time() - before).as_secs_f64() * 1e6 / calls as f64
}

/// Microseconds of one check of a token's signature and nothing else.
fn bare_check(stage: &Stage, tokens: &[String]) -> f64 {
    let before = cpu_time();
    for token in tokens {
        assert!(stage.issuer().has_signed_es256(token));
    }
    (cpu_time() - before).as_secs_f64() * 1e6 / tokens.len() as f64
}

/// A server with security against one without, by the same client with the same token.
async fn network(args: &Args, stage: &Stage) -> Blocks {
    let identity = Identity::from_directory(stage.caller_directory()).await.unwrap();
    let secured = served(&identity, Some(security(stage, 10))).await;
    let plain = served(&identity, None).await;
    let token = stage.token_for(Duration::from_secs(3600));
    let block = Duration::from_millis(200);
    Blocks::measure(
        Duration::from_secs(args.seconds),
        async || calls(&secured, &token, args.workers, block).await,
        async || calls(&plain, &token, args.workers, block).await,
    )
    .await
}

async fn served(identity: &Identity, security: Option<Security>) -> Channel {
    let (listener, address) = stage::listener().await;
    let mut server = Server::new(identity);
    if let Some(security) = security {
        server = server.security(security);
    }
    let routes = Routes::new(TestServiceServer::new(Counted::default()));
    tokio::spawn(server.serve(routes, listener, std::future::pending()));
    Endpoint::new(format!("https://{address}")).unwrap().connect(identity).await.unwrap()
}

async fn calls(channel: &Channel, token: &str, workers: usize, block: Duration) -> (u64, Duration) {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (mut client, token) = (TestServiceClient::new(channel.clone()), token.to_owned());
        tasks.spawn(async move {
            let mut calls = 0;
            while start.elapsed() < block {
                client.empty_call(with(Empty {}, Some(&token))).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    let calls = tasks.join_all().await.iter().sum();
    (calls, start.elapsed())
}

/// The CPU time of this thread so far: all of a block is done on it.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
