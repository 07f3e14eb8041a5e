//! Messages to the service manager, and sockets from it. All of it does nothing where there is none.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tracing::debug;

/// The longest status line that is sent, in bytes.
const STATUS_LIMIT: usize = 256;

/// Start-up is finished, or a reload is.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(truncated(status))]);
}

/// The configuration is being read again; [`ready`] ends it. The time is what `Type=notify-reload` needs to tell
/// reloads apart.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// The daemon is going away.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// One line for `systemctl status`.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(truncated(status))]);
}

/// The daemon is alive.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be called: twice in the time the service manager waits. Absent: it does not wait.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|timeout| timeout / 2).filter(|interval| !interval.is_zero())
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager does not listen");
    }
}

fn truncated(status: &str) -> &str {
    let end =
        status.char_indices().map(|(at, character)| at + character.len_utf8()).take_while(|end| *end <= STATUS_LIMIT);
    &status[..end.last().unwrap_or(0)]
}

/// Sockets that were handed over.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    /// The workload socket, named `agent`.
    pub(crate) agent: Option<UnixListener>,
    /// The admin socket, named `admin`.
    pub(crate) admin: Option<UnixListener>,
    /// The HTTP socket, named `metrics`.
    pub(crate) metrics: Option<TcpListener>,
}

/// A socket was handed over that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActivationError {
    /// A name that means nothing here.
    #[error(
        "a socket named {0:?} was handed over; name it agent, admin or metrics (FileDescriptorName= of the socket unit)"
    )]
    UnknownName(String),
    /// One name twice.
    #[error("two sockets named {0:?} were handed over; one socket unit has one ListenStream=")]
    Twice(String),
    /// Not the kind of socket the name promises.
    #[error("the socket handed over as {name:?} cannot be used: {source}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Activation {
    /// Takes what was handed over. Reads and clears `LISTEN_FDS` and `LISTEN_PID`: call it before any thread is
    /// started.
    ///
    /// # Errors
    ///
    /// A socket has no known name, or is of the wrong kind.
    pub(crate) fn take() -> Result<Self, ActivationError> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let mut activation = Self::default();
        for (index, name) in (0..sockets.len()).zip(names.split(':').chain(std::iter::repeat(""))) {
            let unusable = |source| ActivationError::Unusable { name: name.to_owned(), source };
            let twice = || ActivationError::Twice(name.to_owned());
            match name {
                "agent" => put(&mut activation.agent, sockets.take_unix_listener(index).map_err(unusable)?)
                    .ok_or_else(twice)?,
                "admin" => put(&mut activation.admin, sockets.take_unix_listener(index).map_err(unusable)?)
                    .ok_or_else(twice)?,
                "metrics" => put(&mut activation.metrics, sockets.take_tcp_listener(index).map_err(unusable)?)
                    .ok_or_else(twice)?,
                other => return Err(ActivationError::UnknownName(other.to_owned())),
            }
        }
        Ok(activation)
    }
}

/// Fills an empty slot.
fn put<T>(slot: &mut Option<T>, value: Option<T>) -> Option<()> {
    let empty = slot.is_none();
    *slot = value;
    empty.then_some(())
}
