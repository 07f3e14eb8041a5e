//! What the process gives up before it reads a key, and the one thing it takes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::warn;

use crate::config::Process;

/// Turns off core dumps and debuggers unless the configuration says otherwise, and raises the soft limit of open
/// files to the hard one: every subscriber takes a descriptor. A kernel or a filter that refuses is warned of, not
/// obeyed.
pub(crate) fn apply(process: &Process) {
    if !process.dumpable {
        attempt("RLIMIT_CORE", setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }));
        attempt("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    }
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        attempt("RLIMIT_NOFILE", setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }));
    }
}

fn attempt(what: &str, result: rustix::io::Result<()>) {
    if let Err(error) = result {
        warn!(%error, "cannot set {what}");
    }
}
