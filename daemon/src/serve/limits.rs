//! Limits on callers of a socket: on their use, and on their silence.

use std::num::NonZeroU32;
use std::time::Duration;

use super::patience::Patience;
use crate::callers::Cap;

/// The connections of one caller in a second; after a second of rest as many at once. Each costs some 50 µs before it is known whose
/// it is. There is no limit in all, as that would let many keep out one.
pub(super) const ARRIVALS: Cap<NonZeroU32> = Cap { in_all: NonZeroU32::MAX, per_caller: NonZeroU32::new(500).unwrap() };

/// The bytes that are read of one caller in a second, on all of its connections; after a second of rest as many at once. More waits
/// in its socket. Reading costs up to 0.1 µs a byte, and a report has 100 bytes.
pub(super) const BYTES: NonZeroU32 = NonZeroU32::new(1024 * 1024).unwrap();

/// The limits on callers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: Cap<usize>,
    /// Connections a second, whatever becomes of them.
    pub(super) arrivals: Cap<NonZeroU32>,
    /// Open requests at once, `Watch` streams among them.
    pub(crate) streams: Cap<usize>,
    /// Requests a second.
    pub(crate) requests: Cap<NonZeroU32>,
    pub(super) patience: Patience,
}

impl Limits {
    /// Of the admin socket. Each operator's stream of events is one connection.
    pub(super) const ADMIN: Self = Self::new(
        Cap { in_all: 64, per_caller: 32 },
        Cap { in_all: 64, per_caller: 32 },
        Cap { in_all: NonZeroU32::new(1000).unwrap(), per_caller: NonZeroU32::new(500).unwrap() },
    );

    /// Those of a configuration.
    pub(crate) const fn new(connections: Cap<usize>, streams: Cap<usize>, requests: Cap<NonZeroU32>) -> Self {
        let patience = Patience {
            preface: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            taking: Duration::from_secs(30),
        };
        Self { connections, arrivals: ARRIVALS, streams, requests, patience }
    }
}
