//! The test service of `grpc.testing`, as far as it is called here.

use std::pin::Pin;

use evercert_tests::testing::test_service_server::TestService;
use evercert_tests::testing::{
    Empty, Payload, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Answers with payloads of the sizes that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payloads;

type Replies = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

/// A payload of this many bytes.
pub(super) fn payload(size: i32) -> Option<Payload> {
    let body = vec![0; usize::try_from(size).unwrap_or_default()];
    Some(Payload { body, ..Payload::default() })
}

#[tonic::async_trait]
impl TestService for Payloads {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        Ok(Response::new(SimpleResponse { payload: payload(request.into_inner().response_size) }))
    }

    type StreamingOutputCallStream = Replies;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Replies>, Status> {
        let asked = request.into_inner().response_parameters;
        let replies = asked.into_iter().map(|asked| Ok(StreamingOutputCallResponse { payload: payload(asked.size) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(replies))))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut requests = request.into_inner();
        let mut size = 0;
        while let Some(request) = requests.message().await? {
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        let aggregated_payload_size = i32::try_from(size).unwrap_or(i32::MAX);
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size }))
    }

    type FullDuplexCallStream = Replies;

    async fn full_duplex_call(
        &self,
        _: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Replies>, Status> {
        Err(Status::unimplemented("nobody calls it here"))
    }
}
