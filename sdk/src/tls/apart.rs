//! Where chains are verified that may cost more than a plain one.
//!
//! Whoever connects decides what is verified, before anything is proven. A plain chain costs less than handing it over would; for any other
//! the worker of the runtime that has the handshake gives up its other tasks, and takes a place first, of which there are as many as
//! cores. So however many strangers show dear chains, calls go on, and the kernel shares the cores out between the two.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// How many of these chains are verified at a time in a process.
pub(crate) static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// How a server's handshakes verify a chain that may cost more than a plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DearChains {
    /// On the thread that has the handshake, like all else. The only way wherever that may be no task of the runtime's own, such as one of
    /// a `LocalSet`, which cannot be left.
    InPlace,
    /// Apart from the tasks of that thread, with a place.
    Apart,
}

impl DearChains {
    /// Verifies. A handshake that waits for a place holds none of the runtime's workers.
    pub(crate) fn verify<T>(self, verify: impl FnOnce() -> T) -> T {
        match (self, Handle::try_current()) {
            (Self::Apart, Ok(runtime)) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
                block_in_place(|| {
                    // The semaphore is never closed.
                    let _place = runtime.block_on(PLACES.acquire());
                    verify()
                })
            }
            _ => verify(),
        }
    }
}
