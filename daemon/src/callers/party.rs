//! The party that use is charged to.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::cgroup::{Origin, origin};
use super::proc::Proc;
use super::user_namespace::{owner, parent};

/// How deep user namespaces can be within each other (user_namespaces(7)).
const DEEPEST: usize = 32;

/// The party that use is charged to: a pod, a user of the host, or whoever made a user namespace, in which one user may be
/// thousands. A caller in none of them may have any number, and takes nothing from the user of the host who has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Pod(Arc<str>),
    User(u32),
    /// In a user namespace below this process's own.
    Crowd(Crowd),
    /// In a container of no pod, or where it cannot be told.
    Elsewhere(u32),
    /// One connection of a process that cannot be seen, of a user that anybody there may be: nothing else tells one from another.
    Unseen {
        connection: u64,
        uid: u32,
    },
    /// All that cannot be seen, who share the connections.
    AllUnseen,
}

/// Users of other user namespaces, counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Crowd {
    /// Those of every namespace that this user made.
    Of(u32),
    /// Those of this namespace, which root made for somebody else.
    In(u64),
}

impl Party {
    /// Whether it is many callers that cannot be told apart, of which one may be thousands of users. So it may have as many shares as there
    /// are in all, and where there is none left for it, a newcomer takes the place of another of its own: whoever holds all of them
    /// keeps nobody out.
    pub(super) fn is_many(&self) -> bool {
        matches!(self, Self::AllUnseen)
    }

    /// The party of the process `pid` of `uid`, as it is now. It may be another with its number already: good enough for counting, and
    /// for nothing else.
    pub(crate) fn of_process(pid: u32, uid: u32, prefixes: &[String]) -> Self {
        let process = Proc(pid);
        let origin = process.cgroup().map_or(Origin::Unclear, |groups| origin(&groups, prefixes));
        Self::of(&origin, uid, Crowd::of(process))
    }

    /// The party of a process of `uid` at `origin`.
    pub(super) fn of(origin: &Origin, uid: u32, crowd: Option<Crowd>) -> Self {
        match (origin, crowd) {
            (Origin::Pod(pod), _) => Self::Pod(Arc::clone(pod)),
            (_, Some(crowd)) => Self::Crowd(crowd),
            (Origin::Host { .. }, None) => Self::User(uid),
            (Origin::Container | Origin::Unclear, None) => Self::Elsewhere(uid),
        }
    }
}

impl Crowd {
    /// The crowd of the namespace directly below this process's own which `process` is in; none where it is in this process's own, or
    /// where that cannot be told.
    pub(super) fn of(process: Proc) -> Option<Self> {
        let identify = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let open = |process: &str| File::open(format!("/proc/{process}/ns/user"));
        let own = identify(&open("self").ok()?).ok()?;
        let mut namespace = open(&process.0.to_string()).ok()?;
        let mut identity = identify(&namespace).ok()?;
        for _ in 0..DEEPEST {
            if identity == own {
                return None;
            }
            let above = parent(&namespace).ok()?;
            let identity_above = identify(&above).ok()?;
            if identity_above == own {
                return Some(match owner(&namespace).ok()? {
                    0 => Self::In(identity.1),
                    uid => Self::Of(uid),
                });
            }
            (namespace, identity) = (above, identity_above);
        }
        None
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(uid) => write!(f, "pod {uid}"),
            Self::User(uid) => write!(f, "uid {uid}"),
            Self::Crowd(Crowd::Of(uid)) => write!(f, "the user namespaces of uid {uid}"),
            Self::Crowd(Crowd::In(number)) => write!(f, "the user namespace {number}, which root made"),
            Self::Elsewhere(uid) => write!(f, "uid {uid} of no pod and not of the host"),
            Self::Unseen { uid, .. } => write!(f, "a connection of uid {uid} whose process cannot be seen"),
            Self::AllUnseen => f.write_str("the callers whose processes cannot be seen"),
        }
    }
}
