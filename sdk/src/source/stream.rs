//! One stream from the daemon, and how it ends.

use std::error::Error;
use std::fmt::Display;

use evercert_api::v1;
use evercert_api::v1::agent_client::AgentClient;
use evercert_core::digest::Digest;
use evercert_core::text;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::agent::{ANSWER_TIMEOUT, MESSAGE_LIMIT};
use super::socket::{self, Socket, SocketError};

/// What this SDK calls itself.
const SDK_VERSION: &str = concat!("evercert/", env!("CARGO_PKG_VERSION"));

/// A client on a connection of its own to the daemon, whose socket's owner was checked.
pub(super) async fn connect(socket: &Socket) -> Result<AgentClient<Channel>, Ended> {
    let channel = socket::channel(socket.connect().await?).await?;
    Ok(AgentClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

/// Opens the stream; `answers` are the reports to send on it, of which the latest wins: a daemon that does not read them is not
/// waited for.
pub(super) async fn open(
    client: &mut AgentClient<Channel>,
    identity: &str,
    deliver: v1::Deliver,
    held: Option<Digest>,
    answers: watch::Receiver<Option<v1::Report>>,
) -> Result<Streaming<v1::WatchResponse>, Ended> {
    let open = v1::watch_request::Message::Open(v1::Open {
        identity: identity.to_owned(),
        deliver: deliver.into(),
        held_digest: held.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
        sdk_version: SDK_VERSION.to_owned(),
    });
    let reports = WatchStream::from_changes(answers)
        .filter_map(|report| async move { report.map(v1::watch_request::Message::Report) });
    let requests =
        futures_util::stream::iter([open]).chain(reports).map(|message| v1::WatchRequest { message: Some(message) });
    Ok(client.watch(Box::pin(requests)).await?.into_inner())
}

/// Why a stream ended, or never began.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Status(#[from] Status),
    #[error("no answer within {ANSWER_TIMEOUT:?}")]
    Silent,
    #[error("the stream ended")]
    Closed,
}

impl Ended {
    /// Whether the daemon decided: it will decide the same until somebody changes something.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if matches!(status.code(),
            Code::NotFound | Code::PermissionDenied | Code::FailedPrecondition | Code::Unimplemented | Code::InvalidArgument))
    }

    /// Whether there is no daemon, or none that is to be talked to.
    #[cfg(feature = "directory")]
    pub(super) fn is_absence(&self) -> bool {
        use SocketError::{Forbidden, Missing, NobodyListens, Owner};
        matches!(self, Self::Socket(Missing(_) | NobodyListens(_) | Forbidden { .. } | Owner { .. }))
    }

    /// The whole sentence; `origin` is its subject.
    pub(super) fn trouble(&self, origin: &impl Display) -> String {
        let sentence = match self {
            Self::Socket(error) => format!("{origin} cannot be reached: {error}"),
            Self::Transport(error) => format!("{origin} cannot be reached: {}", root(error)),
            Self::Status(status) => match (status.code(), status.source()) {
                (Code::NotFound, _) => format!("{origin} does not know it: {}", status.message()),
                (Code::PermissionDenied, _) => format!("{origin} does not permit it: {}", status.message()),
                (Code::FailedPrecondition, _) => format!("{origin} cannot deliver it: {}", status.message()),
                (_, Some(error)) => format!("{origin} is gone: {}", root(error)),
                (Code::Unavailable, None) => format!("{origin} is unavailable: {}", status.message()),
                (code, None) => format!("{origin} ended the stream: {code}: {}", status.message()),
            },
            Self::Silent => format!("{origin} did not answer within {ANSWER_TIMEOUT:?}"),
            Self::Closed => format!("{origin} ended the stream"),
        };
        text::sentence(&sentence)
    }
}

/// What is at the bottom of an error: tonic and hyper say little above it ("transport error").
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
