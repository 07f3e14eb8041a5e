//! The service of `grpc.testing` with a count of the calls that reached its handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::testing::test_service_server::TestService;
use crate::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};

/// The number of messages that a streaming call is answered with, unless it asks to be kept open.
pub const REPLIES: usize = 2;

/// Has a stream of answers go on for as long as the client and its token let it: where there is such metadata.
pub const KEEP_OPEN: &str = "keep-open";

/// Answers everything with nothing. A clone counts with it.
#[derive(Debug, Clone, Default)]
pub struct Counted(Arc<AtomicU64>);

impl Counted {
    /// The calls that have reached a handler.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn reach(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Replies = BoxStream<'static, Result<StreamingOutputCallResponse, Status>>;

fn reply() -> StreamingOutputCallResponse {
    StreamingOutputCallResponse { payload: None }
}

#[tonic::async_trait]
impl TestService for Counted {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.reach();
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        self.reach();
        if request.metadata().contains_key(KEEP_OPEN) {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(SimpleResponse { payload: None }))
    }

    type StreamingOutputCallStream = Replies;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Replies>, Status> {
        self.reach();
        let replies = tokio_stream::iter((0..REPLIES).map(|_| Ok(reply())));
        if request.metadata().contains_key(KEEP_OPEN) {
            return Ok(Response::new(replies.chain(tokio_stream::pending()).boxed()));
        }
        Ok(Response::new(replies.boxed()))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        self.reach();
        let mut requests = request.into_inner();
        let mut count = 0;
        while requests.message().await?.is_some() {
            count += 1;
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: count }))
    }

    type FullDuplexCallStream = Replies;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Replies>, Status> {
        self.reach();
        let replies = request.into_inner().map(|request| request.map(|_| reply()));
        Ok(Response::new(replies.boxed()))
    }
}
