//! The process at the other end of a Unix socket.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use tokio::net::UnixStream;

use super::peer_groups;
use crate::cgroup::Origin;

/// The process that connected, as the kernel recorded it at `connect` (SO_PEERCRED, SO_PEERGROUPS). Its user and groups stay
/// what they were then; its number may have gone to another process since and is for showing only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pid: u32,
    uid: u32,
    /// Its group and supplementary groups, sorted.
    gids: Arc<[u32]>,
    origin: Origin,
}

/// Whom what is used up is counted against: a pod, or a user of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Pod(Arc<str>),
    User(u32),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(uid) => write!(f, "pod {uid}"),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

impl Caller {
    /// The peer of `stream`.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub(crate) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let mut gids = peer_groups::peer_groups(stream)?;
        gids.push(credentials.gid());
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Ok(Self::new(pid, credentials.uid(), gids))
    }

    pub(super) fn new(pid: u32, uid: u32, mut gids: Vec<u32>) -> Self {
        gids.sort_unstable();
        gids.dedup();
        Self { pid, uid, gids: gids.into(), origin: Origin::Host { unit: None } }
    }

    #[cfg(test)]
    pub(super) fn of_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Where the process belongs.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whom what it uses up is counted against.
    pub(crate) fn party(&self) -> Party {
        match &self.origin {
            Origin::Pod(uid) => Party::Pod(Arc::clone(uid)),
            Origin::Host { .. } | Origin::Container | Origin::Unclear => Party::User(self.uid),
        }
    }

    /// The process; 0 where it lives in a PID namespace that cannot be seen from here.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The effective user.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn is_in(&self, gid: u32) -> bool {
        gid != OVERFLOW.gid && self.shows(gid)
    }

    /// Whether it can be told neither that it is in this group nor that it is not: every group without a number here shows as
    /// the same one.
    pub(super) fn may_be_in(&self, gid: u32) -> bool {
        gid == OVERFLOW.gid && self.shows(gid)
    }

    fn shows(&self, gid: u32) -> bool {
        self.gids.binary_search(&gid).is_ok()
    }

    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    pub(super) fn is_of_another_user_namespace(&self) -> bool {
        self.uid == OVERFLOW.uid
    }

    /// The name of the process's command; empty where it cannot be told. For showing only: it is the process's own choice.
    pub(crate) fn command(&self) -> String {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
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

/// What users and groups of a foreign user namespace show as.
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
