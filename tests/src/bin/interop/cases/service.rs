//! Our side as a server: the official test service, over the SDK.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use evercert::server::{DrainPolicy, Superseded};
use evercert::{ClientCertificates, Identity, Server};
use evercert_tests::testing::test_service_server::{TestService, TestServiceServer};
use evercert_tests::testing::{
    BoolValue, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::messages::{self, Compress, Seen};

/// The metadata that is sent back as headers, and as trailers.
pub(crate) const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
pub(crate) const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
/// The span over which superseded connections are drained.
const DRAIN_OVER: Duration = Duration::from_millis(200);

/// Serves until the runtime ends.
pub(crate) async fn serve(identity: &Identity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let policy = DrainPolicy::default().superseded(Superseded::Drain { over: DRAIN_OVER });
    let server = Server::new(identity).client_certificates(ClientCertificates::Required).drain_policy(policy);
    let routes = Routes::new(Echo(TestServiceServer::new(Tester)));
    tokio::spawn(server.serve(routes, listener, std::future::pending()));
    address
}

pub(crate) fn payload(size: i32) -> Result<Payload, Status> {
    let size = usize::try_from(size).map_err(|_| Status::invalid_argument(format!("{size} is not a size")))?;
    Ok(Payload { body: vec![0; size], ..Payload::default() })
}

/// Refuses a message that is compressed where it is expected not to be, and the other way round.
fn check(expected: Option<BoolValue>, seen: &Seen) -> Result<(), Status> {
    match (expected, seen.next()) {
        (Some(expected), seen) if seen != Some(expected.value) => {
            Err(Status::invalid_argument(format!("compressed is expected to be {}, not {seen:?}", expected.value)))
        }
        _ => Ok(()),
    }
}

fn asked_for(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(status) if status.code != 0 => Err(Status::new(status.code.into(), status.message)),
        _ => Ok(()),
    }
}

fn compressed(value: Option<BoolValue>) -> bool {
    value.is_some_and(|value| value.value)
}

type Replies = ReceiverStream<Result<StreamingOutputCallResponse, Status>>;

/// Sends what is asked for; false once nobody takes it.
async fn reply(
    asked: Vec<ResponseParameters>,
    replies: &mpsc::Sender<Result<StreamingOutputCallResponse, Status>>,
) -> bool {
    for parameters in asked {
        tokio::time::sleep(Duration::from_micros(parameters.interval_us.try_into().unwrap_or(0))).await;
        let reply = payload(parameters.size).map(|payload| StreamingOutputCallResponse { payload: Some(payload) });
        if replies.send(reply).await.is_err() {
            return false;
        }
    }
    true
}

#[derive(Debug, Clone, Copy)]
struct Tester;

#[tonic::async_trait]
impl TestService for Tester {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        check(request.expect_compressed, extensions.get().unwrap())?;
        asked_for(request.response_status)?;
        let mut response = Response::new(SimpleResponse { payload: Some(payload(request.response_size)?) });
        if compressed(request.response_compressed) {
            response.extensions_mut().insert(Compress(vec![true]));
        }
        Ok(response)
    }

    type StreamingOutputCallStream = Replies;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Replies>, Status> {
        let asked = request.into_inner().response_parameters;
        let which: Vec<_> = asked.iter().map(|parameters| compressed(parameters.compressed)).collect();
        let (replies, taken) = mpsc::channel(1);
        tokio::spawn(async move { reply(asked, &replies).await });
        let mut response = Response::new(ReceiverStream::new(taken));
        if which.contains(&true) {
            response.extensions_mut().insert(Compress(which));
        }
        Ok(response)
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let (_, extensions, mut requests) = request.into_parts();
        let mut size = 0;
        while let Some(request) = requests.message().await? {
            check(request.expect_compressed, extensions.get().unwrap())?;
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: size.try_into().unwrap() }))
    }

    type FullDuplexCallStream = Replies;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let mut requests = request.into_inner();
        let (replies, taken) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let request = match requests.message().await {
                    Ok(Some(request)) => request,
                    Ok(None) | Err(_) => return,
                };
                if let Err(status) = asked_for(request.response_status) {
                    _ = replies.send(Err(status)).await;
                    return;
                }
                if !reply(request.response_parameters, &replies).await {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(taken)))
    }
}

/// What the cases ask of a server beside the methods: metadata that comes back, and messages that are compressed one by one.
#[derive(Debug, Clone)]
struct Echo<S>(S);

impl<S: NamedService> NamedService for Echo<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Echo<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let initial = head.headers.get(ECHO_INITIAL).cloned();
        let trailing = head.headers.get(ECHO_TRAILING).cloned();
        let body = messages::incoming(&mut head.headers, &mut head.extensions, body);
        let response = self.0.call(http::Request::from_parts(head, body));
        Box::pin(async move {
            let (mut head, body) = response.await?.into_parts();
            if let Some(initial) = initial {
                head.headers.insert(ECHO_INITIAL, initial);
            }
            let body = messages::outgoing(&mut head.headers, &mut head.extensions, body);
            let body = match trailing {
                Some(trailing) => with_trailer(body, HeaderName::from_static(ECHO_TRAILING), trailing),
                None => body,
            };
            Ok(http::Response::from_parts(head, body))
        })
    }
}

fn with_trailer(body: Body, name: HeaderName, value: HeaderValue) -> Body {
    Body::new(body.map_frame(move |mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            trailers.insert(name.clone(), value.clone());
        }
        frame
    }))
}
