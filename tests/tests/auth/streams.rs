//! Calls that outlive neither their token nor their peer's certificate.

use std::time::{Duration, Instant, SystemTime};

use evercert::auth::OnExpiry;
use evercert_fixtures::wait::soon;
use evercert_tests::guarded::{CALLER, Stage, Token, kept_open};
use evercert_tests::side::leaf;
use evercert_tests::testing::test_service_client::TestServiceClient;
use evercert_tests::testing::{SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest};
use tonic::Code;

/// The life of what ends in these tests: `exp` has whole seconds, so a shorter one might be over at once.
const LIFE: Duration = Duration::from_secs(2);

/// The status of each kind of call that is kept open by its caller for good.
async fn ends(stage: &Stage, server: &evercert_tests::guarded::Guarded, token: &str) -> Vec<Code> {
    let client = TestServiceClient::new(stage.channel(server, true).await);
    let token = Some(token);
    let unary =
        async { client.clone().unary_call(kept_open(SimpleRequest::default(), token)).await.unwrap_err().code() };
    let output = async {
        let request = kept_open(StreamingOutputCallRequest::default(), token);
        let mut replies = client.clone().streaming_output_call(request).await.unwrap().into_inner();
        loop {
            if let Err(status) = replies.message().await {
                return status.code();
            }
        }
    };
    let input = async {
        let silent = tokio_stream::pending::<StreamingInputCallRequest>();
        client.clone().streaming_input_call(kept_open(silent, token)).await.unwrap_err().code()
    };
    let both = async {
        let requests = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((StreamingOutputCallRequest::default(), ()))
        });
        let mut replies = client.clone().full_duplex_call(kept_open(requests, token)).await.unwrap().into_inner();
        loop {
            if let Err(status) = replies.message().await {
                return status.code();
            }
        }
    };
    let (unary, output, input, both) = soon("all calls end", async { tokio::join!(unary, output, input, both) }).await;
    vec![unary, output, input, both]
}

#[tokio::test]
async fn every_kind_of_call_ends_with_its_token_and_not_before() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let began = Instant::now();
    let codes = ends(&stage, &server, &stage.token_for(LIFE)).await;
    assert_eq!(codes, [Code::Unauthenticated; 4]);
    assert_eq!(server.counted.reached(), 4);
    assert!(began.elapsed() >= LIFE - Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_goes_on_where_it_may_outlive_its_token() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().on_expiry(OnExpiry::GoOn).build().unwrap()).await;
    let mut client = TestServiceClient::new(stage.channel(&server, true).await);
    let token = stage.token_for(LIFE);
    let request = kept_open(StreamingOutputCallRequest::default(), Some(&token));
    let mut replies = client.streaming_output_call(request).await.unwrap().into_inner();
    for _ in 0..evercert_tests::counted::REPLIES {
        assert!(replies.message().await.unwrap().is_some());
    }
    let later = tokio::time::timeout(LIFE + Duration::from_secs(1), replies.message()).await;
    assert!(later.is_err(), "it has ended: {later:?}");
}

#[tokio::test]
async fn a_stream_ends_with_the_certificate_of_its_peer() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let now = SystemTime::now();
    let ending = leaf().uri(CALLER).valid(now - Duration::from_secs(60), now + LIFE + Duration::from_secs(1));
    let channel = stage.channel_of(&server, &stage.authority().issue(ending)).await;
    let token = stage.token(Token::Good);
    let request = kept_open(StreamingOutputCallRequest::default(), token.as_deref());
    let mut replies = TestServiceClient::new(channel).streaming_output_call(request).await.unwrap().into_inner();
    let ended = soon("the connection is cut", async {
        loop {
            if let Err(status) = replies.message().await {
                return status;
            }
        }
    });
    assert_ne!(ended.await.code(), Code::Ok);
}
