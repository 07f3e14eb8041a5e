//! The thread on which identities follow their sources.

use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// The thread's name.
const NAME: &str = "evercert";

/// Started with the first identity of the process, and never stopped.
///
/// An identity may outlive the runtime that it is started in: it is kept in a static, say, and each test of a service has a runtime of its
/// own. There its task, and its source's, would end with that runtime, and no rotation would be taken up any more.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let started = Builder::new_multi_thread().worker_threads(1).thread_name(NAME).enable_all().build();
    started.inspect_err(|error| {
        tracing::warn!(%error, "no thread for identities: they end with the runtime that they are started in");
    })
});

/// The runtime of the process's identities; where there can be none, the current one.
///
/// # Panics
///
/// Neither can be had.
pub(crate) fn of_identities() -> Handle {
    RUNTIME.as_ref().map_or_else(|_| Handle::current(), |runtime| runtime.handle().clone())
}
