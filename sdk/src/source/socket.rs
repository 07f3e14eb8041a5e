//! The connection to the daemon, and whether it is the daemon's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::settings::{DEFAULT_SOCKET, SettingsError, env};

/// The time connecting to the socket may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which the connection is probed (RFC 9113 §6.7).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The time the answer to a probe may take until the daemon counts as stopped.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The uid shown for one without a name in this user namespace (`/proc/sys/kernel/overflowuid`).
const OVERFLOW_UID: u32 = 65534;

/// The socket the daemon listens on, and who may listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    /// A uid that may serve it, besides root and this process's own.
    pub(super) owner: Option<u32>,
}

impl Default for Socket {
    fn default() -> Self {
        Self { path: DEFAULT_SOCKET.into(), owner: None }
    }
}

impl Socket {
    /// # Errors
    ///
    /// The path is relative.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.path.is_absolute() { Ok(()) } else { Err(SettingsError::RelativeSocket(self.path.clone())) }
    }

    /// Connects, and checks who serves the socket.
    pub(super) async fn connect(&self) -> Result<UnixStream, SocketError> {
        let path = &self.path;
        let stream = timeout(CONNECT_TIMEOUT, UnixStream::connect(path))
            .await
            .map_err(|_| SocketError::Timeout(path.clone()))?
            .map_err(|source| SocketError::connect(path, source))?;
        let found =
            stream.peer_cred().map_err(|source| SocketError::PeerUnknown { socket: path.clone(), source })?.uid();
        let own = rustix::process::geteuid().as_raw();
        if found == 0 || found == own || self.owner == Some(found) {
            Ok(stream)
        } else {
            Err(SocketError::Owner { socket: path.clone(), found, own })
        }
    }
}

/// A channel over `stream` and nothing else: it never reconnects, since every new connection has to be checked.
pub(super) async fn channel<IO>(stream: IO) -> Result<Channel, tonic::transport::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    // The URI is only an authority to send; `.invalid` (RFC 6761) names no host.
    Endpoint::from_static("http://evercertd.invalid")
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let stream = stream.lock().take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        }))
        .await
}

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("there is no socket at {0}: is evercertd running, and is the socket's directory mounted here?")]
    Missing(PathBuf),
    #[error("nobody listens on {0}: is evercertd running?")]
    NobodyListens(PathBuf),
    #[error(
        "this process (uid {own}) may not connect to {socket}, though everybody may connect to the socket evercertd makes: a directory \
         on the way to it keeps this process out (`namei -l {socket}` shows which; its search permission, x, is missing), or a Linux \
         security module does, such as SELinux or AppArmor",
        own = rustix::process::geteuid().as_raw()
    )]
    Forbidden { socket: PathBuf },
    #[error("{socket} cannot be connected to: {source}")]
    Connect { socket: PathBuf, source: io::Error },
    #[error("{0} did not accept a connection within {CONNECT_TIMEOUT:?}")]
    Timeout(PathBuf),
    #[error("the kernel does not tell who serves {socket}: {source}")]
    PeerUnknown { socket: PathBuf, source: io::Error },
    #[error(
        "{socket} is served by uid {found}, which is neither root nor this process's uid {own}: set {owner}={found} if that \
         uid runs evercertd{hint}",
        owner = env::SOCKET_OWNER,
        hint = overflow_hint(*found)
    )]
    Owner { socket: PathBuf, found: u32, own: u32 },
}

impl SocketError {
    fn connect(path: &Path, source: io::Error) -> Self {
        let socket = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(socket),
            io::ErrorKind::ConnectionRefused => Self::NobodyListens(socket),
            io::ErrorKind::PermissionDenied => Self::Forbidden { socket },
            _ => Self::Connect { socket, source },
        }
    }
}

fn overflow_hint(found: u32) -> &'static str {
    if found == OVERFLOW_UID {
        " (a user namespace shows every uid from outside it, root's too, as 65534: accepting it accepts them all)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_owner_is_refused_with_socket_uid_and_what_to_set() {
        let error = SocketError::Owner { socket: "/run/a.sock".into(), found: 1001, own: 1000 }.to_string();
        assert_eq!(
            error,
            "/run/a.sock is served by uid 1001, which is neither root nor this process's uid 1000: set \
             EVERCERT_SOCKET_OWNER=1001 if that uid runs evercertd"
        );
        let error = SocketError::Owner { socket: "/run/a.sock".into(), found: OVERFLOW_UID, own: 1000 }.to_string();
        assert!(error.contains("user namespace"), "{error}");
    }
}
