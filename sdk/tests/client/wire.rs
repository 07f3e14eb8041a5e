//! A server driven by hand, frame by frame (RFC 9113): it takes, answers, refuses and ends what a test tells it to.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use evercert::Channel;
use evercert::client::{BalancedChannel, ChannelError, Endpoint};
use evercert_fixtures::{Authority, Leaf};
use http::{Request, Response};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::peers::{DEADLINE, SERVER, acceptor};

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const WINDOW: u32 = 1 << 24;
/// `:status: 200` (RFC 7541, static table).
const STATUS_200: u8 = 0x88;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
pub(crate) const LAST: u32 = (1 << 31) - 1;

pub(crate) struct Hand {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Hand {
    pub(crate) async fn start(ca: &Authority) -> (Self, Endpoint) {
        let leaf = Leaf::for_dns(SERVER).ip([127, 0, 0, 1].into());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(format!("https://{}", listener.local_addr().unwrap())).unwrap();
        (Self { listener, acceptor: acceptor(ca, &ca.issue(leaf), &[b"h2"]) }, endpoint)
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Wire {
        self.accept_allowing(1 << 16).await
    }

    /// The next connection, which reads so many bytes of a request.
    pub(crate) async fn accept_reading(&self, window: u32) -> Wire {
        self.accept_with(1 << 16, window).await
    }

    /// The next connection, on which so many calls may run at a time.
    pub(crate) async fn accept_allowing(&self, calls: u32) -> Wire {
        self.accept_with(calls, WINDOW).await
    }

    async fn accept_with(&self, calls: u32, window: u32) -> Wire {
        let accepted = tokio::time::timeout(DEADLINE, self.listener.accept()).await.expect("a connection in time");
        let mut stream = BufReader::new(self.acceptor.accept(accepted.unwrap().0).await.unwrap());
        stream.read_exact(&mut [0; PREFACE]).await.unwrap();
        let mut wire = Wire { stream, open: BTreeMap::new(), resets: VecDeque::new() };
        let setting = |name: u16, value: u32| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings = [setting(MAX_CONCURRENT_STREAMS, calls), setting(INITIAL_WINDOW_SIZE, window)].concat();
        wire.send(SETTINGS, 0, 0, &settings).await;
        wire.send(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()).await;
        wire
    }
}

/// A request, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) stream: u32,
    pub(crate) body: String,
    pub(crate) trailers: bool,
    pub(crate) ended: bool,
}

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<TlsStream<TcpStream>>,
    open: BTreeMap<u32, Received>,
    /// Streams that the client has reset, with its reasons.
    resets: VecDeque<(u32, u32)>,
}

impl Wire {
    /// The next whole request; `None` once the client has closed the connection.
    pub(crate) async fn request(&mut self) -> Option<Received> {
        loop {
            let stream = self.piece().await?;
            if self.open.get(&stream).is_some_and(|request| request.ended) {
                return self.open.remove(&stream);
            }
        }
    }

    /// The request received, once it has brought so much.
    pub(crate) async fn request_with(&mut self, body: &str) -> Received {
        loop {
            let stream = self.piece().await.expect("the connection is open");
            if let Some(request) = self.open.get(&stream).filter(|request| request.body == body) {
                return request.clone();
            }
        }
    }

    /// A request that began, with nothing of its body.
    pub(crate) async fn begun(&mut self) -> Received {
        self.request_with("").await
    }

    /// The next stream that the client resets, and its reason.
    pub(crate) async fn reset_by_client(&mut self) -> (u32, u32) {
        loop {
            if let Some(reset) = self.resets.pop_front() {
                return reset;
            }
            self.piece().await.expect("the connection is open");
        }
    }

    pub(crate) async fn requests(&mut self, count: usize) -> Vec<Received> {
        let mut requests = Vec::new();
        while requests.len() < count {
            requests.push(self.request().await.expect("the connection is open"));
        }
        requests
    }

    /// Answers every request until the client closes the connection; gives their bodies.
    pub(crate) async fn serve(mut self) -> Vec<String> {
        let mut served = Vec::new();
        while let Some(request) = self.request().await {
            self.answer(request.stream).await;
            served.push(request.body);
        }
        served
    }

    pub(crate) async fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_200]).await;
    }

    /// Begins a response, and leaves it open.
    pub(crate) async fn begin_answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS, stream, &[STATUS_200]).await;
    }

    /// A piece of the response.
    pub(crate) async fn go_on(&mut self, stream: u32, body: &str) {
        self.send(DATA, 0, stream, body.as_bytes()).await;
    }

    pub(crate) async fn go_away(&mut self, last: u32, code: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Resets the connection (RST).
    pub(crate) fn abort(self) {
        let (stream, _) = self.stream.into_inner().into_inner();
        stream.set_zero_linger().unwrap();
    }

    /// Ends the connection with no more than TLS asks for.
    pub(crate) async fn close(mut self) {
        _ = self.stream.get_mut().shutdown().await;
    }

    /// Reads until something of a request comes, or its end by the client; gives its stream.
    async fn piece(&mut self) -> Option<u32> {
        loop {
            let mut header = [0; 9];
            let read = tokio::time::timeout(DEADLINE, self.stream.read_exact(&mut header)).await;
            read.expect("a frame in time").ok()?;
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([s0, s1, s2, s3]);
            let ended = flags & END_STREAM != 0;
            match kind {
                HEADERS | DATA => {
                    let request = self.open.entry(stream).or_default();
                    request.trailers |= kind == HEADERS && request.stream != 0;
                    request.stream = stream;
                    request.ended = ended;
                    if kind == DATA {
                        request.body += std::str::from_utf8(&payload).unwrap();
                    }
                    return Some(stream);
                }
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                RST_STREAM => {
                    self.resets.push_back((stream, u32::from_be_bytes(payload.try_into().unwrap())));
                    self.open.remove(&stream);
                    return Some(stream);
                }
                GOAWAY => return None,
                _ => {}
            }
        }
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        // A client that closed meanwhile need not be told.
        _ = self.stream.get_mut().write_all(&frame).await;
        _ = self.stream.get_mut().flush().await;
    }
}

/// A call under way.
pub(crate) type Calling = JoinHandle<Result<Response<Body>, Status>>;

/// Makes a call with this body.
/// A channel of whichever kind.
pub(crate) trait Calls:
    Service<Request<Body>, Response = Response<Body>, Error = ChannelError, Future: Send> + Clone + Send + 'static
{
}

impl Calls for Channel {}
impl Calls for BalancedChannel {}

pub(crate) fn send(channel: &impl Calls, body: impl Into<String>) -> Calling {
    send_body(channel, Body::new(body.into()))
}

pub(crate) fn send_body(channel: &impl Calls, body: Body) -> Calling {
    let mut channel = channel.clone();
    let request = Request::post("/test.v1.Test/Call").body(body).unwrap();
    tokio::spawn(async move { Ok(channel.call(request).await?) })
}

pub(crate) async fn outcome(calling: Calling) -> Result<Response<Body>, Status> {
    tokio::time::timeout(DEADLINE, calling).await.expect("the call ends").unwrap()
}

/// A body that is fed by hand.
struct Fed(mpsc::UnboundedReceiver<Frame<Bytes>>);

pub(crate) fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (feed, fed) = mpsc::unbounded_channel();
    (feed, Body::new(Fed(fed)))
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}
