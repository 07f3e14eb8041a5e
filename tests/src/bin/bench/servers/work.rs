//! What is asked of a server, by a client that is the same for all.

use std::time::{Duration, Instant};

use evercert_fixtures::Issued;
use evercert_tests::testing::test_service_client::TestServiceClient;
use evercert_tests::testing::{
    ResponseParameters, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest,
};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

use super::service::payload;
use super::side::Side;
use crate::stage;

/// The size of a message of a stream, in bytes.
const MESSAGE: i32 = 64 * 1024;

/// How many messages one stream has.
const MESSAGES: usize = 64;

/// How many streams run at once.
const STREAMS: usize = 4;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Unary calls with small messages.
    Calls,
    /// Connections that are made, seen to be served, and closed.
    Handshakes,
    /// Messages that the server sends.
    Download,
    /// Messages that the client sends.
    Upload,
}

/// All of them.
pub(super) const ALL: [Work; 4] = [Work::Calls, Work::Handshakes, Work::Download, Work::Upload];

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Handshakes => "handshakes",
            Self::Download => "download_64_kib",
            Self::Upload => "upload_64_kib",
        }
    }
}

/// The client, and its connections to one server.
pub(super) struct Client {
    channels: Vec<Channel>,
    connector: TlsConnector,
    workers: usize,
}

impl Client {
    /// Connects this often; `workers` make calls at a time.
    pub(super) async fn connect(side: &Side, issued: &Issued, connections: usize, workers: usize) -> Self {
        let mut channels = Vec::with_capacity(connections);
        for _ in 0..connections {
            channels.push(stage::tonics_channel(side.address, issued, &issued.ca_pem).await);
        }
        Self { channels, connector: TlsConnector::from(stage::static_client(issued)), workers }
    }

    /// Has every connection make one call, as one that is used has.
    pub(super) async fn greet(&self) {
        for channel in &self.channels {
            TestServiceClient::new(channel.clone()).unary_call(SimpleRequest::default()).await.unwrap();
        }
    }

    /// Works for so long; gives how often it was done, and how often it failed.
    pub(super) async fn work(&self, work: Work, side: &Side, block: Duration) -> (u64, u64) {
        let workers = match work {
            Work::Calls | Work::Handshakes => self.workers,
            Work::Download | Work::Upload => STREAMS,
        };
        let (start, address) = (Instant::now(), side.address);
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let mut client = TestServiceClient::new(self.channels[worker % self.channels.len()].clone());
            let connector = self.connector.clone();
            tasks.spawn(async move {
                let (mut done, mut failed) = (0, 0);
                while start.elapsed() < block {
                    let outcome = match work {
                        Work::Calls => client.unary_call(SimpleRequest::default()).await.map(|_| 1).ok(),
                        Work::Handshakes => connection(&connector, address).await.map(|()| 1),
                        Work::Download => download(&mut client).await,
                        Work::Upload => upload(&mut client).await,
                    };
                    match outcome {
                        Some(count) => done += count,
                        None => failed += 1,
                    }
                }
                (done, failed)
            });
        }
        tasks.join_all().await.into_iter().fold((0, 0), |(done, failed), (more, lost)| (done + more, failed + lost))
    }
}

/// Makes a connection, and closes it once the server has begun to speak HTTP/2: then it has verified the client.
async fn connection(connector: &TlsConnector, address: std::net::SocketAddr) -> Option<()> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let name = ServerName::try_from(stage::NAME).unwrap();
    let mut stream = connector.connect(name, stream).await.ok()?;
    (stream.read(&mut [0; 64]).await.ok()? > 0).then_some(())
}

async fn download(client: &mut TestServiceClient<Channel>) -> Option<u64> {
    let asked = ResponseParameters { size: MESSAGE, ..ResponseParameters::default() };
    let request = StreamingOutputCallRequest {
        response_parameters: vec![asked; MESSAGES],
        ..StreamingOutputCallRequest::default()
    };
    let mut replies = client.streaming_output_call(request).await.ok()?.into_inner();
    let mut count = 0;
    while replies.message().await.ok()?.is_some() {
        count += 1;
    }
    Some(count)
}

async fn upload(client: &mut TestServiceClient<Channel>) -> Option<u64> {
    let request = || StreamingInputCallRequest { payload: payload(MESSAGE), ..StreamingInputCallRequest::default() };
    let requests = tokio_stream::iter(std::iter::repeat_with(request).take(MESSAGES));
    let reply = client.streaming_input_call(requests).await.ok()?.into_inner();
    (reply.aggregated_payload_size as usize == MESSAGES * MESSAGE as usize).then_some(MESSAGES as u64)
}
