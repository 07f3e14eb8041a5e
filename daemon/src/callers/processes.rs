//! The processes that are connected: one pidfd and one watch for each, however many connections it has.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use parking_lot::Mutex;
use tokio::net::UnixStream;

use super::process::{Gone, Living, Process};

/// The table is cleared of processes that are gone when it has grown to this, or to twice what was left the last time.
const SWEEP_AT: usize = 64;

/// Every process that has a connection.
#[derive(Debug)]
pub(crate) struct Processes {
    proof: Proof,
    /// Allowed prefixes of `kubepods` in the path of a control group.
    prefixes: Arc<[String]>,
    table: Mutex<Table>,
}

/// How a process is told from a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By the pidfd that the kernel keeps for a socket's peer.
    Pidfd,
    /// By the time it started, on kernels before 6.5.
    Start,
}

#[derive(Debug, Default)]
struct Table {
    /// By number and start.
    processes: HashMap<(u32, u64), Weak<Process>>,
    sweep_at: usize,
}

impl Processes {
    /// An empty table; asks the kernel once what it can tell.
    pub(crate) fn new(prefixes: Vec<String>) -> Self {
        Self::proven_by(Proof::of_this_kernel(), prefixes)
    }

    pub(super) fn proven_by(proof: Proof, prefixes: Vec<String>) -> Self {
        Self { proof, prefixes: prefixes.into(), table: Mutex::default() }
    }

    /// Allowed prefixes of `kubepods` in the path of a control group.
    pub(crate) fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    /// The process `pid` that connected `stream`.
    ///
    /// # Errors
    ///
    /// It has ended, or the kernel does not tell.
    pub(super) fn peer(&self, stream: &UnixStream, pid: u32) -> Result<Arc<Process>, Gone> {
        let living = match self.proof {
            Proof::Pidfd => match getsockopt(stream, PeerPidfd) {
                Ok(pidfd) => Living::behind(pidfd, pid)?,
                // Such kernels give none for a peer that was reaped.
                Err(Errno::EINVAL | Errno::ESRCH | Errno::ENODATA) => return Err(Gone::Ended),
                Err(error) => return Err(Gone::Untold(error.into())),
            },
            Proof::Start => Living::numbered(pid)?,
        };
        Ok(self.shared(living))
    }

    fn shared(&self, living: Living) -> Arc<Process> {
        let mut table = self.table.lock();
        let key = (living.pid, living.started);
        if let Some(known) = table.processes.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if table.processes.len() >= table.sweep_at.max(SWEEP_AT) {
            table.processes.retain(|_, process| process.strong_count() > 0);
            table.sweep_at = table.processes.len() * 2;
        }
        let process = Arc::new(Process::watch(living, Arc::clone(&self.prefixes)));
        table.processes.insert(key, Arc::downgrade(&process));
        process
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
