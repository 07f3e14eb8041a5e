//! Why the daemon does not run.

use std::io;

use crate::host::sockets::SocketError;

/// The daemon does not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// No runtime.
    #[error("cannot start threads: {0}")]
    Runtime(#[source] io::Error),
    /// No signal handlers.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A listener cannot be used.
    #[error("cannot use the {name} socket: {source}")]
    Listener {
        /// Which one.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No random number.
    #[error("cannot get a random number: {0}")]
    Random(#[from] getrandom::Error),
    /// The metrics do not fit together.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A server is gone.
    #[error("a server ended by itself; this is a bug")]
    ServerEnded,
}
