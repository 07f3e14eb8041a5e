//! The five common mistakes with gRPC and security, each of which cannot be made here.

use std::time::Duration;

use evercert::auth::{InvalidSecurity, MethodPolicy, Security};
use evercert::identity::IdentityBuilder;
use evercert_fixtures::wait::soon;
use evercert_tests::counted::Counted;
use evercert_tests::guarded::{Method, Stage, Token, with};
use evercert_tests::testing::Empty;
use evercert_tests::testing::test_service_client::TestServiceClient;
use evercert_tests::testing::test_service_server::TestServiceServer;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Channel, Server};

/// The descriptors of the service.
fn descriptors() -> Vec<u8> {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    protox::compile(["testing.proto"], [proto]).unwrap().encode_to_vec()
}

async fn plaintext(address: impl std::fmt::Display) -> Option<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_timeout(Duration::from_secs(5)).connect().await.ok()
}

#[tokio::test]
async fn mistake_1_plaintext_between_services_is_served_by_nobody() {
    let stage = Stage::new();
    let token = stage.token(Token::Good);
    // A server of ours has no port without TLS.
    let server = stage.serve(stage.security().build().unwrap()).await;
    if let Some(channel) = plaintext(server.address).await {
        let call = TestServiceClient::new(channel).empty_call(with(Empty {}, token.as_deref())).await;
        assert!(call.is_err());
    }
    assert_eq!(server.counted.reached(), 0);
    // A server of one's own without TLS gets the same security as a layer, which lets nobody through.
    let counted = Counted::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bare = Server::builder()
        .layer(stage.security().build().unwrap())
        .add_service(TestServiceServer::new(counted.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = tokio::spawn(bare);
    let mut client = TestServiceClient::new(soon("it listens", plaintext(address)).await.unwrap());
    let status = client.empty_call(with(Empty {}, token.as_deref())).await.unwrap_err();
    assert_eq!((status.code(), counted.reached()), (Code::Unauthenticated, 0));
    serving.abort();
}

#[tokio::test]
async fn mistake_2_credentials_that_do_not_demand_a_secure_transport_do_not_exist() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let channel = stage.channel(&server, true).await;
    // Credentials are given to a channel, and a channel is made for https alone.
    let identity: IdentityBuilder = evercert::Identity::from_directory(stage.caller_directory());
    let identity = identity.await.unwrap();
    assert!(identity.channel("http://localhost:1").is_err());
    let secured = channel.credentials(evercert::auth::BearerToken::fixed(stage.token(Token::Good).unwrap()).unwrap());
    TestServiceClient::new(secured).empty_call(Empty {}).await.unwrap();
}

#[tokio::test]
async fn mistake_3_health_checks_need_no_credentials_and_nothing_else_gets_by_without() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let channel = stage.channel(&server, false).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let check = tonic_health::pb::HealthCheckRequest { service: String::new() };
    health.check(check.clone()).await.unwrap();
    let mut watch = health.watch(check).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    for method in Method::ALL {
        assert_eq!(method.call(&channel, None).await, Code::Unauthenticated, "{method:?}");
    }
}

#[tokio::test]
async fn mistake_4_streams_are_held_to_the_same_as_unary_calls() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let channel = stage.channel(&server, false).await;
    for token in [Token::None, Token::Garbage, Token::Forged] {
        let bearer = stage.token(token);
        for method in Method::ALL {
            assert_eq!(method.call(&channel, bearer.as_deref()).await, Code::Unauthenticated, "{method:?} {token:?}");
        }
    }
    assert_eq!(server.counted.reached(), 0);
}

#[tokio::test]
async fn mistake_5_a_method_that_is_written_wrong_allows_nothing_and_is_an_error_at_start() {
    let wrong = || MethodPolicy::builder().method("/grpc.testing.TestService/UnaryCal", ["caller"]);
    let stage = Stage::new();
    // With the descriptors at hand it is an error that names what was meant.
    let built = stage.security().policy(wrong().checked_against(&descriptors())).build();
    let error = match built {
        Err(error @ InvalidSecurity::Policy(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(error.contains("/grpc.testing.TestService/UnaryCall"), "{error}");
    // Without them, whom nothing allows it is denied.
    let security: Security = stage.security().policy(wrong()).build().unwrap();
    let server = stage.serve(security).await;
    let channel = stage.channel(&server, true).await;
    let code = Method::Unary.call(&channel, stage.token(Token::Good).as_deref()).await;
    assert_eq!((code, server.counted.reached()), (Code::PermissionDenied, 0));
}
