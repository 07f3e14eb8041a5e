//! The runtime on which identities follow their sources.

use std::io;
use std::sync::LazyLock;

use evercert_core::reactor::Reactor;
use tokio::runtime::Handle;

/// The name of its threads, of which one polls at a time.
const NAME: &str = "evercert";

/// Started with the first identity of the process, and never stopped.
///
/// An identity may outlive the runtime that it is started in: it is kept in a static, say, and each test of a service has a runtime of its
/// own. There its task, and its source's, would end with that runtime, and no rotation would be taken up any more.
static REACTOR: LazyLock<io::Result<Reactor>> = LazyLock::new(|| {
    Reactor::start(NAME).inspect_err(|error| {
        tracing::warn!(%error, "no thread for identities: they end with the runtime that they are started in");
    })
});

/// The reactor of the process's identities, if there can be one.
pub(crate) fn reactor_of_identities() -> Option<&'static Reactor> {
    REACTOR.as_ref().ok()
}

/// The runtime of the process's identities; where there can be none, the current one.
///
/// # Panics
///
/// Neither can be had.
pub(crate) fn of_identities() -> Handle {
    reactor_of_identities().map_or_else(Handle::current, |reactor| reactor.handle().clone())
}
