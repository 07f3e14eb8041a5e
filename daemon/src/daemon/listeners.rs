//! What the daemon listens on: what was handed over, else sockets of its own.

use std::path::Path;

use tokio::net::{TcpListener, UnixListener};
use tracing::info;

use super::StartError;
use crate::config::Config;
use crate::sockets::{Audience, OwnedSocket};
use crate::systemd::Activation;

/// What the daemon listens on.
pub(super) struct Listeners {
    pub(super) agent: UnixListener,
    pub(super) admin: UnixListener,
    pub(super) http: Option<TcpListener>,
    /// Removes the sockets that nobody handed over.
    pub(super) owned: Vec<OwnedSocket>,
}

impl Listeners {
    /// Takes what was handed over, and binds the rest.
    ///
    /// # Errors
    ///
    /// A socket cannot be had.
    pub(super) async fn bind(config: &Config, activation: Activation) -> Result<Self, StartError> {
        let mut owned = Vec::new();
        let mut listener = |name, handed_over: Option<std::os::unix::net::UnixListener>, path, audience| {
            let failed = |source| StartError::Listener { name, source };
            let listener = match handed_over {
                Some(listener) => {
                    let address = listener.local_addr().map_err(failed)?;
                    let path = address.as_pathname().unwrap_or(Path::new(""));
                    info!(path = %path.display(), "the {name} socket was handed over");
                    listener
                }
                None => {
                    let socket = OwnedSocket::bind(path, audience)?;
                    let listener = socket.listener().map_err(failed)?;
                    owned.push(socket);
                    info!(path = %path.display(), "the {name} socket is open");
                    listener
                }
            };
            listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener)).map_err(failed)
        };
        let agent = listener("agent", activation.agent, &config.sockets.agent, Audience::Everybody)?;
        let admin = listener("admin", activation.admin, &config.sockets.admin, Audience::Group)?;
        let http = match (activation.metrics, config.http) {
            (Some(listener), _) => {
                let failed = |source| StartError::Listener { name: "metrics", source };
                listener.set_nonblocking(true).map_err(failed)?;
                Some(TcpListener::from_std(listener).map_err(failed)?)
            }
            (None, Some(address)) => {
                let failed = |source| StartError::Http { address, source };
                Some(TcpListener::bind(address).await.map_err(failed)?)
            }
            (None, None) => None,
        };
        if let Some(address) = http.as_ref().and_then(|listener| listener.local_addr().ok()) {
            info!(%address, "the HTTP socket is open");
        }
        Ok(Self { agent, admin, http, owned })
    }
}
