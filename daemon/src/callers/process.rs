//! One process that has connected, told apart from every other that may come to have its number.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cgroup::{Origin, origin};
use super::namespaces::Namespaces;
use super::peer_options;
use super::proc::{self, Credentials, Proc};

/// How often a process is looked at whose end nothing tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A process and its end. While this exists one task watches it.
#[derive(Debug)]
pub(super) struct Process {
    living: Living,
    /// Allowed prefixes of `kubepods` in the path of a control group.
    prefixes: Arc<[String]>,
    ended: CancellationToken,
    _watch: AbortOnDropHandle<()>,
}

/// A process, told from a later one with its number.
#[derive(Debug, Clone)]
pub(super) struct Living {
    pub(super) pid: u32,
    /// In clock ticks since the machine started.
    pub(super) started: u64,
    /// Absent where the kernel gives none for a socket's peer (before 6.5): the start tells then.
    pidfd: Option<Arc<AsyncFd<OwnedFd>>>,
}

/// A process's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessState {
    /// As its first thread has them. Those of other threads are not looked at: threads keep nothing from one another.
    pub(super) credentials: Credentials,
    pub(super) origin: Origin,
    pub(super) namespaces: Namespaces,
}

/// Why a caller is no longer, or never was, a process that can be answered for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// It ended; what holds its socket now is another process.
    #[error("the process that connected has ended, and what it may have nobody else gets by its connection")]
    Ended,
    /// It is not what it was when it connected.
    #[error("the process that connected has another {0} now than when it connected: it has to connect again")]
    Changed(&'static str),
    /// It has no number here.
    #[error(
        "evercertd cannot see the caller's process, which is in a PID namespace that it is not above, so it may have nothing; \
         evercertd in a pod needs hostPID: true"
    )]
    Unseen,
    /// The kernel does not tell.
    #[error("evercertd cannot tell whether the process that connected is still the same: {0}")]
    Untold(#[source] io::Error),
}

impl ProcessError {
    /// Whether no descriptor is left to look at the process with: that says nothing of the process.
    pub(crate) fn is_for_want_of_descriptors(&self) -> bool {
        matches!(self, Self::Untold(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)))
    }
}

impl From<io::Error> for ProcessError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => Self::Ended,
            _ => Self::Untold(error),
        }
    }
}

impl Process {
    /// Watches `living` from now on.
    pub(super) fn watch(living: Living, prefixes: Arc<[String]>) -> Self {
        let ended = CancellationToken::new();
        let watch = {
            let (living, ended) = (living.clone(), ended.clone());
            tokio::spawn(async move {
                living.end().await;
                ended.cancel();
            })
        };
        Self { living, prefixes, ended, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Is cancelled when the process has ended.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// See [`Living::standing`].
    pub(super) fn standing(&self) -> Result<ProcessState, ProcessError> {
        let standing = self.living.standing(&self.prefixes);
        if matches!(standing, Err(ProcessError::Ended)) {
            self.ended.cancel();
        }
        standing
    }
}

impl Living {
    /// The process behind `pidfd`, which is `pid` where it is still there.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(super) fn behind(pidfd: OwnedFd, pid: u32) -> Result<Self, ProcessError> {
        let shown = match peer_options::pid_behind(pidfd.as_fd()) {
            Ok(pid) => Some(pid).filter(|pid| *pid > 0),
            // The kernel is too old to tell so.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS)) => {
                proc::pid_behind(pidfd.as_raw_fd())?
            }
            Err(error) => return Err(error.into()),
        };
        if shown != Some(pid) {
            return Err(ProcessError::Ended);
        }
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; an owned descriptor stays open for as long as it is registered"
        )]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE).map_err(ProcessError::Untold)?;
        let started = Proc(pid).stat()?.started;
        let living = Self { pid, started, pidfd: Some(Arc::new(pidfd)) };
        living.confirm()?;
        Ok(living)
    }

    /// The process with this number now.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn numbered(pid: u32) -> Result<Self, ProcessError> {
        let living = Self { pid, started: Proc(pid).stat()?.started, pidfd: None };
        living.confirm()?;
        Ok(living)
    }

    /// The process's state now, for sure: between two proofs that it is still this one.
    ///
    /// # Errors
    ///
    /// It has ended, or cannot be looked at.
    pub(super) fn standing(&self, prefixes: &[String]) -> Result<ProcessState, ProcessError> {
        self.confirm()?;
        let process = Proc(self.pid);
        let standing = ProcessState {
            credentials: process.credentials()?,
            origin: origin(&process.cgroup()?, prefixes),
            namespaces: Namespaces::of(process),
        };
        self.confirm()?;
        Ok(standing)
    }

    /// Confirms that it has not ended.
    fn confirm(&self) -> Result<(), ProcessError> {
        let has_ended = match &self.pidfd {
            Some(pidfd) => {
                let mut end = [PollFd::from_borrowed_fd(pidfd.get_ref().as_fd(), PollFlags::IN)];
                // Readable, or whatever else it may say of a process that is gone.
                poll(&mut end, Some(&Timespec::default())).map_err(|error| ProcessError::Untold(error.into()))? > 0
            }
            None => {
                let stat = Proc(self.pid).stat()?;
                stat.is_over() || stat.started != self.started
            }
        };
        if has_ended { Err(ProcessError::Ended) } else { Ok(()) }
    }

    /// Waits until the process has ended.
    async fn end(&self) {
        if let Some(pidfd) = &self.pidfd
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !matches!(self.confirm(), Err(ProcessError::Ended)) {
            look.tick().await;
        }
    }
}
