//! The sockets the daemon listens on: those handed over, else its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use evercert_core::finding::{Check, Finding, Severity};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::StartError;
use crate::config::Config;
use crate::host::sockets::{Audience, BACKLOG, OwnedSocket};
use crate::host::systemd::Activation;
use crate::serve::DaemonInfo;

/// How long an address that cannot be had is left alone.
const HTTP_RETRY: Duration = Duration::from_secs(5);

/// The daemon's sockets.
pub(super) struct Listeners {
    pub(super) agent: UnixListener,
    pub(super) admin: UnixListener,
    pub(super) http: Option<Http>,
    /// Removes the sockets that nobody handed over.
    pub(super) owned: Vec<OwnedSocket>,
}

/// Where the HTTP side is served. Certificates do not wait for it.
pub(super) enum Http {
    /// On what was handed over, which may not be what is configured.
    HandedOver { listener: TcpListener, ignored: Option<Finding> },
    /// At an address that is to be had yet.
    At(SocketAddr),
}

impl Http {
    /// The listener, as soon as the address can be had. `info` is told what is wrong with it meanwhile.
    pub(super) async fn listener(self, info: &watch::Sender<DaemonInfo>) -> TcpListener {
        let address = match self {
            Self::HandedOver { listener, ignored } => {
                tell(info, ignored);
                return listener;
            }
            Self::At(address) => address,
        };
        let mut told = String::new();
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tell(info, None);
                    let address = listener.local_addr().unwrap_or(address);
                    info!(%address, "the HTTP socket is open");
                    return listener;
                }
                Err(error) => {
                    let finding = unavailable(address, &error);
                    // Once for each reason, however often it is tried.
                    if told != finding.sentence {
                        told.clone_from(&finding.sentence);
                        tell(info, Some(finding));
                    }
                }
            }
            sleep(HTTP_RETRY).await;
        }
    }
}

fn tell(info: &watch::Sender<DaemonInfo>, finding: Option<Finding>) {
    if let Some(finding) = &finding {
        warn!("{}", finding.sentence);
    }
    info.send_modify(|info| info.findings = finding.into_iter().collect());
}

fn unavailable(address: SocketAddr, error: &io::Error) -> Finding {
    let sentence = format!(
        "metrics, liveness and readiness are not served: cannot listen on {address} ({error}); it is tried again every {} s: free the \
         address, or set `listen` of [http] to another one, or to \"off\"",
        HTTP_RETRY.as_secs()
    );
    Finding::new(Check::HttpUnavailable, Severity::Warn, sentence)
}

fn ignored(configured: SocketAddr, address: SocketAddr) -> Finding {
    let sentence = format!(
        "`listen` of [http] is {configured} and is not used, since the service manager handed over {address}: change ListenStream= of \
         evercertd-metrics.socket, or set `listen` to {address}"
    );
    Finding::new(Check::ListenIgnored, Severity::Warn, sentence)
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
                    // As far as the kernel allows, whatever whoever opened the socket asked for.
                    rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
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
            (Some(listener), configured) => {
                let failed = |source| StartError::Listener { name: "metrics", source };
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = TcpListener::from_std(listener).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                info!(%address, "the HTTP socket is open");
                Some(Http::HandedOver {
                    listener,
                    ignored: configured
                        .filter(|configured| *configured != address)
                        .map(|configured| ignored(configured, address)),
                })
            }
            (None, Some(address)) => Some(Http::At(address)),
            (None, None) => None,
        };
        Ok(Self { agent, admin, http, owned })
    }
}
