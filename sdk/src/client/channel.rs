//! The tower service that generated clients call.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use super::body::ResponseBody;
use super::error::ChannelError;
use super::link::{ChannelState, Link};
use crate::identity::Identity;

/// How often a request that was never sent is sent again: each time the connection it was queued on closed before its turn.
const RESENDS: usize = 5;

/// A connection to one endpoint that moves to every new generation of its identity. Clones share the connection; the last
/// one to go, and the calls that still run, end it and its task.
///
/// It is always ready: a call that finds no connection waits for one while it is being made, and fails with `UNAVAILABLE` and
/// the cause once an attempt has failed, until one succeeds ([`Endpoint::wait_for_ready`](super::Endpoint::wait_for_ready)
/// waits on). A request that the connection never took, for the server was closing it, is sent on the next one.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    task: OnceLock<Stop>,
    /// Rotations go on while the channel lives.
    _identity: Identity,
}

/// Ends the task when it is dropped.
struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Channel {
    pub(super) fn new(link: Arc<Link>, identity: Identity) -> Self {
        Self { shared: Arc::new(Shared { link, task: OnceLock::new(), _identity: identity }) }
    }

    /// The state: which generation new calls use, and why the newest is not used where it is not. The receiver does not keep
    /// the channel alive.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ChannelState> {
        self.shared.link.state()
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    ///
    /// The attempt failed.
    pub(super) async fn connected(&self) -> Result<(), ChannelError> {
        self.start();
        self.shared.link.connected(false).await.map(drop)
    }

    fn start(&self) {
        self.shared.task.get_or_init(|| {
            let stop = CancellationToken::new();
            let link = Arc::clone(&self.shared.link);
            tokio::spawn(stop.clone().run_until_cancelled_owned(async move { link.keep_connected().await }));
            Stop(stop)
        });
    }

    /// The response to a request that a connection has in its queue.
    async fn response(self, sent: impl Future<Output = Sent>) -> Result<Response<Body>, ChannelError> {
        let unsent = match sent.await {
            Ok(response) => return Ok(answer(response)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => unsent,
                None => return Err(error.into_error().into()),
            },
        };
        // Boxed: it is rare, and would more than double the size of every call's future.
        Box::pin(self.send_on_next(unsent)).await
    }

    /// Sends a request that no connection has taken yet on the next one that there is.
    async fn send_on_next(self, mut request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        self.start();
        let link = &self.shared.link;
        let mut resends = RESENDS;
        loop {
            let connection = link.connected(link.connector().settings().wait_for_ready).await?;
            let sent = connection.send(request);
            // A handle of its own would keep a superseded connection open.
            drop(connection);
            match sent.await {
                Ok(response) => return Ok(answer(response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if resends > 0 => {
                        resends -= 1;
                        request = unsent;
                    }
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<Body>>>;

fn answer(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| Body::new(ResponseBody::new(body)))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = ResponseFuture;

    /// Always ready: generated clients turn an error here into `UNKNOWN`, whatever it says.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let link = Arc::clone(&self.shared.link);
        let deadline = link.connector().settings().request.apply(&mut request);
        let channel = self.clone();
        match (link.open(), deadline) {
            (Some(connection), None) => {
                let sent = connection.send(request);
                ResponseFuture(Box::pin(channel.response(sent)))
            }
            (Some(connection), Some(limit)) => {
                let sent = connection.send(request);
                ResponseFuture(Box::pin(in_time(limit, link, channel.response(sent))))
            }
            (None, None) => ResponseFuture(Box::pin(channel.send_on_next(request))),
            (None, Some(limit)) => ResponseFuture(Box::pin(in_time(limit, link, channel.send_on_next(request)))),
        }
    }
}

async fn in_time(
    limit: Duration,
    link: Arc<Link>,
    response: impl Future<Output = Result<Response<Body>, ChannelError>>,
) -> Result<Response<Body>, ChannelError> {
    let response = tokio::time::timeout(limit, response).await;
    response.unwrap_or_else(|_| Err(ChannelError::deadline_exceeded(limit, link.why_not_connected().as_deref())))
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("endpoint", &self.shared.link.connector().endpoint())
            .field("state", &*self.shared.link.state().borrow())
            .finish()
    }
}

/// The response to a call; dropped before it came, it cancels the call.
#[must_use = "dropping the response cancels the call"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>);

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, ChannelError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
