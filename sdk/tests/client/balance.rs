//! Channels over several servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::{BalancedChannel, BalancedState, Endpoint, Endpoints};
use evercert_fixtures::Authority;
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use crate::peers::{DEADLINE, Publisher, SERVER, Server};
use crate::wire::Hand;

async fn call(channel: &BalancedChannel) -> Result<(), Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop)
}

/// The number of callers at a time.
const CALLERS: usize = 8;

/// Calls of [`CALLERS`] until `enough`; gives how long after `start` each ended, and how.
async fn calls(channel: &BalancedChannel, start: Instant, enough: Duration) -> Vec<(Duration, Result<(), Status>)> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = HealthClient::new(channel.clone());
        callers.spawn(async move {
            let mut outcomes = Vec::new();
            while start.elapsed() < enough {
                let outcome = client.check(HealthCheckRequest::default()).await.map(drop);
                outcomes.push((start.elapsed(), outcome));
            }
            outcomes
        });
    }
    callers.join_all().await.concat()
}

async fn until(channel: &BalancedChannel, wanted: impl Fn(&BalancedState) -> bool) {
    let start = Instant::now();
    while !wanted(&channel.state()) {
        assert!(start.elapsed() < DEADLINE, "waited in vain, now {channel:?}");
        tokio::task::yield_now().await;
    }
}

async fn servers(ca: &Authority) -> [Server; 3] {
    [Server::start(ca).await, Server::start(ca).await, Server::start(ca).await]
}

/// The endpoint of [`SERVER`], whose name has the addresses of the moment.
fn endpoint(addresses: &Arc<Mutex<Vec<SocketAddr>>>) -> Endpoint {
    let addresses = Arc::clone(addresses);
    let resolver = move |_: &str, _| std::future::ready(Ok(addresses.lock().clone()));
    Endpoint::new(format!("https://{SERVER}:50051")).unwrap().resolver(resolver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_every_address_of_a_name() {
    let ca = Authority::new("ca");
    let servers = servers(&ca).await;
    let addresses = servers.each_ref().map(|server| server.address).to_vec();
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoint(&Arc::new(Mutex::new(addresses))));
    call(&channel).await.unwrap();
    until(&channel, |state| state.connected() == 3).await;
    for _ in 0..300 {
        call(&channel).await.unwrap();
    }
    for server in &servers {
        assert!(server.calls() > 50 && server.connections() == 1, "{} calls of 300", server.calls());
    }
}

#[tokio::test]
async fn a_name_whose_interval_is_without_end_is_asked_for_once() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let (asked, address) = (Arc::new(AtomicUsize::new(0)), server.address);
    let count = Arc::clone(&asked);
    let endpoint = Endpoint::new(format!("https://{SERVER}:50051")).unwrap().resolver(move |_: &str, _| {
        count.fetch_add(1, Relaxed);
        std::future::ready(Ok(vec![address]))
    });
    let endpoints = Endpoints::from(endpoint).refresh(Duration::MAX);
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoints);
    for _ in 0..10 {
        call(&channel).await.unwrap();
    }
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dead_from_the_first_is_left_out() {
    let ca = Authority::new("ca");
    let [one, two, _] = servers(&ca).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let addresses = vec![silent.local_addr().unwrap(), closed, one.address, two.address];
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoint(&Arc::new(Mutex::new(addresses))));
    for (_, outcome) in calls(&channel, Instant::now(), Duration::from_secs(1)).await {
        outcome.unwrap();
    }
    assert!(one.calls() > 0 && two.calls() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_costs_the_calls_that_it_has_at_most_and_none_after_a_second() {
    let ca = Authority::new("ca");
    let servers = servers(&ca).await;
    // The third is reached through here, until that is cut.
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (cut, upstream, dying) = (CancellationToken::new(), servers[2].address, tcp.local_addr().unwrap());
    let proxy = cut.clone().run_until_cancelled_owned(async move {
        let mut carried = JoinSet::new();
        while let Ok((mut client, _)) = tcp.accept().await {
            let mut server = TcpStream::connect(upstream).await.unwrap();
            carried.spawn(async move { _ = tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    tokio::spawn(proxy);
    let endpoints = [servers[0].address, servers[1].address, dying];
    let endpoints =
        endpoints.map(|server| Endpoint::new(format!("https://{server}")).unwrap().server_name(SERVER).unwrap());
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoints.to_vec());
    call(&channel).await.unwrap();
    until(&channel, |state| state.connected() == 3).await;

    let start = Instant::now();
    let dies = Duration::from_millis(500);
    let killing = async {
        tokio::time::sleep(dies).await;
        cut.cancel();
    };
    let (outcomes, ()) = tokio::join!(calls(&channel, start, Duration::from_secs(3)), killing);
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(failed.len() <= CALLERS, "{} of {} calls failed: {failed:?}", failed.len(), outcomes.len());
    assert!(failed.iter().all(|(ended, _)| *ended < dies + Duration::from_secs(1)), "{failed:?}");
    assert!(servers[2].calls() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_joins_gets_calls_and_one_that_leaves_drains_although_a_clone_is_idle() {
    let ca = Authority::new("ca");
    let [stays, joins, _] = servers(&ca).await;
    let (leaves, endpoint) = Hand::start(&ca).await;
    let (sets, stream) = mpsc::channel(1);
    let endpoints = Endpoints::from_stream(ReceiverStream::new(stream));
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoints);
    sets.send(vec![endpoint]).await.unwrap();
    let mut idle = channel.clone();
    let request = Request::post("/test.v1.Test/Call").body(Body::empty()).unwrap();
    let running = tokio::spawn(async move {
        let response = idle.ready().await.unwrap().call(request).await;
        (idle, response)
    });
    let mut wire = leaves.accept().await;
    let taken = wire.request().await.unwrap();

    sets.send(vec![stays.endpoint(), joins.endpoint()]).await.unwrap();
    until(&channel, |state| state.endpoints.len() == 2 && state.connected() == 2).await;
    for _ in 0..100 {
        call(&channel).await.unwrap();
    }
    assert!(stays.calls() > 10 && joins.calls() > 10 && stays.calls() + joins.calls() == 100);

    wire.answer(taken.stream).await;
    let (_idle, response) = timeout(DEADLINE, running).await.expect("what runs goes on").unwrap();
    drop(response.unwrap());
    assert_eq!(wire.request().await, None, "the client closes what has nothing left to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_name_was_given_since_gets_calls() {
    let ca = Authority::new("ca");
    let [first, second, _] = servers(&ca).await;
    let addresses = Arc::new(Mutex::new(vec![first.address]));
    let endpoints = Endpoints::from(endpoint(&addresses)).refresh(Duration::ZERO);
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoints);
    call(&channel).await.unwrap();
    addresses.lock().push(second.address);
    until(&channel, |state| state.connected() == 2).await;
    while second.calls() == 0 {
        call(&channel).await.unwrap();
    }
    assert_eq!(first.connections(), 1, "the one it had stays connected");

    addresses.lock().clear();
    until(&channel, |state| state.trouble.is_some()).await;
    call(&channel).await.expect("the last addresses stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_at_once_while_every_server_is_away_and_find_one_that_is_back() {
    let ca = Authority::new("ca");
    let [server, other, _] = servers(&ca).await;
    let endpoints = [&server, &other].map(|server| server.endpoint().backoff(DEADLINE * 30, DEADLINE * 30));
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoints.to_vec());
    call(&channel).await.unwrap();
    until(&channel, |state| state.connected() == 2).await;
    for _ in 0..20 {
        call(&channel).await.unwrap();
    }
    let address = server.stop().await;
    other.stop().await;
    until(&channel, |state| state.endpoints.iter().all(|endpoint| endpoint.trouble.is_some())).await;
    let status = timeout(DEADLINE, call(&channel)).await.expect("it does not wait").unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("cannot connect"), "{status}");

    let _server = Server::start_at(&ca, address).await;
    let start = Instant::now();
    while call(&channel).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "{channel:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_endpoints_says_so_and_has_a_deadline_until_it_knows() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let status = call(&identity.channel_balanced(Vec::new())).await.unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("there are no endpoints"), "{status}");

    let silent = identity.channel_balanced(Endpoints::from_stream(tokio_stream::pending()));
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(50));
    let mut client = HealthClient::new(silent);
    let waiting = timeout(DEADLINE, client.check(request)).await;
    assert_eq!(waiting.expect("it ends").unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_that_waits_until_it_is_ready_waits_for_its_name_to_resolve_too() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let (address, asked) = (server.address, Arc::new(AtomicUsize::new(0)));
    let resolver = {
        let asked = Arc::clone(&asked);
        move |_: &str, _| {
            let is_known = asked.fetch_add(1, Relaxed) >= 3;
            std::future::ready(if is_known { Ok(vec![address]) } else { Err(std::io::ErrorKind::NotFound.into()) })
        }
    };
    let endpoint = Endpoint::new(format!("https://{SERVER}:50051")).unwrap().resolver(resolver).wait_for_ready(true);
    let channel = Publisher::of(&ca).identity().await.channel_balanced(endpoint);
    timeout(DEADLINE, call(&channel)).await.expect("it is asked for again while the call waits").unwrap();
    assert_eq!(asked.load(Relaxed), 4);
}

#[test]
fn a_call_on_a_runtime_that_has_ended_fails_and_says_so() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ca, running, ended) = (Authority::new("ca"), runtime(), runtime());
    let channel = running.block_on(async {
        let server = Endpoint::new(format!("https://{SERVER}:50051")).unwrap();
        Publisher::of(&ca).identity().await.channel_balanced(server.timeout(DEADLINE))
    });
    let handle = ended.handle().clone();
    drop(ended);
    let status = handle.block_on(call(&channel)).unwrap_err();
    assert!(status.message().contains("no tokio runtime"), "{status}");
}

#[test]
fn a_call_outside_of_any_runtime_fails_and_says_so() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ca = Authority::new("ca");
    let identity = runtime.block_on(async { Publisher::of(&ca).identity().await });
    let channel = identity.channel_balanced(Endpoints::from_stream(tokio_stream::pending()));
    let status = call(&channel).now_or_never().expect("it does not wait").unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("runtime"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_of_endpoints_holds_while_a_call_waits_for_one_of_them() {
    let ca = Authority::new("ca");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(format!("https://{}", silent.local_addr().unwrap())).unwrap();
    let endpoint = endpoint.handshake_timeout(DEADLINE * 10).timeout(Duration::from_millis(200));
    let channel = Publisher::of(&ca).identity().await.channel_balanced(vec![endpoint]);
    let status = timeout(DEADLINE, call(&channel)).await.expect("it ends").unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_an_endpoint_is_a_part_of_the_calls_deadline_to_the_end_of_the_response() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = Publisher::of(&ca).identity().await.channel_balanced(vec![endpoint]);
    let start = Instant::now();
    let mut caller = channel.clone();
    let talk = tokio::spawn(async move {
        let request = Request::post("/test.v1.Test/Call").header("grpc-timeout", "2S").body(Body::empty()).unwrap();
        let response = caller.ready().await.unwrap().call(request).await.unwrap();
        response.into_body().collect().await.map(drop)
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut wire = hand.accept().await;
    let taken = wire.request().await.unwrap();
    wire.begin_answer(taken.stream).await;
    let status = timeout(DEADLINE, talk).await.expect("it ends").unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_or_a_resolver_that_panics_leaves_no_call_waiting() {
    let identity = Publisher::of(&Authority::new("ca")).identity().await;
    let stream = futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Vec<Endpoint>>> { panic!("on purpose") });
    let resolver = |_: &str, _| -> std::future::Ready<std::io::Result<Vec<SocketAddr>>> { panic!("on purpose") };
    let name = Endpoint::new(format!("https://{SERVER}:50051")).unwrap().resolver(resolver);
    for endpoints in [Endpoints::from_stream(stream), name.into()] {
        let channel = identity.channel_balanced(endpoints);
        let status = timeout(DEADLINE, call(&channel)).await.expect("it ends").unwrap_err();
        assert!(status.code() == Code::Unavailable && status.message().contains("panicked"), "{status}");
    }
}
