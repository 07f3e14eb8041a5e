//! The daemon as the commands reach it: its admin socket.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use evercert_api::v1::admin_client::AdminClient;
use evercert_core::text::plain;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::runtime::NoRuntime;
use crate::serve::ADMIN_RESPONSE_LIMIT;

/// How long connecting may take, and how long a status.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How often a daemon that says nothing is asked whether it is still there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(10);

/// Which daemon.
#[derive(Debug, clap::Args)]
pub(super) struct AdminSocket {
    /// The admin socket, `admin` under [sockets] of the configuration
    #[arg(long = "socket", value_name = "PATH", default_value = "/run/evercert-admin/admin.sock")]
    pub(super) path: PathBuf,
}

impl AdminSocket {
    /// A client of the daemon that listens there.
    ///
    /// # Errors
    ///
    /// Nobody listens, or not for this user.
    pub(super) async fn connect(&self) -> Result<AdminClient<Channel>, Unreachable> {
        // Connected before the channel is: the channel's own error would not tell why.
        let connecting = tokio::time::timeout(DEADLINE, UnixStream::connect(&self.path)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let mut stream = Some(stream.map_err(|error| Unreachable::of(&self.path, error))?);
        let connector = tower::service_fn(move |_: http::Uri| {
            let stream = stream.take().map(TokioIo::new);
            async { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let endpoint = Endpoint::from_static("http://localhost")
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|_| Unreachable::Closed(self.path.clone()))?;
        Ok(AdminClient::new(channel).max_decoding_message_size(ADMIN_RESPONSE_LIMIT))
    }

    /// Why a request came to nothing: there was no answer, or this one.
    pub(super) fn unanswered(&self, status: &tonic::Status) -> Unreachable {
        match status.code() {
            // tonic's client says CANCELLED when the time is up.
            Code::Cancelled | Code::DeadlineExceeded => Unreachable::Silent(self.path.clone()),
            // An answer of the daemon has no source; what became of the connection is one.
            _ if status.source().is_some() => Unreachable::Closed(self.path.clone()),
            code => Unreachable::Answer(format!("{} ({code})", status.message())),
        }
    }
}

/// Where it is told what is the matter with a daemon.
const WHERE_TO_LOOK: &str = "`systemctl status evercertd` says whether it is up, `journalctl -u evercertd` why not, and `evercertd config --check` \
                             whether its configuration is refused";

/// The exit status where there is no daemon to talk to.
const UNREACHABLE: u8 = 2;

/// No daemon to talk to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// No socket.
    #[error("{} is not there: is evercertd running? {WHERE_TO_LOOK}; --socket names another path", .0.display())]
    Missing(PathBuf),
    /// Nobody behind the socket.
    #[error("nobody listens on {}: is evercertd running? {WHERE_TO_LOOK}", .0.display())]
    Refused(PathBuf),
    /// A socket that the service manager holds, and no daemon that takes the connection; or one that hangs.
    #[error(
        "{} is there, but evercertd did not answer within {} s: it does not start, or hangs. {WHERE_TO_LOOK}", .0.display(), DEADLINE.as_secs()
    )]
    Silent(PathBuf),
    /// The connection ended before there was an answer.
    #[error("{} was closed before evercertd answered: it does not start, or has just ended. {WHERE_TO_LOOK}", .0.display())]
    Closed(PathBuf),
    /// Not for this user.
    #[error("this user may not connect to {}: run it as root, or as a member of the group the socket belongs to", .0.display())]
    NotPermitted(PathBuf),
    /// Anything else.
    #[error("cannot connect to {}: {source}", path.display())]
    Other { path: PathBuf, source: io::Error },
    /// Nothing can be waited for.
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
    /// The daemon answered with an error.
    #[error("evercertd answered with an error: {0}")]
    Answer(String),
}

impl Unreachable {
    /// Tells the operator.
    pub(super) fn reported(&self) -> ExitCode {
        eprintln!("evercertd: {}", plain(&self.to_string()));
        ExitCode::from(UNREACHABLE)
    }

    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::ConnectionRefused => Self::Refused(path),
            io::ErrorKind::PermissionDenied => Self::NotPermitted(path),
            io::ErrorKind::TimedOut => Self::Silent(path),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Self::Closed(path)
            }
            _ => Self::Other { path, source },
        }
    }
}
