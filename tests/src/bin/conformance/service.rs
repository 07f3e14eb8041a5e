//! The service that the suite's own client calls.

use std::time::Duration;

use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::deadline::timeout;
use crate::messages::{add, any, headers, status};
use crate::trailers::Trailers;
use crate::v1::conformance_payload::RequestInfo;
use crate::v1::conformance_service_server::ConformanceService;
use crate::v1::unary_response_definition::Response as Definition;
use crate::v1::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse, ConformancePayload, Error,
    ServerStreamRequest, ServerStreamResponse, StreamResponseDefinition, UnaryRequest, UnaryResponse,
    UnaryResponseDefinition, UnimplementedRequest, UnimplementedResponse,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Conformance;

fn info(metadata: &MetadataMap, requests: Vec<Any>) -> RequestInfo {
    let timeout_ms = timeout(metadata).map(|timeout| timeout.as_millis().try_into().unwrap_or(i64::MAX));
    RequestInfo { request_headers: headers(metadata), timeout_ms, requests }
}

fn metadata(headers: &[crate::v1::Header]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    add(headers, &mut metadata);
    metadata
}

async fn delay(milliseconds: u32) {
    tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
}

/// The one reply, or the error, that a definition asks for.
async fn answer<M>(
    definition: Option<UnaryResponseDefinition>,
    info: RequestInfo,
    reply: impl FnOnce(ConformancePayload) -> M,
) -> Result<Response<M>, Status> {
    let definition = definition.unwrap_or_default();
    delay(definition.response_delay_ms).await;
    let data = match definition.response {
        Some(Definition::Error(mut error)) => {
            error.details.push(any("ConformancePayload.RequestInfo", &info));
            let mut both = metadata(&definition.response_headers);
            add(&definition.response_trailers, &mut both);
            return Err(status(error, both));
        }
        Some(Definition::ResponseData(data)) => data,
        None => Vec::new(),
    };
    let mut response = Response::new(reply(ConformancePayload { data, request_info: Some(info) }));
    add(&definition.response_headers, response.metadata_mut());
    response.extensions_mut().insert(Trailers(metadata(&definition.response_trailers)));
    Ok(response)
}

/// The replies that are still to be sent, as a definition asks for them.
struct Replies<M> {
    definition: StreamResponseDefinition,
    /// The number of those that were sent.
    sent: usize,
    reply: fn(ConformancePayload) -> M,
    to: mpsc::Sender<Result<M, Status>>,
}

impl<M> Replies<M> {
    /// The head of the answer, and what sends the rest.
    fn begin(
        definition: StreamResponseDefinition,
        reply: fn(ConformancePayload) -> M,
    ) -> (Response<ReceiverStream<Result<M, Status>>>, Self) {
        let (to, replies) = mpsc::channel(1);
        let mut response = Response::new(ReceiverStream::new(replies));
        add(&definition.response_headers, response.metadata_mut());
        if definition.error.is_none() {
            response.extensions_mut().insert(Trailers(metadata(&definition.response_trailers)));
        }
        (response, Self { definition, sent: 0, reply, to })
    }

    fn is_done(&self) -> bool {
        self.sent >= self.definition.response_data.len()
    }

    /// Sends the next; false once nobody takes it.
    async fn send(&mut self, request_info: Option<RequestInfo>) -> bool {
        delay(self.definition.response_delay_ms).await;
        let data = std::mem::take(&mut self.definition.response_data[self.sent]);
        self.sent += 1;
        self.to.send(Ok((self.reply)(ConformancePayload { data, request_info }))).await.is_ok()
    }

    /// Sends what is left, and the error if there is one.
    async fn end(mut self, info: RequestInfo) {
        let mut info = Some(info).filter(|_| self.sent == 0);
        while !self.is_done() {
            if !self.send(info.take()).await {
                return;
            }
        }
        if let Some(error) = self.definition.error.take() {
            self.fail(error, info).await;
        }
    }

    async fn fail(self, mut error: Error, info: Option<RequestInfo>) {
        error.details.extend(info.map(|info| any("ConformancePayload.RequestInfo", &info)));
        let trailers = metadata(&self.definition.response_trailers);
        let _ = self.to.send(Err(status(error, trailers))).await;
    }
}

#[tonic::async_trait]
impl ConformanceService for Conformance {
    async fn unary(&self, request: Request<UnaryRequest>) -> Result<Response<UnaryResponse>, Status> {
        let (head, _, request) = request.into_parts();
        let info = info(&head, vec![any("UnaryRequest", &request)]);
        answer(request.response_definition, info, |payload| UnaryResponse { payload: Some(payload) }).await
    }

    type ServerStreamStream = ReceiverStream<Result<ServerStreamResponse, Status>>;

    async fn server_stream(
        &self,
        request: Request<ServerStreamRequest>,
    ) -> Result<Response<Self::ServerStreamStream>, Status> {
        let (head, _, request) = request.into_parts();
        let info = info(&head, vec![any("ServerStreamRequest", &request)]);
        let definition = request.response_definition.unwrap_or_default();
        let (response, replies) = Replies::begin(definition, |payload| ServerStreamResponse { payload: Some(payload) });
        tokio::spawn(replies.end(info));
        Ok(response)
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<ClientStreamRequest>>,
    ) -> Result<Response<ClientStreamResponse>, Status> {
        let (head, _, mut requests) = request.into_parts();
        let (mut seen, mut definition) = (Vec::new(), None);
        while let Some(request) = requests.message().await? {
            seen.push(any("ClientStreamRequest", &request));
            if seen.len() == 1 {
                definition = request.response_definition;
            }
        }
        answer(definition, info(&head, seen), |payload| ClientStreamResponse { payload: Some(payload) }).await
    }

    type BidiStreamStream = ReceiverStream<Result<BidiStreamResponse, Status>>;

    async fn bidi_stream(
        &self,
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<Self::BidiStreamStream>, Status> {
        let (head, _, mut requests) = request.into_parts();
        let first = requests.message().await?.unwrap_or_default();
        let mut seen = vec![any("BidiStreamRequest", &first)];
        let definition = first.response_definition.unwrap_or_default();
        let (response, mut replies) =
            Replies::begin(definition, |payload| BidiStreamResponse { payload: Some(payload) });
        tokio::spawn(async move {
            loop {
                if first.full_duplex {
                    if replies.is_done() {
                        break;
                    }
                    let seen = std::mem::take(&mut seen);
                    let info = if replies.sent == 0 {
                        info(&head, seen)
                    } else {
                        RequestInfo { requests: seen, ..RequestInfo::default() }
                    };
                    if !replies.send(Some(info)).await {
                        return;
                    }
                }
                match requests.message().await {
                    Ok(Some(request)) => seen.push(any("BidiStreamRequest", &request)),
                    Ok(None) => break,
                    Err(status) => return drop(replies.to.send(Err(status)).await),
                }
            }
            replies.end(info(&head, seen)).await;
        });
        Ok(response)
    }

    async fn unimplemented(&self, _: Request<UnimplementedRequest>) -> Result<Response<UnimplementedResponse>, Status> {
        Err(Status::unimplemented("no server has this method"))
    }
}
