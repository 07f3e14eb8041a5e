//! Whether a process sees the users and the files that the host sees.

use std::fmt;
use std::io;

use crate::proc::Proc;

/// A kind of namespace that decides what is meant: by a user's number, or by a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Mount,
}

/// The namespaces of a process, against those of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Namespaces {
    /// User and mount namespace are the host's.
    Host,
    /// This one is another.
    Other(Kind),
    /// They cannot be looked at: evercertd needs CAP_SYS_PTRACE to see those of other users' processes.
    Unknown(io::ErrorKind),
}

impl Namespaces {
    /// Those of `process`, which has to be proven to be there still.
    pub(super) fn of(process: Proc) -> Self {
        let kinds = [Kind::User, Kind::Mount].map(|kind| compare(process, kind));
        kinds.into_iter().find(|one| *one != Self::Host).unwrap_or(Self::Host)
    }

    /// Whether the process is known to be in a user namespace of its own.
    pub(super) fn has_own_users(self) -> bool {
        self == Self::Other(Kind::User)
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the caller is in the host's namespaces"),
            Self::Other(Kind::User) => f.write_str("the caller has a user namespace of its own"),
            Self::Other(Kind::Mount) => f.write_str("the caller has a mount namespace of its own"),
            Self::Unknown(io::ErrorKind::PermissionDenied) => {
                f.write_str("the caller's namespaces cannot be looked at (evercertd needs CAP_SYS_PTRACE for that)")
            }
            Self::Unknown(error) => write!(f, "the caller's namespaces cannot be looked at ({error})"),
        }
    }
}

/// The host's are those of its first process; where that cannot be looked at, this process's own.
fn compare(process: Proc, kind: Kind) -> Namespaces {
    let file = match kind {
        Kind::User => "user",
        Kind::Mount => "mnt",
    };
    let host = Proc(1).namespace(file).or_else(|_| std::fs::read_link(format!("/proc/self/ns/{file}")));
    match (process.namespace(file), host) {
        (Ok(of_caller), Ok(host)) if of_caller == host => Namespaces::Host,
        (Ok(_), Ok(_)) => Namespaces::Other(kind),
        (Err(error), _) | (_, Err(error)) => Namespaces::Unknown(error.kind()),
    }
}
