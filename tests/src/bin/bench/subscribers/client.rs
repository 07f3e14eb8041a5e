//! One process of subscribers, each on a connection of its own. It speaks the wire with h2 alone, so that what it costs is the
//! daemon's side as far as possible.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use evercert_api::v1::watch_request::Message as Request;
use evercert_api::v1::watch_response::Message;
use evercert_api::v1::{Deliver, Open, Report, Stage, Update, WatchRequest, WatchResponse, report::Outcome};
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_TYPE, TE};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The hidden first argument with which this program is such a process.
pub(crate) const CLIENT: &str = "subscribers-client";

/// How many of its subscribers are on their way in at a time.
const COMING: usize = 16;
/// How often each comes again, and after what time: the daemon takes some hundred connections of one user a second and closes the others, to
/// which services come again too.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);
/// The prefix of every message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The monotonic clock, which is the same in every process.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// With a socket, the name of an identity and a number: so many subscribers of it. Says when all have the first generation, then when the second one reached
/// each, and ends when its standard input does.
pub(crate) fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let socket = PathBuf::from(args.next().expect("a socket"));
    let identity: Arc<str> = args.next().expect("an identity").into_string().unwrap().into();
    let subscribers = args.next().expect("a number").into_string().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(socket, identity, subscribers));
    ExitCode::SUCCESS
}

async fn serve(socket: PathBuf, identity: Arc<str>, count: usize) {
    let socket: Arc<Path> = socket.into();
    let coming = Arc::new(Semaphore::new(COMING));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (socket, identity, coming) = (Arc::clone(&socket), Arc::clone(&identity), Arc::clone(&coming));
        opening.spawn(async move {
            let _turn = coming.acquire().await.unwrap();
            let mut again = 0..ATTEMPTS;
            loop {
                match Subscriber::come(&socket, &identity).await {
                    Err(_) if again.next().is_some() => tokio::time::sleep(PAUSE).await,
                    came => return came,
                }
            }
        });
    }
    let subscribers: Vec<_> = opening.join_all().await.into_iter().map(Result::unwrap).collect();
    say(&json!("connected"));

    let mut waiting = JoinSet::new();
    for mut subscriber in subscribers {
        waiting.spawn(async move { subscriber.update().await.map(|()| (now(), subscriber)) });
    }
    let rotated = waiting.join_all().await;
    let arrived: Vec<_> = rotated.iter().flatten().map(|(at, _)| at.as_micros() as u64).collect();
    say(&json!({ "failed": count - arrived.len(), "arrived_us": arrived }));
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    _ = closed.await;
}

fn say(line: &Value) {
    println!("{line}");
}

struct Subscriber {
    requests: SendStream<Bytes>,
    responses: RecvStream,
    received: BytesMut,
}

impl Subscriber {
    /// With its first generation.
    async fn come(socket: &Path, identity: &str) -> Result<Self, h2::Error> {
        let mut subscriber = Self::open(socket, identity).await?;
        subscriber.update().await?;
        Ok(subscriber)
    }

    async fn open(socket: &Path, identity: &str) -> Result<Self, h2::Error> {
        let stream = UnixStream::connect(socket).await.expect("somebody listens");
        let (mut client, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        let request = http::Request::post("http://unix.invalid/evercert.v1.Agent/Watch")
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(())
            .unwrap();
        let (response, mut requests) = client.send_request(request, false)?;
        let open = Open { identity: identity.to_owned(), deliver: Deliver::Full.into(), ..Open::default() };
        requests.send_data(framed(Request::Open(open)), false)?;
        Ok(Self { requests, responses: response.await?.into_body(), received: BytesMut::new() })
    }

    /// Waits for the next generation, and says that it is put to use.
    async fn update(&mut self) -> Result<(), h2::Error> {
        loop {
            if let Some(Message::Update(update)) = self.message().await?.message {
                return self.requests.send_data(framed(Request::Report(current(update))), false);
            }
        }
    }

    async fn message(&mut self) -> Result<WatchResponse, h2::Error> {
        loop {
            if let Some(length) = self.received.get(1..PREFIX) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.received.len() >= PREFIX + length {
                    self.received.advance(PREFIX);
                    return Ok(WatchResponse::decode(self.received.split_to(length)).unwrap());
                }
            }
            // A stream that ended here has failed with a status; which one is in the daemon's log.
            let data = self.responses.data().await.unwrap_or(Err(h2::Reason::CANCEL.into()))?;
            self.responses.flow_control().release_capacity(data.len())?;
            self.received.extend_from_slice(&data);
        }
    }
}

fn current(update: Update) -> Report {
    Report {
        epoch: update.epoch,
        generation: update.generation,
        digest: update.digest,
        outcome: Some(Outcome::Stage(Stage::Current.into())),
        not_after: update.not_after,
        ..Report::default()
    }
}

fn framed(message: Request) -> Bytes {
    let request = WatchRequest { message: Some(message) };
    let mut framed = BytesMut::with_capacity(PREFIX + request.encoded_len());
    framed.put_u8(0);
    framed.put_u32(request.encoded_len() as u32);
    request.encode(&mut framed).unwrap();
    framed.freeze()
}
