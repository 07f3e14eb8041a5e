//! The processes that are connected: one pidfd and one watch for each, however many connections it has.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evercert_core::intern::Pool;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use tokio::net::UnixStream;

use super::process::{Living, Process, ProcessError};

/// Every process that has a connection.
#[derive(Debug)]
pub(crate) struct Processes {
    proof: Proof,
    /// Allowed prefixes of `kubepods` in the path of a control group.
    prefixes: Arc<[String]>,
    /// By number and start.
    connected: Pool<(u32, u64), Process>,
    /// How many connections there were of processes that cannot be seen.
    unseen: AtomicU64,
}

/// How a process is told from a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By the pidfd that the kernel keeps for a socket's peer.
    Pidfd,
    /// By the time it started, on kernels before 6.5.
    Start,
}

impl Processes {
    /// An empty table; asks the kernel once what it can tell.
    pub(crate) fn new(prefixes: Vec<String>) -> Self {
        Self::proven_by(Proof::of_this_kernel(), prefixes)
    }

    pub(super) fn proven_by(proof: Proof, prefixes: Vec<String>) -> Self {
        Self { proof, prefixes: prefixes.into(), connected: Pool::default(), unseen: AtomicU64::new(0) }
    }

    /// Allowed prefixes of `kubepods` in the path of a control group.
    pub(crate) fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    /// The number of another connection whose process cannot be seen.
    pub(super) fn next_unseen(&self) -> u64 {
        self.unseen.fetch_add(1, Ordering::Relaxed)
    }

    /// The process `pid` that connected `stream`.
    ///
    /// # Errors
    ///
    /// It has ended, or the kernel does not tell.
    pub(super) fn peer(&self, stream: &UnixStream, pid: u32) -> Result<Arc<Process>, ProcessError> {
        let living = match self.proof {
            Proof::Pidfd => match getsockopt(stream, PeerPidfd) {
                Ok(pidfd) => Living::behind(pidfd, pid)?,
                // Such kernels give none for a peer that was reaped.
                Err(Errno::EINVAL | Errno::ESRCH | Errno::ENODATA) => return Err(ProcessError::Ended),
                Err(error) => return Err(ProcessError::Untold(error.into())),
            },
            Proof::Start => Living::numbered(pid)?,
        };
        let key = (living.pid, living.started);
        let watch = || Arc::new(Process::watch(living, Arc::clone(&self.prefixes)));
        Ok(self.connected.get_or_make(key, |_| true, watch))
    }
}

impl Proof {
    fn of_this_kernel() -> Self {
        let told = UnixStream::pair().and_then(|(one, _other)| getsockopt(&one, PeerPidfd).map_err(io::Error::from));
        match told {
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Self::Start,
            // Any other failure comes again where it is seen.
            Ok(_) | Err(_) => Self::Pidfd,
        }
    }
}
