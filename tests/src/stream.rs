//! One stream that never ends by itself, to see what ends it.

use std::time::{Duration, SystemTime};

use evercert_examples::v1::greeter_client::GreeterClient;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::load::keep_greeting;
use evercert_fixtures::wait::DEADLINE;

/// The pause between two replies.
const PAUSE: Duration = Duration::from_millis(10);

/// A stream that has replied, and is read on.
#[derive(Debug)]
pub struct LiveStream(JoinHandle<Ended>);

/// When a stream ended.
#[derive(Debug)]
pub struct Ended {
    /// When its end was seen.
    pub at: SystemTime,
    /// Its final status; absent where the server ended it as if it were complete.
    pub status: Option<Status>,
}

impl LiveStream {
    /// Opens one on this channel.
    pub async fn open<C>(channel: C) -> Self
    where
        C: Service<http::Request<Body>, Response = http::Response<Body>, Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let mut client = GreeterClient::new(channel);
        let mut replies = client.keep_greeting(keep_greeting(0, PAUSE)).await.unwrap().into_inner();
        replies.message().await.unwrap();
        Self(tokio::spawn(async move {
            // The channel lives on: a connection whose last handle went would end for another reason.
            let _client = client;
            let status = loop {
                match replies.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(status) => break Some(status),
                }
            };
            Ended { at: SystemTime::now(), status }
        }))
    }

    /// Whether it still goes on.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.0.is_finished()
    }

    /// Waits until it has ended; `None` if it does not within [`DEADLINE`].
    pub async fn ended(self) -> Option<Ended> {
        timeout(DEADLINE, self.0).await.ok().map(Result::unwrap)
    }

    /// Ends it from this side.
    pub async fn cancel(self) {
        self.0.abort();
        _ = self.0.await;
    }
}
