//! Verification of chains that may cost more than a cheap one.
//!
//! The peer decides what is verified, before anything is proven. A cheap chain costs less than handing it over would; for any other
//! the worker of the runtime that has the handshake gives up its other tasks, and takes a place first, of which there are as many as
//! cores. So however many strangers show expensive chains, calls go on, and the kernel shares the cores out between the two. Only some may wait
//! for a place: a handshake that does keeps others of its server from computing.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// Places for these chains to be verified at a time in a process.
pub(crate) static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// The most of these chains verified or waiting for a place at a time in a process; one more is refused. Half the handshakes that compute
/// at a time in one server by default ([`AcceptLimits::computing`](crate::server::AcceptLimits::computing)).
pub(crate) const WAITING: usize = 16;

static WAITS: Semaphore = Semaphore::const_new(WAITING);

/// A chain that was not verified, since too many were to be at the time. Its peer may try again.
#[derive(Debug, thiserror::Error)]
#[error("{WAITING} chains that may cost much to verify are being verified already")]
pub(crate) struct Crowded;

/// The way a server's handshakes verify a chain that may cost more than a cheap one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpensiveChains {
    /// On the thread that has the handshake, like all else. The only way wherever that may be no task of the runtime's own, such as one of
    /// a `LocalSet`, which cannot be left.
    InPlace,
    /// Apart from the tasks of that thread, with a place.
    Apart,
}

impl ExpensiveChains {
    /// Verifies. A handshake that waits for a place holds none of the runtime's workers.
    ///
    /// # Errors
    ///
    /// As many as may wait for a place already.
    pub(crate) fn verify<T>(self, verify: impl FnOnce() -> T) -> Result<T, Crowded> {
        match (self, Handle::try_current()) {
            (Self::Apart, Ok(runtime)) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
                let _wait = WAITS.try_acquire().map_err(|_| Crowded)?;
                Ok(block_in_place(|| {
                    // The semaphore is never closed.
                    let _place = runtime.block_on(PLACES.acquire());
                    verify()
                }))
            }
            _ => Ok(verify()),
        }
    }
}
