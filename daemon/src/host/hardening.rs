//! The things the process gives up before it reads a key, and the one it takes.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::warn;

use crate::config::Process;

/// Turns off core dumps and debuggers unless the configuration says otherwise, and raises the soft limit of open
/// files to the hard one: every subscriber takes a descriptor. A kernel or a filter that refuses is warned of, not
/// obeyed. Locks the memory where that is asked for.
///
/// # Errors
///
/// The memory is to be locked and may not be: whoever asks for that would rather have no daemon than keys in swap.
pub(crate) fn apply(process: &Process) -> Result<(), LockError> {
    if !process.dumpable {
        attempt("RLIMIT_CORE", setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }));
        attempt("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    }
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        attempt("RLIMIT_NOFILE", setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }));
    }
    if process.lock_memory { lock_memory() } else { Ok(()) }
}

/// The memory is to be locked and may not be.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot lock memory: {source} (RLIMIT_MEMLOCK: {}); set LimitMEMLOCK=infinity in the unit (ulimit -l unlimited), or \
     lock_memory = false in [process]",
    .limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes"))
)]
pub(crate) struct LockError {
    limit: Option<u64>,
    source: rustix::io::Errno,
}

/// Locks what the process has and will have, each page once it is used: locking what is merely reserved would make all of it
/// resident.
fn lock_memory() -> Result<(), LockError> {
    let limit = getrlimit(Resource::Memlock);
    if limit.current != limit.maximum {
        attempt("RLIMIT_MEMLOCK", setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, ..limit }));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|source| LockError { limit: getrlimit(Resource::Memlock).current, source })
}

fn attempt(what: &str, result: rustix::io::Result<()>) {
    if let Err(error) = result {
        warn!(%error, "cannot set {what}");
    }
}
