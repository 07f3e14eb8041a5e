//! Whether a process sees the users and the files that the host sees.

use std::fmt;
use std::io;

use crate::proc::Proc;

/// The kinds that decide what a user's number and a path mean, with what they are called here.
const KINDS: [(&str, &str); 2] = [("user", "user"), ("mnt", "mount")];

/// The namespaces of a process, against those of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Namespaces {
    /// User and mount namespace are the host's.
    Host,
    /// The one called so (`user` or `mount`) is another.
    Other(&'static str),
    /// They cannot be looked at: evercertd needs CAP_SYS_PTRACE to see those of other users' processes.
    Unknown(io::ErrorKind),
}

impl Namespaces {
    /// Those of `process`, which has to be proven to be there still.
    pub(super) fn of(process: Proc) -> Self {
        KINDS
            .into_iter()
            .map(|(kind, name)| compare(process, kind, name))
            .find(|one| *one != Self::Host)
            .unwrap_or(Self::Host)
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the caller is in the host's namespaces"),
            Self::Other(which) => write!(f, "the caller has a {which} namespace of its own"),
            Self::Unknown(io::ErrorKind::PermissionDenied) => {
                f.write_str("the caller's namespaces cannot be looked at (evercertd needs CAP_SYS_PTRACE for that)")
            }
            Self::Unknown(error) => write!(f, "the caller's namespaces cannot be looked at ({error})"),
        }
    }
}

/// The host's are those of its first process; where that cannot be looked at, this process's own.
fn compare(process: Proc, kind: &str, name: &'static str) -> Namespaces {
    let host = Proc(1).namespace(kind).or_else(|_| std::fs::read_link(format!("/proc/self/ns/{kind}")));
    match (process.namespace(kind), host) {
        (Ok(of_caller), Ok(host)) if of_caller == host => Namespaces::Host,
        (Ok(_), Ok(_)) => Namespaces::Other(name),
        (Err(error), _) | (_, Err(error)) => Namespaces::Unknown(error.kind()),
    }
}
