//! Calls without a pause, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Request, Status};
use tower::{BoxError, Service};

use crate::service::DELAY;
use evercert_fixtures::wait;

/// How long a loop rests after a failure: a broken connection must not fill the memory with failures.
const REST: Duration = Duration::from_millis(10);

/// The load at a time.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Loops of unary calls.
    pub workers: usize,
    /// Loops of streams.
    pub streams: usize,
    /// How many replies each stream has to bring before it ends; 0: it never ends.
    pub replies: u32,
    /// The pause between two of them, in whole milliseconds.
    pub pause: Duration,
    /// Loops of unary calls that are answered late.
    pub slow: usize,
    /// How late.
    pub slow_for: Duration,
}

impl Default for Shape {
    /// Four loops of unary calls, and one stream that never ends, with a reply every 10 ms.
    fn default() -> Self {
        Self {
            workers: 4,
            streams: 1,
            replies: 0,
            pause: Duration::from_millis(10),
            slow: 0,
            slow_for: Duration::from_secs(5),
        }
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    loops: JoinSet<Vec<Status>>,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    calls: AtomicU64,
    slow: AtomicU64,
    streams: AtomicU64,
    replies: AtomicU64,
}

/// The outcome of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Unary calls that were answered at once, or failed.
    pub calls: u64,
    /// Unary calls that were answered late, or failed.
    pub slow: u64,
    /// Streams that brought all their replies, or failed.
    pub streams: u64,
    /// Replies of all streams.
    pub replies: u64,
    /// Failures of calls and streams alike.
    pub failed: Vec<Status>,
}

/// A status in one line, without the sources that its message repeats.
#[must_use]
pub fn said(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Load {
    /// Starts it on this channel.
    #[must_use]
    pub fn start<C>(channel: &C, shape: Shape) -> Self
    where
        C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        let mut load = Self { counts: Arc::default(), loops: JoinSet::new() };
        load.add(channel, shape);
        load
    }

    /// Adds as much on this channel.
    pub fn add<C>(&mut self, channel: &C, shape: Shape)
    where
        C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        let client = || (GreeterClient::new(channel.clone()), Arc::clone(&self.counts));
        for _ in 0..shape.workers {
            let (client, counts) = client();
            self.loops.spawn(async move { call(client, &counts, &counts.calls, None).await });
        }
        for _ in 0..shape.slow {
            let (client, counts) = client();
            self.loops.spawn(async move { call(client, &counts, &counts.slow, Some(shape.slow_for)).await });
        }
        for _ in 0..shape.streams {
            let (client, counts) = client();
            let keep_greeting = keep_greeting(shape.replies, shape.pause);
            self.loops.spawn(async move { stream(client, &counts, &keep_greeting).await });
        }
    }

    /// How many unary calls have ended so far.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// Waits until as many unary calls more have ended.
    pub async fn calls(&self, more: u64) {
        let goal = self.ended() + more;
        wait::until("the load goes on", || async { (self.ended() >= goal).then_some(()) }).await;
    }

    /// Waits until as many streams more have ended.
    pub async fn streams(&self, more: u64) {
        let ended = || self.counts.streams.load(Ordering::Relaxed);
        let goal = ended() + more;
        wait::until("the streams go on", || async { (ended() >= goal).then_some(()) }).await;
    }

    /// Lets the calls that run finish, breaks the streams off, and says what became of all.
    pub async fn stop(self) -> Outcome {
        self.counts.stop.store(true, Ordering::Relaxed);
        let failed = self.loops.join_all().await.into_iter().flatten().collect();
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { calls, slow, streams, replies, .. } = &*self.counts;
        Outcome { calls: of(calls), slow: of(slow), streams: of(streams), replies: of(replies), failed }
    }
}

/// A stream of so many replies, with this pause between them; 0: it never ends.
pub(crate) fn keep_greeting(count: u32, pause: Duration) -> KeepGreetingRequest {
    KeepGreetingRequest { name: "load".to_owned(), count, interval_ms: pause.as_millis() as u32 }
}

impl Counts {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

async fn call<C>(
    mut client: GreeterClient<C>,
    counts: &Counts,
    count: &AtomicU64,
    delay: Option<Duration>,
) -> Vec<Status>
where
    C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>,
{
    let mut failed = Vec::new();
    while !counts.stopped() {
        let mut request = Request::new(HelloRequest { name: "load".to_owned() });
        if let Some(delay) = delay {
            request.metadata_mut().insert(DELAY, delay.as_millis().to_string().parse().unwrap());
        }
        if let Err(status) = client.say_hello(request).await {
            failed.push(status);
            tokio::time::sleep(REST).await;
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

async fn stream<C>(mut client: GreeterClient<C>, counts: &Counts, request: &KeepGreetingRequest) -> Vec<Status>
where
    C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>,
{
    let mut failed = Vec::new();
    while !counts.stopped() {
        if let Err(status) = one_stream(&mut client, counts, request).await {
            failed.push(status);
            tokio::time::sleep(REST).await;
        }
        counts.streams.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

/// Reads a stream to its end, which must not come before its last reply.
async fn one_stream<C>(
    client: &mut GreeterClient<C>,
    counts: &Counts,
    request: &KeepGreetingRequest,
) -> Result<(), Status>
where
    C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>,
{
    let count = request.count;
    let mut replies = client.keep_greeting(request.clone()).await?.into_inner();
    let mut missing = count;
    while !counts.stopped() {
        match replies.message().await? {
            Some(_) => missing = missing.saturating_sub(1),
            None if count == 0 => return Err(Status::data_loss("an endless stream ended")),
            None if missing > 0 => return Err(Status::data_loss(format!("{missing} of {count} replies are missing"))),
            None => return Ok(()),
        }
        counts.replies.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
