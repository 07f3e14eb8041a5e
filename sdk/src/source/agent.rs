//! The daemon's workload socket as a source.
//!
//! ```text
//! connect ── whose socket? ── Open { held digest } ──→ Update | Unchanged | Pending ──→ Report
//!    ↑                                                       │ the stream ends
//!    └───── at once, then 100 ms … 5 s and jitter ←──────────┘ what is held stays
//! ```
//!
//! A key that comes over the socket is in this process once, in the [`Snapshot`](evercert_core::snapshot::Snapshot) that holds it, and what
//! the crypto provider makes of it: no buffer of the transport ever holds it. Both are wiped when the last connection, configuration or
//! handle that uses the generation is gone. Any further copy of a key is the process's own to wipe, and ring leaves copies behind,
//! which aws-lc-rs does not: an allocator that wipes what is freed sees to those, such as `zeroizing-alloc`, which evercertd uses. A
//! library cannot choose it for the program that it is linked into:
//!
//! ```ignore
//! #[global_allocator]
//! static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);
//! ```

mod holding;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evercert_core::identity::IdentityName;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::session::Follower;
use super::socket::Socket;
use super::{Report, Source, SourceState};
use crate::settings::SettingsError;

pub use super::socket::{CONNECT_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
pub use super::stream::{ANSWER_TIMEOUT, MESSAGE_LIMIT};

/// The delay after the first failed attempt to reconnect; it doubles with each further one. A random part of at most the same
/// length is added to every delay.
pub const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// The longest delay between attempts to reconnect, before the random part.
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// The identity to ask for, and the daemon's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    identity: String,
    socket: Socket,
}

impl AgentSettings {
    /// The identity with this name, from the daemon at [`DEFAULT_SOCKET`](crate::settings::DEFAULT_SOCKET).
    #[must_use]
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), socket: Socket::default() }
    }

    /// Asks at this socket, an absolute path.
    #[must_use]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket.path = path.into();
        self
    }

    /// Accepts a socket that this uid serves, besides root and this process's own uid. In a user namespace every uid from
    /// outside, root's too, shows as 65534.
    #[must_use]
    pub fn socket_owner(mut self, uid: u32) -> Self {
        self.socket.owner = Some(uid);
        self
    }

    /// The name of the identity.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The socket's path.
    #[must_use]
    pub fn socket_path(&self) -> &Path {
        &self.socket.path
    }
}

impl From<&str> for AgentSettings {
    fn from(identity: &str) -> Self {
        Self::new(identity)
    }
}

impl From<String> for AgentSettings {
    fn from(identity: String) -> Self {
        Self::new(identity)
    }
}

/// Follows one identity on the daemon's workload socket: reconnects for ever, keeps the last good, reports. Dropping it ends
/// its task.
#[derive(Debug)]
pub struct AgentSource {
    state: watch::Receiver<SourceState>,
    reports: watch::Sender<Option<Report>>,
    task: AbortHandle,
}

impl AgentSource {
    /// Starts following on the current tokio runtime. A daemon that is not there is no error: it is waited for.
    ///
    /// # Errors
    ///
    /// The name is no identity's, or the socket's path is relative.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(settings: AgentSettings) -> Result<Arc<Self>, SettingsError> {
        settings.identity.parse::<IdentityName>()?;
        settings.socket.check()?;
        let (state, states) = watch::channel(Follower::initial(&settings));
        let (reports, reported) = watch::channel(None);
        let task = tokio::spawn(Follower::new(settings, state, reported).run()).abort_handle();
        Ok(Arc::new(Self { state: states, reports, task }))
    }
}

impl Source for AgentSource {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.state.clone()
    }

    fn report(&self, report: Report) {
        self.reports.send_replace(Some(report));
    }
}

impl Drop for AgentSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}
