//! One stream from the daemon, and how it ends.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use evercert_api::v1;
#[cfg(feature = "directory")]
use evercert_api::v1::agent_client::AgentClient;
use evercert_core::digest::Digest;
use evercert_core::text;
use futures_util::{Stream, StreamExt as _};
use http::uri::PathAndQuery;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::client::Grpc;
#[cfg(feature = "directory")]
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::aside::{AsideCodec, Diverting};
use super::socket::{self, Socket, SocketError};

/// The time the daemon may take to its first message on a stream.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message accepted, in bytes. The daemon reads 1 MiB of each file; a chain, a bundle with what left it, federated bundles
/// and CRLs are together as many files as somebody may reasonably configure.
pub const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// The SDK's name and version.
const SDK_VERSION: &str = concat!("evercert/", env!("CARGO_PKG_VERSION"));

/// The method of the daemon that follows an identity.
const WATCH: &str = "/evercert.v1.Agent/Watch";

/// A client on a connection of its own to the daemon, whose socket's owner was checked.
#[cfg(feature = "directory")]
pub(super) async fn connect(socket: &Socket) -> Result<AgentClient<Channel>, Ended> {
    let channel = socket::channel(socket.connect().await?).await?;
    Ok(AgentClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

/// Opens the stream of an identity whose key is not asked for; `answers` are the reports to send on it, of which the latest wins: a
/// daemon that does not read them is not waited for.
#[cfg(feature = "directory")]
pub(super) async fn open_without_key(
    client: &mut AgentClient<Channel>,
    identity: &str,
    held: Option<Digest>,
    pod_uid: Option<&str>,
    answers: watch::Receiver<Option<v1::Report>>,
) -> Result<Streaming<v1::WatchResponse>, Ended> {
    let open =
        v1::Open { pod_uid: pod_uid.unwrap_or_default().to_owned(), ..open(identity, v1::Deliver::Digest, held) };
    Ok(client.watch(requests(open, answers)).await?.into_inner())
}

/// As [`open_without_key`], of an identity whose key is delivered: on a connection of its own, so that the key gets into no buffer that is
/// not wiped.
pub(super) async fn open_with_key(
    socket: &Socket,
    identity: &str,
    held: Option<Digest>,
    answers: watch::Receiver<Option<v1::Report>>,
) -> Result<Streaming<v1::WatchResponse>, Ended> {
    let (io, aside) = Diverting::new(socket.connect().await?);
    let mut grpc = Grpc::new(socket::channel(io).await?).max_decoding_message_size(MESSAGE_LIMIT);
    grpc.ready().await?;
    let requests = requests(open(identity, v1::Deliver::Full, held), answers);
    let path = PathAndQuery::from_static(WATCH);
    Ok(grpc.streaming(Request::new(requests), path, AsideCodec::new(aside)).await?.into_inner())
}

fn open(identity: &str, deliver: v1::Deliver, held: Option<Digest>) -> v1::Open {
    v1::Open {
        identity: identity.to_owned(),
        deliver: deliver.into(),
        held_digest: held.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
        sdk_version: SDK_VERSION.to_owned(),
        pod_uid: String::new(),
    }
}

fn requests(
    open: v1::Open,
    answers: watch::Receiver<Option<v1::Report>>,
) -> impl Stream<Item = v1::WatchRequest> + Send + 'static {
    let open = v1::watch_request::Message::Open(open);
    let reports = WatchStream::from_changes(answers)
        .filter_map(|report| async move { report.map(v1::watch_request::Message::Report) });
    let messages = futures_util::stream::iter([open]).chain(reports);
    Box::pin(messages.map(|message| v1::WatchRequest { message: Some(message) }))
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

/// The root cause of an error: tonic and hyper say little above it ("transport error").
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
