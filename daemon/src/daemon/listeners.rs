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
use crate::serve::{DaemonInfo, HttpPart};

/// How long an address that cannot be had is left alone.
const HTTP_RETRY: Duration = Duration::from_secs(5);

/// The daemon's sockets.
pub(super) struct Listeners {
    pub(super) agent: UnixListener,
    pub(super) admin: UnixListener,
    pub(super) http: Option<Http>,
    /// For liveness and readiness alone.
    pub(super) probes: Option<Http>,
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
    /// The listener for `part`, as soon as the address can be had. `info` is told what is wrong with it meanwhile.
    pub(super) async fn listener(self, part: HttpPart, info: &watch::Sender<DaemonInfo>) -> TcpListener {
        let address = match self {
            Self::HandedOver { listener, ignored } => {
                tell(info, part, ignored);
                return listener;
            }
            Self::At(address) => address,
        };
        let mut told = String::new();
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tell(info, part, None);
                    let address = listener.local_addr().unwrap_or(address);
                    match part {
                        HttpPart::Probes => info!(%address, "the HTTP socket for probes is open"),
                        HttpPart::Listen | HttpPart::Certificate => info!(%address, "the HTTP socket is open"),
                    }
                    return listener;
                }
                Err(error) => {
                    let finding = unavailable(part, address, &error);
                    // Once for each reason, however often it is tried.
                    if told != finding.sentence {
                        told.clone_from(&finding.sentence);
                        tell(info, part, Some(finding));
                    }
                }
            }
            sleep(HTTP_RETRY).await;
        }
    }
}

fn tell(info: &watch::Sender<DaemonInfo>, part: HttpPart, finding: Option<Finding>) {
    if let Some(finding) = &finding {
        warn!("{}", finding.sentence);
    }
    info.send_modify(|info| info.tell(part, finding));
}

fn unavailable(part: HttpPart, address: SocketAddr, error: &io::Error) -> Finding {
    let (what, setting) = match part {
        HttpPart::Probes => ("liveness and readiness are not served to probes", "probes"),
        HttpPart::Listen | HttpPart::Certificate => ("metrics, liveness and readiness are not served", "listen"),
    };
    let sentence = format!(
        "{what}: cannot listen on {address} ({error}); it is tried again every {} s: free the \
         address, or set `{setting}` of [http] to another one, or to \"off\"",
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
        let http = match (activation.metrics, config.http.listen) {
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
        Ok(Self { agent, admin, http, probes: config.http.probes.map(Http::At), owned })
    }
}
