//! Whether a process sees the users and the files that the host sees.

use std::fmt;
use std::io;

use super::proc::Proc;

/// A namespace that gives a user's number or a path its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NamespaceKind {
    User,
    Mount,
    /// The directory that a path begins at (chroot(2)), which is as good as a namespace.
    Root,
}

/// The namespaces of a process, against those of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Namespaces {
    /// User and mount namespace are the host's, and so is the root directory.
    Host,
    /// This one is another.
    Other(NamespaceKind),
    /// They cannot be looked at: evercertd needs CAP_SYS_PTRACE to see those of other users' processes.
    Unknown(io::ErrorKind),
}

impl Namespaces {
    /// Those of `process`, which has to be proven to be there still.
    pub(super) fn of(process: Proc) -> Self {
        let namespaces = |kind, file| compare(kind, process, |process| process.namespace(file));
        namespaces(NamespaceKind::User, "user")
            .or_else(|| namespaces(NamespaceKind::Mount, "mnt"))
            // Where it is tells nearly everything, and asks no file system; what is mounted over the root has its place too.
            .or_else(|| compare(NamespaceKind::Root, process, Proc::place_of_root))
            .or_else(|| compare(NamespaceKind::Root, process, Proc::root))
    }

    fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        if self == Self::Host { next() } else { self }
    }

    /// Whether the process is known to be in a user namespace of its own.
    pub(crate) fn has_own_users(self) -> bool {
        self == Self::Other(NamespaceKind::User)
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the caller is in the host's namespaces"),
            Self::Other(NamespaceKind::User) => f.write_str("the caller has a user namespace of its own"),
            Self::Other(NamespaceKind::Mount) => f.write_str("the caller has a mount namespace of its own"),
            Self::Other(NamespaceKind::Root) => f.write_str("the caller has a root directory of its own (chroot)"),
            Self::Unknown(io::ErrorKind::PermissionDenied) => {
                f.write_str("the caller's namespaces cannot be looked at (evercertd needs CAP_SYS_PTRACE for that)")
            }
            Self::Unknown(error) => write!(f, "the caller's namespaces cannot be looked at ({error})"),
        }
    }
}

/// The host's are those of its first process; where that cannot be looked at, this process's own.
fn compare<T: PartialEq>(kind: NamespaceKind, process: Proc, look: impl Fn(Proc) -> io::Result<T>) -> Namespaces {
    let host = look(Proc(1)).or_else(|_| look(Proc(std::process::id())));
    match (look(process), host) {
        (Ok(of_caller), Ok(host)) if of_caller == host => Namespaces::Host,
        (Ok(_), Ok(_)) => Namespaces::Other(kind),
        (Err(error), _) | (_, Err(error)) => Namespaces::Unknown(error.kind()),
    }
}
