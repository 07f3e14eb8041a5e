//! The process at the other end of a Unix socket.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use evercert_core::text;
use tokio::net::UnixStream;

use super::cgroup::Origin;
use super::life::Life;
use super::namespaces::Namespaces;
use super::party::{Crowd, Party};
use super::peer_options;
use super::proc::{Credentials, Proc};
use super::process::{Process, ProcessError};
use super::processes::Processes;

/// The process that connected: its user and groups as the kernel recorded them at `connect` (SO_PEERCRED, SO_PEERGROUPS), and
/// the rest as it was when the connection was accepted. [`Caller::confirm`] tells whether that is so still.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pid: u32,
    uid: u32,
    gid: u32,
    /// Its group and supplementary groups, sorted.
    gids: Arc<[u32]>,
    origin: Origin,
    namespaces: Namespaces,
    /// Absent where it is in this process's own user namespace.
    crowd: Option<Crowd>,
    /// Absent where it lives in a PID namespace that cannot be seen from here.
    process: Option<Arc<Process>>,
    /// Which connection it is of those whose process cannot be seen; of no meaning otherwise.
    connection: u64,
}

impl Caller {
    /// The peer of `stream`.
    ///
    /// # Errors
    ///
    /// It has ended, or the kernel does not say.
    pub(crate) fn of(stream: &UnixStream, processes: &Processes) -> Result<Self, ProcessError> {
        let credentials = stream.peer_cred().map_err(ProcessError::Untold)?;
        let groups = peer_options::peer_groups(stream).map_err(ProcessError::Untold)?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let unseen = Self::unseen(pid, credentials.uid(), credentials.gid(), groups);
        if pid == 0 {
            return Ok(Self { connection: processes.next_unseen(), ..unseen });
        }
        let process = processes.peer(stream, pid)?;
        let now = process.standing()?;
        let crowd = Crowd::of(Proc(pid));
        Ok(Self { origin: now.origin, namespaces: now.namespaces, crowd, process: Some(process), ..unseen })
    }

    /// A caller of which only the credentials are known.
    fn unseen(pid: u32, uid: u32, gid: u32, mut gids: Vec<u32>) -> Self {
        gids.push(gid);
        gids.sort_unstable();
        gids.dedup();
        let namespaces = Namespaces::Unknown(io::ErrorKind::NotFound);
        Self {
            pid,
            uid,
            gid,
            gids: gids.into(),
            origin: Origin::Unclear,
            namespaces,
            crowd: None,
            process: None,
            connection: 0,
        }
    }

    /// A process of the host with these credentials, which is not there.
    #[cfg(test)]
    pub(crate) fn new(pid: u32, uid: u32, gids: Vec<u32>) -> Self {
        let (origin, namespaces) = (Origin::Host { unit: None }, Namespaces::Host);
        let gids = gids.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        Self { pid, uid, gid: OVERFLOW.gid, gids, origin, namespaces, crowd: None, process: None, connection: 0 }
    }

    /// Whether the process is still there and what it was when it connected, so that it may be given a key: the same user and
    /// group, no group less, and the same place among control groups and namespaces, with the same root directory. A group that it
    /// joined since counts for its next connection. Costs a few system calls.
    ///
    /// # Errors
    ///
    /// It is not, or that cannot be told.
    pub(crate) fn confirm(&self) -> Result<(), ProcessError> {
        let now = self.process.as_ref().ok_or(ProcessError::Unseen)?.standing()?;
        let Credentials { ids, groups } = now.credentials;
        if ids != (self.uid, self.gid) {
            return Err(ProcessError::Changed("user or group"));
        }
        if !self.gids.iter().all(|gid| *gid == self.gid || groups.binary_search(gid).is_ok()) {
            return Err(ProcessError::Changed("list of supplementary groups"));
        }
        if now.origin != self.origin {
            return Err(ProcessError::Changed("control group"));
        }
        if now.namespaces != self.namespaces {
            return Err(ProcessError::Changed("user or mount namespace, or root directory,"));
        }
        Ok(())
    }

    /// Waits until the process has ended; for ever where it cannot be seen.
    pub(crate) async fn ended(&self) {
        match &self.process {
            Some(process) => process.ended().cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the process is known to have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ended().is_cancelled())
    }

    /// Its process's life; absent where it cannot be seen from here.
    pub(crate) fn life(&self) -> Option<Life> {
        self.process.as_ref().map(|process| Life::new(Arc::clone(process), self.party()))
    }

    /// Whether both are connections of one process that is watched once.
    #[cfg(test)]
    pub(crate) fn is_the_process_of(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.process, &other.process) else { return false };
        Arc::ptr_eq(own, others)
    }

    /// Whether it lives in the host's user and mount namespace, with the host's root directory.
    pub(crate) fn namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// One of which only the user is known.
    #[cfg(test)]
    pub(crate) fn hidden(uid: u32) -> Self {
        Self::unseen(0, uid, uid, Vec::new())
    }

    #[cfg(test)]
    pub(crate) fn of_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    #[cfg(test)]
    pub(crate) fn of_namespaces(self, namespaces: Namespaces) -> Self {
        Self { namespaces, ..self }
    }

    /// Where the process belongs.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The party that the caller's use is charged to.
    pub(crate) fn party(&self) -> Party {
        if self.is_hidden() {
            return Party::Unseen { connection: self.connection, uid: self.uid };
        }
        Party::of(&self.origin, self.uid, self.crowd)
    }

    /// Whether its process is in a PID namespace that cannot be seen from here: only its user and groups are known.
    pub(crate) fn is_hidden(&self) -> bool {
        self.pid == 0
    }

    /// The process; 0 where it lives in a PID namespace that cannot be seen from here.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The effective user.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    pub(crate) fn is_in(&self, gid: u32) -> bool {
        gid != OVERFLOW.gid && self.shows(gid)
    }

    /// Whether it can be told neither that it is in this group nor that it is not: every group without a number here shows as
    /// the same one.
    pub(crate) fn may_be_in(&self, gid: u32) -> bool {
        gid == OVERFLOW.gid && self.shows(gid)
    }

    fn shows(&self, gid: u32) -> bool {
        self.gids.binary_search(&gid).is_ok()
    }

    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    pub(crate) fn is_of_another_user_namespace(&self) -> bool {
        self.uid == OVERFLOW.uid
    }

    /// The name of the process's command; empty where it cannot be told. For showing only: it is the process's own choice.
    pub(crate) fn command(&self) -> String {
        let name = std::fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        // The kernel ends it with a line break; one before that is the process's own.
        text::bytes(name.strip_suffix(b"\n").unwrap_or(&name))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} (gids", self.uid)?;
        for (i, gid) in self.gids.iter().enumerate() {
            write!(f, "{} {gid}", if i == 0 { "" } else { "," })?;
        }
        f.write_str(")")
    }
}

/// The IDs shown for users and groups of a foreign user namespace.
struct Overflow {
    uid: u32,
    gid: u32,
}

static OVERFLOW: LazyLock<Overflow> = LazyLock::new(|| {
    /// The kernel's own default.
    const DEFAULT: u32 = 65_534;
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        text.trim().parse().ok()
    };
    Overflow { uid: read("overflowuid").unwrap_or(DEFAULT), gid: read("overflowgid").unwrap_or(DEFAULT) }
});
