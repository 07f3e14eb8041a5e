//! The client under test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evercert::Channel;
use evercert::client::Endpoint;
use prost::Message;
use prost_types::Any;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::messages::{add, error, headers, identity, read, write};
use crate::trailers::{Noting, Seen};
use crate::v1::client_compat_request::Cancel;
use crate::v1::client_compat_request::cancel::CancelTiming;
use crate::v1::client_compat_response::Result as Outcome;
use crate::v1::conformance_service_client::ConformanceServiceClient;
use crate::v1::{
    BidiStreamRequest, BidiStreamResponse, ClientCompatRequest, ClientCompatResponse, ClientErrorResult,
    ClientResponseResult, ClientStreamRequest, ClientStreamResponse, ConformancePayload, ServerStreamRequest,
    ServerStreamResponse, StreamType, UnaryRequest, UnaryResponse, UnimplementedRequest,
};

/// The number of calls at a time.
const PARALLEL: usize = 8;

type Client = ConformanceServiceClient<Noting<Channel>>;

/// Makes the calls that the runner asks for, until there are no more.
pub(crate) async fn run() {
    let (asking, mut asked) = mpsc::channel(1);
    std::thread::spawn(move || {
        while let Some(next) = read::<ClientCompatRequest>(&mut std::io::stdin()) {
            asking.blocking_send(next).unwrap();
        }
    });
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut channels = Channels::default();
    let mut calls = JoinSet::new();
    while let Some(asked) = asked.recv().await {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let channel = channels.to(&asked).await;
        calls.spawn(async move {
            let test_name = asked.test_name.clone();
            let result = match call(asked, channel).await {
                Ok(result) => Outcome::Response(result),
                Err(message) => Outcome::Error(ClientErrorResult { message }),
            };
            write(&ClientCompatResponse { test_name, result: Some(result) });
            drop(place);
        });
    }
    calls.join_all().await;
}

/// One for each server and certificate.
#[derive(Default)]
struct Channels(BTreeMap<(u32, Vec<u8>), (Channel, TempDir)>);

impl Channels {
    async fn to(&mut self, asked: &ClientCompatRequest) -> Channel {
        let own = asked.client_tls_creds.as_ref();
        let key = (asked.port, own.map(|own| own.cert.clone()).unwrap_or_default());
        if let Some((channel, _)) = self.0.get(&key) {
            return channel.clone();
        }
        let directory = tempfile::tempdir().unwrap();
        let identity = identity(directory.path(), own, &asked.server_tls_cert).await;
        let channel = Endpoint::new(format!("https://{}:{}", asked.host, asked.port)).unwrap().connect_lazy(&identity);
        self.0.insert(key, (channel.clone(), directory));
        channel
    }
}

/// When a call is given up.
#[derive(Debug, Clone, Copy)]
enum GiveUp {
    Never,
    BeforeTheEnd,
    AfterTheEnd(Duration),
    AfterReplies(u32),
}

impl GiveUp {
    fn of(cancel: Option<&Cancel>) -> Self {
        let Some(cancel) = cancel else { return Self::Never };
        match cancel.cancel_timing {
            Some(CancelTiming::BeforeCloseSend(())) => Self::BeforeTheEnd,
            Some(CancelTiming::AfterCloseSendMs(milliseconds)) => {
                Self::AfterTheEnd(Duration::from_millis(milliseconds.into()))
            }
            Some(CancelTiming::AfterNumResponses(replies)) => Self::AfterReplies(replies),
            None => Self::AfterTheEnd(Duration::ZERO),
        }
    }
}

/// Makes the call, and tells of it as its caller sees it; an error is one of the runner's.
async fn call(asked: ClientCompatRequest, channel: Channel) -> Result<ClientResponseResult, String> {
    let seen = Seen::default();
    let mut client = Client::new(Noting { inner: channel, seen: seen.clone() });
    if asked.message_receive_limit > 0 {
        client = client.max_decoding_message_size(asked.message_receive_limit as usize);
    }
    let give_up = GiveUp::of(asked.cancel.as_ref());
    let (sent, all_sent) = oneshot::channel();
    let mut payloads = Vec::new();
    let ended = {
        let calling = Calling { client, asked: &asked, give_up, sent, payloads: &mut payloads }.run();
        tokio::select! {
            ended = calling => ended?,
            () = given_up(give_up, all_sent) => Err(cancelled()),
        }
    };
    let (head, tail) = seen.metadata();
    Ok(ClientResponseResult {
        response_headers: headers(&head),
        payloads,
        error: ended.err().map(|status| error(&status)),
        response_trailers: headers(&tail),
        num_unsent_requests: 0,
    })
}

fn cancelled() -> Status {
    Status::cancelled("the caller gave the call up")
}

/// Until a call is to be given up, after all of its requests were sent.
async fn given_up(give_up: GiveUp, all_sent: oneshot::Receiver<()>) {
    let wait = match give_up {
        GiveUp::BeforeTheEnd => Duration::ZERO,
        GiveUp::AfterTheEnd(wait) => wait,
        GiveUp::Never | GiveUp::AfterReplies(_) => std::future::pending().await,
    };
    if all_sent.await.is_err() {
        std::future::pending().await
    }
    tokio::time::sleep(wait).await;
}

struct Calling<'a> {
    client: Client,
    asked: &'a ClientCompatRequest,
    give_up: GiveUp,
    /// Told when the last request is on its way.
    sent: oneshot::Sender<()>,
    payloads: &'a mut Vec<ConformancePayload>,
}

impl Calling<'_> {
    /// Makes the call: the inner error is its status.
    async fn run(mut self) -> Result<Result<(), Status>, String> {
        let method = self.asked.method.as_deref().unwrap_or_default();
        Ok(match method {
            "Unary" => self.unary().await,
            "ServerStream" => self.server_stream().await,
            "ClientStream" => self.client_stream().await,
            "BidiStream" if self.asked.stream_type() == StreamType::FullDuplexBidiStream => self.full_duplex().await,
            "BidiStream" => self.half_duplex().await,
            "Unimplemented" => {
                let request = self.request(UnimplementedRequest {});
                self.client.unimplemented(request).await.map(|_| ())
            }
            other => return Err(format!("{other} is no method of gRPC's")),
        })
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        add(&self.asked.request_headers, request.metadata_mut());
        if let Some(milliseconds) = self.asked.timeout_ms {
            request.set_timeout(Duration::from_millis(milliseconds.into()));
        }
        request
    }

    fn only_message<M: Message + Default>(&self) -> Request<M> {
        self.request(message(&self.asked.request_messages[0]))
    }

    async fn unary(mut self) -> Result<(), Status> {
        let request = self.only_message::<UnaryRequest>();
        let _ = self.sent.send(());
        let UnaryResponse { payload } = self.client.unary(request).await?.into_inner();
        self.payloads.push(payload.unwrap_or_default());
        Ok(())
    }

    async fn server_stream(mut self) -> Result<(), Status> {
        let request = self.only_message::<ServerStreamRequest>();
        let _ = self.sent.send(());
        let replies = self.client.server_stream(request).await?.into_inner();
        let mut receiving = Receiving { give_up: self.give_up, payloads: self.payloads };
        receiving.rest(replies, |ServerStreamResponse { payload }| payload).await
    }

    async fn client_stream(mut self) -> Result<(), Status> {
        let (requests, sending) = self.requests::<ClientStreamRequest>();
        let request = self.request(requests);
        let (_, answer) = tokio::join!(sending.all(self.sent), self.client.client_stream(request));
        let ClientStreamResponse { payload } = answer?.into_inner();
        self.payloads.push(payload.unwrap_or_default());
        Ok(())
    }

    async fn half_duplex(mut self) -> Result<(), Status> {
        let (requests, sending) = self.requests::<BidiStreamRequest>();
        let request = self.request(requests);
        let mut receiving = Receiving { give_up: self.give_up, payloads: self.payloads };
        let answering = async {
            let replies = self.client.bidi_stream(request).await?.into_inner();
            receiving.rest(replies, |BidiStreamResponse { payload }| payload).await
        };
        tokio::join!(sending.all(self.sent), answering).1
    }

    async fn full_duplex(mut self) -> Result<(), Status> {
        let (requests, mut sending) = self.requests::<BidiStreamRequest>();
        let request = self.request(requests);
        let mut receiving = Receiving { give_up: self.give_up, payloads: self.payloads };
        let mut more = sending.next().await;
        let mut replies = self.client.bidi_stream(request).await?.into_inner();
        while more {
            match replies.message().await? {
                Some(BidiStreamResponse { payload }) => receiving.take(payload)?,
                None => return Ok(()),
            }
            more = sending.next().await;
        }
        let _held = sending.close(self.sent);
        receiving.rest(replies, |BidiStreamResponse { payload }| payload).await
    }

    /// The stream of the requests, and what sends them.
    fn requests<M: Message + Default>(&self) -> (ReceiverStream<M>, Sending<M>) {
        let (to, requests) = mpsc::channel(1);
        let messages: Vec<M> = self.asked.request_messages.iter().map(message).collect();
        let sending = Sending {
            messages: messages.into_iter(),
            delay: Duration::from_millis(self.asked.request_delay_ms.into()),
            keeps_open: matches!(self.give_up, GiveUp::BeforeTheEnd),
            to,
        };
        (ReceiverStream::new(requests), sending)
    }
}

fn message<M: Message + Default>(any: &Any) -> M {
    M::decode(&any.value[..]).unwrap()
}

/// The requests that are still to be sent.
struct Sending<M> {
    messages: std::vec::IntoIter<M>,
    delay: Duration,
    keeps_open: bool,
    to: mpsc::Sender<M>,
}

impl<M> Sending<M> {
    /// Sends the next; false where there is none, or nobody takes it.
    async fn next(&mut self) -> bool {
        let Some(message) = self.messages.next() else { return false };
        tokio::time::sleep(self.delay).await;
        self.to.send(message).await.is_ok()
    }

    async fn all(mut self, sent: oneshot::Sender<()>) {
        while self.next().await {}
        if let Some(_held) = self.close(sent) {
            std::future::pending().await
        }
    }

    /// Ends the stream of requests, unless the call is to be given up before.
    fn close(self, sent: oneshot::Sender<()>) -> Option<mpsc::Sender<M>> {
        let held = self.keeps_open.then_some(self.to);
        let _ = sent.send(());
        held
    }
}

/// The replies of a stream.
struct Receiving<'a> {
    give_up: GiveUp,
    payloads: &'a mut Vec<ConformancePayload>,
}

impl Receiving<'_> {
    fn take(&mut self, payload: Option<ConformancePayload>) -> Result<(), Status> {
        self.payloads.push(payload.unwrap_or_default());
        match self.give_up {
            GiveUp::AfterReplies(replies) if self.payloads.len() >= replies as usize => Err(cancelled()),
            _ => Ok(()),
        }
    }

    async fn rest<M>(
        &mut self,
        mut replies: Streaming<M>,
        payload: impl Fn(M) -> Option<ConformancePayload>,
    ) -> Result<(), Status> {
        while let Some(reply) = replies.message().await? {
            self.take(payload(reply))?;
        }
        Ok(())
    }
}
