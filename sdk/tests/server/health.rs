//! Health of a server as its callers see it, with certificates.

use std::time::{Duration, SystemTime};

use evercert::health::{Health, ServingStatus, WATCH_LIMIT};
use evercert::{Identity, Server};
use evercert_fixtures::{Authority, Leaf, wait};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::clients::{channel, client};
use super::serving::listen;
use super::support::{DEADLINE, NAME, Script, server_leaf, snapshot, soon};

pub(super) async fn check(health: &mut HealthClient<Channel>, service: &str) -> Result<&'static str, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = soon(health.check(request)).await;
    answer.map(|answer| answer.into_inner().status().as_str_name()).map_err(|status| status.code())
}

pub(super) async fn watch(
    health: &mut HealthClient<Channel>,
    service: &str,
) -> Result<Streaming<HealthCheckResponse>, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(soon(health.watch(request)).await?.into_inner())
}

pub(super) async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Result<&'static str, Code> {
    match soon(watch.message()).await {
        Ok(told) => Ok(told.expect("a status").status().as_str_name()),
        Err(status) => Err(status.code()),
    }
}

/// A server with that health, until the sender is dropped.
pub(super) async fn serve(server: Server) -> (u16, oneshot::Sender<()>, JoinHandle<()>) {
    let (listener, port) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve(Routes::default(), listener, async { drop(stopped.await) });
    (port, stop, tokio::spawn(async { serving.await.unwrap() }))
}

async fn connected(ca: &Authority, port: u16) -> HealthClient<Channel> {
    HealthClient::new(channel(client(ca, Some(&ca.issue_dns("client.example.org"))), port).await)
}

async fn identity(ca: &Authority) -> Identity {
    Script::of(snapshot(1, &server_leaf(ca), &[ca])).identity().await
}

#[tokio::test]
async fn callers_are_told_the_status_of_each_service_that_was_set() {
    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let health = Health::new(&identity);
    health.set("a", ServingStatus::Serving);
    health.set("b", ServingStatus::NotServing);
    let (port, _stop, _serving) = serve(Server::new(&identity).health(&health)).await;
    let mut asked = connected(&ca, port).await;
    for (service, answer) in [
        ("", Ok("SERVING")),
        ("a", Ok("SERVING")),
        ("b", Ok("NOT_SERVING")),
        ("liveness", Ok("SERVING")),
        ("c", Err(Code::NotFound)),
        (&"a".repeat(2000), Err(Code::OutOfRange)),
    ] {
        assert_eq!(check(&mut asked, service).await, answer, "{service}");
    }
    health.clear("a");
    assert_eq!(check(&mut asked, "a").await, Err(Code::NotFound));
}

#[tokio::test]
async fn who_watches_is_told_of_changes_and_of_a_service_that_becomes_known() {
    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let health = Health::new(&identity);
    let (port, _stop, _serving) = serve(Server::new(&identity).health(&health)).await;
    let mut asked = connected(&ca, port).await;
    let mut later = watch(&mut asked, "later").await.unwrap();
    assert_eq!(next(&mut later).await, Ok("SERVICE_UNKNOWN"));
    health.set("later", ServingStatus::Serving);
    assert_eq!(next(&mut later).await, Ok("SERVING"));
    health.set("later", ServingStatus::NotServing);
    assert_eq!(next(&mut later).await, Ok("NOT_SERVING"));
}

#[tokio::test]
async fn a_shutdown_is_told_to_those_who_watch_and_waits_for_none_of_them() {
    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let health = Health::new(&identity);
    let server = Server::new(&identity).health(&health).shutdown_timeout(10 * DEADLINE);
    let (port, stop, serving) = serve(server).await;
    let mut asked = connected(&ca, port).await;
    let mut whole = watch(&mut asked, "").await.unwrap();
    assert_eq!(next(&mut whole).await, Ok("SERVING"));
    drop(stop);
    assert_eq!(next(&mut whole).await, Ok("NOT_SERVING"));
    assert_eq!(next(&mut whole).await, Err(Code::Unavailable));
    soon(serving).await.unwrap();
    assert_eq!(health.status(""), Some(ServingStatus::NotServing));
    assert_eq!(health.status(Health::LIVENESS), Some(ServingStatus::Serving));
}

#[tokio::test]
async fn no_more_watch_than_may_while_checks_go_on_and_who_leaves_makes_place() {
    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let server = Server::new(&identity).health(&Health::with_watch_limit(&identity, 2));
    let (port, _stop, _serving) = serve(server).await;
    let (mut asked, mut other) = (connected(&ca, port).await, connected(&ca, port).await);
    let mut held = [watch(&mut asked, "").await.unwrap(), watch(&mut other, "").await.unwrap()];
    for held in &mut held {
        assert_eq!(next(held).await, Ok("SERVING"));
    }
    assert_eq!(watch(&mut other, "").await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(check(&mut other, "").await, Ok("SERVING"));
    drop(held);
    let again = || {
        let mut other = other.clone();
        async move { watch(&mut other, "").await.ok() }
    };
    wait::until("a place is free", again).await;
}

#[tokio::test]
async fn a_server_has_places_for_a_thousand_that_watch_and_no_more() {
    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let service = Health::new(&identity).service();
    let (mut watches, request) = (Vec::new(), HealthCheckRequest::default());
    let refused = loop {
        match HealthClient::new(service.clone()).watch(request.clone()).await {
            Ok(watch) => watches.push(watch),
            Err(status) => break status.code(),
        }
    };
    assert_eq!((watches.len(), refused), (WATCH_LIMIT, Code::ResourceExhausted));
}

#[tokio::test]
async fn nothing_is_serving_with_an_expired_leaf_until_a_newer_one_comes() {
    let ca = Authority::new("root");
    let now = SystemTime::now();
    let ending = Leaf::for_dns(NAME).valid(now - Duration::from_secs(60), now + Duration::from_secs(2));
    let script = Script::of(snapshot(1, &ca.issue(ending), &[&ca]));
    let identity = script.identity().await;
    let health = Health::new(&identity);
    // The identity keeps presenting its leaf, but nobody accepts it.
    let mut watched = watch_plain(&health).await;
    assert_eq!(next(&mut watched).await, Ok("SERVING"));
    assert_eq!(next(&mut watched).await, Ok("NOT_SERVING"));
    assert!(identity.status().expired);
    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    assert_eq!(next(&mut watched).await, Ok("SERVING"));
}

#[tokio::test]
async fn nothing_is_serving_before_the_first_generation_and_after_the_last_handle() {
    let ca = Authority::new("root");
    let script = Script::new();
    let identity = Identity::from_source("test", script.clone()).start_pending().unwrap();
    let mut watched = watch_plain(&Health::new(&identity)).await;
    assert_eq!(next(&mut watched).await, Ok("NOT_SERVING"));
    script.publish(snapshot(1, &server_leaf(&ca), &[&ca])).await;
    assert_eq!(next(&mut watched).await, Ok("SERVING"));
    drop(identity);
    assert_eq!(next(&mut watched).await, Ok("NOT_SERVING"));
}

/// Watches the server as a whole where it can be asked without certificates.
async fn watch_plain(health: &Health) -> Streaming<HealthCheckResponse> {
    let (listener, port) = listen().await;
    let routes = tonic::transport::Server::builder().add_service(health.service());
    tokio::spawn(routes.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    watch(&mut HealthClient::new(soon(endpoint.connect()).await.unwrap()), "").await.unwrap()
}

#[cfg(feature = "auth")]
#[tokio::test]
async fn health_is_for_anybody_where_a_security_asks_for_credentials() {
    use evercert::ClientCertificates;
    use evercert::auth::{MethodPolicy, Security};
    use tonic_prost::ProstCodec;

    let ca = Authority::new("root");
    let identity = identity(&ca).await;
    let health = Health::new(&identity);
    let security = Security::builder().policy(MethodPolicy::any_authenticated()).build().unwrap();
    let server = Server::new(&identity).client_certificates(ClientCertificates::Optional);
    let (port, _stop, _serving) = serve(server.health(&health).security(security)).await;
    let channel = channel(client(&ca, None), port).await;
    let mut asked = HealthClient::new(channel.clone());
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"));
    let mut whole = watch(&mut asked, "").await.unwrap();
    assert_eq!(next(&mut whole).await, Ok("SERVING"));

    let mut other = tonic::client::Grpc::new(channel);
    soon(other.ready()).await.unwrap();
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = tonic::Request::new(HealthCheckRequest::default());
    let list = other.unary(request, "/grpc.health.v1.Health/List".parse().unwrap(), codec);
    assert_eq!(soon(list).await.unwrap_err().code(), Code::Unauthenticated);
}
