//! Our side as a client: the official cases, over the SDK's channel.

use std::fmt::Display;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert::{Channel, Identity};
use evercert_fixtures::wait;
use evercert_tests::testing::test_service_client::TestServiceClient;
use evercert_tests::testing::{
    BoolValue, EchoStatus, Empty, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::uri::PathAndQuery;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use super::messages::{self, Compress, Seen};
use super::service::{ECHO_INITIAL, ECHO_TRAILING, payload};

const LARGE_REQUEST: i32 = 271_828;
const LARGE_RESPONSE: i32 = 314_159;
/// The sizes of four requests, and of the four responses to them.
const REQUESTS: [i32; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
/// How many calls a soak makes, and how many of them at a time.
const SOAK: usize = 20;
const SOAK_WORKERS: usize = 4;
/// The longest a call of a soak may take: far longer than it does on a busy machine.
const SOAK_LIMIT: Duration = Duration::from_secs(5);

/// Why a case failed.
pub(crate) type Outcome = Result<(), String>;

/// One foreign server, and how to call it.
#[derive(Debug)]
pub(crate) struct Caller {
    endpoint: Endpoint,
    identity: Identity,
    channel: Channel,
    /// Whether the server can tell whether a message was compressed.
    sees_flags: bool,
}

impl Caller {
    pub(crate) async fn connect(endpoint: Endpoint, identity: Identity, sees_flags: bool) -> Self {
        let channel = endpoint.clone().connect(&identity).await.unwrap();
        Self { endpoint, identity, channel, sees_flags }
    }

    /// Runs one case.
    pub(crate) async fn run(&self, case: &str) -> Outcome {
        let running = async {
            match case {
                "empty_unary" => self.empty_unary().await,
                "large_unary" => self.large_unary().await,
                "client_compressed_unary" => self.client_compressed_unary().await,
                "server_compressed_unary" => self.server_compressed_unary().await,
                "client_streaming" => self.client_streaming().await,
                "client_compressed_streaming" => self.client_compressed_streaming().await,
                "server_streaming" => self.server_streaming().await,
                "server_compressed_streaming" => self.server_compressed_streaming().await,
                "ping_pong" => self.ping_pong().await,
                "empty_stream" => self.empty_stream().await,
                "custom_metadata" => self.custom_metadata().await,
                "status_code_and_message" => self.status_code_and_message().await,
                "special_status_message" => self.special_status_message().await,
                "unimplemented_method" => self.unimplemented("/grpc.testing.TestService/UnimplementedCall").await,
                "unimplemented_service" => {
                    self.unimplemented("/grpc.testing.UnimplementedService/UnimplementedCall").await
                }
                "cancel_after_begin" => self.cancel_after_begin().await,
                "cancel_after_first_response" => self.cancel_after_first_response().await,
                "timeout_on_sleeping_server" => self.timeout_on_sleeping_server().await,
                "rpc_soak" => self.soak(|| self.channel.clone()).await,
                "channel_soak" => self.soak(|| self.endpoint.clone().connect_lazy(&self.identity)).await,
                _ => Err("there is no such case".to_owned()),
            }
        };
        tokio::time::timeout(wait::DEADLINE, running.boxed())
            .await
            .unwrap_or_else(|_| Err(format!("there is no end within {:?}", wait::DEADLINE)))
    }

    fn client(&self) -> TestServiceClient<Compressing> {
        TestServiceClient::new(Compressing(self.channel.clone()))
    }

    async fn empty_unary(&self) -> Outcome {
        self.client().empty_call(Empty {}).await.map(drop).map_err(said)
    }

    async fn large_unary(&self) -> Outcome {
        self.unary(large(), None).await.map(drop)
    }

    /// A large unary call; its response.
    async fn unary(
        &self,
        request: SimpleRequest,
        compressed: Option<bool>,
    ) -> Result<Response<SimpleResponse>, String> {
        let mut request = Request::new(request);
        if let Some(compressed) = compressed {
            request.extensions_mut().insert(Compress(vec![compressed]));
        }
        let response = self.client().unary_call(request).await.map_err(said)?;
        size(response.get_ref().payload.as_ref().map(|payload| payload.body.len()), LARGE_RESPONSE)?;
        Ok(response)
    }

    async fn client_compressed_unary(&self) -> Outcome {
        let expecting = |value| SimpleRequest { expect_compressed: Some(BoolValue { value }), ..large() };
        if self.sees_flags {
            let mut probe = Request::new(expecting(true));
            probe.extensions_mut().insert(Compress(vec![false]));
            refused(self.client().unary_call(probe).await, Code::InvalidArgument)?;
        }
        self.unary(expecting(true), Some(true)).await?;
        self.unary(expecting(false), Some(false)).await.map(drop)
    }

    async fn server_compressed_unary(&self) -> Outcome {
        for value in [true, false] {
            let request = SimpleRequest { response_compressed: Some(BoolValue { value }), ..large() };
            let response = self.unary(request, None).await?;
            compressed(response.extensions(), value)?;
        }
        Ok(())
    }

    async fn client_streaming(&self) -> Outcome {
        let requests =
            REQUESTS.map(|size| StreamingInputCallRequest { payload: payload(size).ok(), ..Default::default() });
        let response = self.client().streaming_input_call(stream::iter(requests)).await.map_err(said)?;
        equal(response.get_ref().aggregated_payload_size, REQUESTS.iter().sum())
    }

    async fn client_compressed_streaming(&self) -> Outcome {
        let request = |value, size| StreamingInputCallRequest {
            payload: payload(size).ok(),
            expect_compressed: Some(BoolValue { value }),
        };
        if self.sees_flags {
            let mut probe = Request::new(stream::iter([request(true, 27_182)]));
            probe.extensions_mut().insert(Compress(vec![false]));
            refused(self.client().streaming_input_call(probe).await, Code::InvalidArgument)?;
        }
        let mut requests = Request::new(stream::iter([request(true, 27_182), request(false, 45_904)]));
        requests.extensions_mut().insert(Compress(vec![true, false]));
        let response = self.client().streaming_input_call(requests).await.map_err(said)?;
        equal(response.get_ref().aggregated_payload_size, 73_086)
    }

    async fn server_streaming(&self) -> Outcome {
        let request = StreamingOutputCallRequest {
            response_parameters: RESPONSES.map(sized).to_vec(),
            ..StreamingOutputCallRequest::default()
        };
        let mut responses = self.client().streaming_output_call(request).await.map_err(said)?.into_inner();
        for wanted in RESPONSES {
            next(&mut responses, wanted).await?;
        }
        end(&mut responses).await
    }

    async fn server_compressed_streaming(&self) -> Outcome {
        let wanted = [(true, 31_415), (false, 92_653)];
        let parameters = |(value, size)| ResponseParameters { compressed: Some(BoolValue { value }), ..sized(size) };
        let request = StreamingOutputCallRequest {
            response_parameters: wanted.map(parameters).to_vec(),
            ..StreamingOutputCallRequest::default()
        };
        let response = self.client().streaming_output_call(request).await.map_err(said)?;
        let (_, mut responses, extensions) = response.into_parts();
        for (flag, size) in wanted {
            next(&mut responses, size).await?;
            compressed(&extensions, flag)?;
        }
        end(&mut responses).await
    }

    async fn ping_pong(&self) -> Outcome {
        let (requests, sent) = mpsc::channel(1);
        send(&requests, exchange(REQUESTS[0], RESPONSES[0])).await?;
        let responses = self.client().full_duplex_call(ReceiverStream::new(sent)).await.map_err(said)?;
        let mut responses = responses.into_inner();
        next(&mut responses, RESPONSES[0]).await?;
        for (request, response) in REQUESTS.into_iter().zip(RESPONSES).skip(1) {
            send(&requests, exchange(request, response)).await?;
            next(&mut responses, response).await?;
        }
        drop(requests);
        end(&mut responses).await
    }

    async fn empty_stream(&self) -> Outcome {
        let responses = self.client().full_duplex_call(stream::empty()).await.map_err(said)?;
        end(&mut responses.into_inner()).await
    }

    async fn custom_metadata(&self) -> Outcome {
        let (initial, trailing) = ("test_initial_metadata_value", [0xab_u8; 3]);
        let mark = |metadata: &mut MetadataMap| {
            metadata.insert(ECHO_INITIAL, MetadataValue::from_static(initial));
            metadata.insert_bin(ECHO_TRAILING, MetadataValue::from_bytes(&trailing));
        };
        let has_initial = |metadata: &MetadataMap| {
            equal(metadata.get(ECHO_INITIAL).map(|value| value.as_bytes()), Some(initial.as_bytes()))
        };
        let has_trailing = |metadata: &MetadataMap| {
            equal(
                metadata.get_bin(ECHO_TRAILING).and_then(|value| value.to_bytes().ok()).as_deref(),
                Some(&trailing[..]),
            )
        };
        let mut request =
            Request::new(SimpleRequest { response_size: 1, payload: payload(1).ok(), ..SimpleRequest::default() });
        mark(request.metadata_mut());
        let response = self.client().unary_call(request).await.map_err(said)?;
        has_initial(response.metadata())?;
        has_trailing(response.metadata())?;

        let mut request = Request::new(stream::iter([exchange(1, 1)]));
        mark(request.metadata_mut());
        let response = self.client().full_duplex_call(request).await.map_err(said)?;
        has_initial(response.metadata())?;
        let mut responses = response.into_inner();
        next(&mut responses, 1).await?;
        end(&mut responses).await?;
        has_trailing(&responses.trailers().await.map_err(said)?.ok_or("there are no trailers")?)
    }

    async fn status_code_and_message(&self) -> Outcome {
        let status = EchoStatus { code: Code::Unknown.into(), message: "test status message".to_owned() };
        let request = SimpleRequest { response_status: Some(status.clone()), ..SimpleRequest::default() };
        let unary = refused(self.client().unary_call(request).await, Code::Unknown)?;
        equal(unary.message(), &status.message)?;
        let request = StreamingOutputCallRequest {
            response_status: Some(status.clone()),
            ..StreamingOutputCallRequest::default()
        };
        let ended = match self.client().full_duplex_call(stream::iter([request])).await {
            Ok(responses) => refused(responses.into_inner().message().await, Code::Unknown)?,
            Err(status) => refused(Err::<(), _>(status), Code::Unknown)?,
        };
        equal(ended.message(), &status.message)
    }

    async fn special_status_message(&self) -> Outcome {
        let status = EchoStatus { code: Code::Unknown.into(), message: SPECIAL.to_owned() };
        let request = SimpleRequest { response_status: Some(status), ..SimpleRequest::default() };
        equal(refused(self.client().unary_call(request).await, Code::Unknown)?.message(), SPECIAL)
    }

    async fn unimplemented(&self, path: &'static str) -> Outcome {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(said)?;
        let codec = ProstCodec::<Empty, Empty>::default();
        let response = client.unary(Request::new(Empty {}), PathAndQuery::from_static(path), codec).await;
        refused(response, Code::Unimplemented).map(drop)
    }

    async fn cancel_after_begin(&self) -> Outcome {
        let (requests, sent) = mpsc::channel::<StreamingInputCallRequest>(1);
        // hyper asks for the first message once the request has a stream of its own.
        let (begin, begun) = oneshot::channel();
        let first = stream::once(async move { _ = begin.send(()) }).filter_map(async |()| None);
        let mut client = self.client();
        tokio::select! {
            response = client.streaming_input_call(first.chain(ReceiverStream::new(sent))) => {
                return Err(format!("there is a response: {response:?}"));
            }
            _ = begun => {}
        }
        requests.closed().await;
        self.empty_unary().await
    }

    async fn cancel_after_first_response(&self) -> Outcome {
        let (requests, sent) = mpsc::channel(1);
        send(&requests, exchange(REQUESTS[0], RESPONSES[0])).await?;
        let responses = self.client().full_duplex_call(ReceiverStream::new(sent)).await.map_err(said)?;
        let mut responses = responses.into_inner();
        next(&mut responses, RESPONSES[0]).await?;
        drop(responses);
        // The request goes on until somebody ends it.
        requests.closed().await;
        self.empty_unary().await
    }

    async fn timeout_on_sleeping_server(&self) -> Outcome {
        let (requests, sent) = mpsc::channel(1);
        let request =
            StreamingOutputCallRequest { payload: payload(27_182).ok(), ..StreamingOutputCallRequest::default() };
        send(&requests, request).await?;
        let mut request = Request::new(ReceiverStream::new(sent));
        request.set_timeout(Duration::from_millis(1));
        match self.client().full_duplex_call(request).await {
            Ok(responses) => refused(responses.into_inner().message().await, Code::DeadlineExceeded)?,
            Err(status) => refused(Err::<(), _>(status), Code::DeadlineExceeded)?,
        };
        requests.closed().await;
        Ok(())
    }

    async fn soak(&self, channel: impl Fn() -> Channel) -> Outcome {
        let mut workers = JoinSet::new();
        for _ in 0..SOAK_WORKERS {
            let channels: Vec<_> = (0..SOAK / SOAK_WORKERS).map(|_| channel()).collect();
            workers.spawn(async move {
                for channel in channels {
                    let start = Instant::now();
                    let response = TestServiceClient::new(channel).unary_call(large()).await.map_err(said)?;
                    size(response.get_ref().payload.as_ref().map(|payload| payload.body.len()), LARGE_RESPONSE)?;
                    if start.elapsed() > SOAK_LIMIT {
                        return Err(format!("a call took {:?}", start.elapsed()));
                    }
                }
                Ok(())
            });
        }
        workers.join_all().await.into_iter().collect()
    }
}

fn large() -> SimpleRequest {
    SimpleRequest { response_size: LARGE_RESPONSE, payload: payload(LARGE_REQUEST).ok(), ..SimpleRequest::default() }
}

fn sized(size: i32) -> ResponseParameters {
    ResponseParameters { size, ..ResponseParameters::default() }
}

/// A request of this size that asks for one response of that.
fn exchange(request: i32, response: i32) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![sized(response)],
        payload: payload(request).ok(),
        ..StreamingOutputCallRequest::default()
    }
}

async fn send<T>(requests: &mpsc::Sender<T>, request: T) -> Outcome {
    requests.send(request).await.map_err(|_| "the call takes no more requests".to_owned())
}

/// The next response has this size.
async fn next(responses: &mut Streaming<StreamingOutputCallResponse>, wanted: i32) -> Outcome {
    let response = responses.message().await.map_err(said)?.ok_or("the responses end too early")?;
    size(response.payload.map(|payload| payload.body.len()), wanted)
}

async fn end(responses: &mut Streaming<StreamingOutputCallResponse>) -> Outcome {
    equal(responses.message().await.map_err(said)?.is_none(), true)
}

fn size(found: Option<usize>, wanted: i32) -> Outcome {
    equal(found.and_then(|size| i32::try_from(size).ok()), Some(wanted))
}

fn compressed(extensions: &http::Extensions, wanted: bool) -> Outcome {
    let seen = extensions.get::<Seen>().ok_or("nothing was seen of the messages")?;
    equal(seen.next(), Some(wanted)).map_err(|error| format!("compressed: {error}"))
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{wanted:?} was expected, and {found:?} came")) }
}

/// The status with which a call failed, which has this code.
fn refused<T>(result: Result<T, Status>, code: Code) -> Result<Status, String> {
    match result {
        Err(status) if status.code() == code => Ok(status),
        Err(status) => Err(format!("{code:?} was expected, and {} came", said(status))),
        Ok(_) => Err(format!("{code:?} was expected, and there was no error")),
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

/// A channel whose messages are compressed one by one.
#[derive(Debug, Clone)]
struct Compressing(Channel);

impl Service<http::Request<Body>> for Compressing {
    type Response = http::Response<Body>;
    type Error = <Channel as Service<http::Request<Body>>>::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let body = messages::outgoing(&mut head.headers, &mut head.extensions, body);
        let response = self.0.call(http::Request::from_parts(head, body));
        async move {
            let (mut head, body) = response.await?.into_parts();
            let body = messages::incoming(&mut head.headers, &mut head.extensions, body);
            Ok(http::Response::from_parts(head, body))
        }
        .boxed()
    }
}
