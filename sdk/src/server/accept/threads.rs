//! The threads that handshakes compute on in a service whose runtime has but one.
//!
//! A runtime of several workers goes on while one of them verifies a chain that costs much; one that has a single thread would do nothing
//! else meanwhile. There every handshake computes on threads of its own, in all servers of the process no more than there are cores. A
//! handshake that waits for its peer holds none of them.

use std::io;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// The threads' name.
const NAME: &str = "evercert-tls";

/// Started by the first handshake of a runtime with one thread, and never stopped.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from);
    // With timers and IO, since handshakes poll connections that may be of any type.
    let started = Builder::new_multi_thread().worker_threads(threads).thread_name(NAME).enable_all().build();
    started.inspect_err(|error| {
        tracing::warn!(%error, "no threads for handshakes: they compute on the one of the service");
    })
});

/// The runtime for a handshake to compute on, if the current one has but one thread.
pub(super) fn of_handshakes() -> Option<&'static Runtime> {
    let is_single = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
    is_single.then(|| THREADS.as_ref().ok()).flatten()
}
