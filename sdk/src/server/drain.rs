//! The connections that have to go, and when: the user's policy, and the plan that follows from it.

mod plan;

use std::time::Duration;

pub(super) use plan::{Facts, Fate, FixedPoints, Standing, Why, is_most, plan};

/// The policy by which a server ends connections.
///
/// A connection is drained: the peer is told to go (GOAWAY, RFC 9113 §6.8), running calls and streams finish, and what is left
/// after the timeout is cut. Whatever is set here, a connection is cut when the peer's certificate has expired.
///
/// | because | it is drained | and cut after |
/// |---|---|---|
/// | its generation is superseded | never, or spread | `drain_timeout` |
/// | the peer's leaf is about to expire | at a point of its own in `expiry_window` | `drain_timeout` |
/// | our leaf is about to expire, and there is a newer one | as above | `drain_timeout` |
/// | our leaf has expired, and the policy is to fail closed | at once | `drain_timeout` |
/// | its peer's CA is no longer trusted, a CRL revokes its peer, or the list of allowed peers has it no more | at once, or spread | `untrusted_timeout` |
/// | its age | at a point of its own before `max_age` | `drain_timeout` |
///
/// An own leaf that is about to expire with nothing newer ends no connection: the peer would come back to the same leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainPolicy {
    /// The policy for connections of an older generation. Kept unless set: a rotation is no reason to disturb anybody.
    pub superseded: Superseded,
    /// The time before a leaf's end in which the connections made with it are drained, each at a point of its own; never more than a
    /// quarter of what was left of the leaf when the connection began. 5 minutes unless set; longer spreads the reconnects more.
    pub expiry_window: Duration,
    /// The time the calls of a drained connection may go on. 30 s unless set. At shutdown
    /// [`Server::shutdown_timeout`](super::Server::shutdown_timeout) counts instead.
    pub drain_timeout: Duration,
    /// The time they may go on where the peer is no longer trusted. 5 s unless set.
    pub untrusted_timeout: Duration,
    /// The time over which connections whose peers are no longer trusted are drained where they are more than half of all: then
    /// a bundle that went wrong is as likely as a CA that went bad, and all peers at once would come back. 30 s unless set;
    /// zero ends them at once.
    pub untrusted_spread: Duration,
    /// The age at which a connection is drained, whatever else holds; `None` unless set. It moves peers to other instances behind a
    /// balancer of connections.
    pub max_age: Option<MaxAge>,
}

impl DrainPolicy {
    /// The default of [`DrainPolicy::expiry_window`]: shorter than that of our channels, so that they move by themselves before.
    pub const EXPIRY_WINDOW: Duration = Duration::from_secs(5 * 60);
    /// The default of [`DrainPolicy::drain_timeout`].
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
    /// The default of [`DrainPolicy::untrusted_timeout`], as at our channels.
    pub const UNTRUSTED_TIMEOUT: Duration = Duration::from_secs(5);
    /// The default of [`DrainPolicy::untrusted_spread`].
    pub const UNTRUSTED_SPREAD: Duration = Duration::from_secs(30);

    /// The default policy.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            superseded: Superseded::Keep,
            expiry_window: Self::EXPIRY_WINDOW,
            drain_timeout: Self::DRAIN_TIMEOUT,
            untrusted_timeout: Self::UNTRUSTED_TIMEOUT,
            untrusted_spread: Self::UNTRUSTED_SPREAD,
            max_age: None,
        }
    }

    /// Sets [`DrainPolicy::superseded`](#structfield.superseded).
    #[must_use]
    pub const fn superseded(self, superseded: Superseded) -> Self {
        Self { superseded, ..self }
    }

    /// Sets [`DrainPolicy::expiry_window`](#structfield.expiry_window).
    #[must_use]
    pub const fn expiry_window(self, expiry_window: Duration) -> Self {
        Self { expiry_window, ..self }
    }

    /// Sets [`DrainPolicy::drain_timeout`](#structfield.drain_timeout).
    #[must_use]
    pub const fn drain_timeout(self, drain_timeout: Duration) -> Self {
        Self { drain_timeout, ..self }
    }

    /// Sets [`DrainPolicy::untrusted_timeout`](#structfield.untrusted_timeout).
    #[must_use]
    pub const fn untrusted_timeout(self, untrusted_timeout: Duration) -> Self {
        Self { untrusted_timeout, ..self }
    }

    /// Sets [`DrainPolicy::untrusted_spread`](#structfield.untrusted_spread).
    #[must_use]
    pub const fn untrusted_spread(self, untrusted_spread: Duration) -> Self {
        Self { untrusted_spread, ..self }
    }

    /// Sets [`DrainPolicy::max_age`](#structfield.max_age).
    #[must_use]
    pub const fn max_age(self, max_age: MaxAge) -> Self {
        Self { max_age: Some(max_age), ..self }
    }
}

impl Default for DrainPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The policy for connections that were made with an older generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Superseded {
    /// They go on. The identity reports a rotation as settled when they have ended by themselves.
    #[default]
    Keep,
    /// They are drained, one after the other.
    Drain {
        /// From the swap on: of n connections the k-th goes after k n-ths of it, the oldest first.
        over: Duration,
    },
}

/// The age at which a connection is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaxAge {
    /// The age that none exceeds, but for the drain timeout.
    pub age: Duration,
    /// The most by which a connection goes earlier, each at a point of its own, so that those that came together do not go together.
    pub jitter: Duration,
}

impl MaxAge {
    /// An age, and the most by which a connection goes earlier.
    #[must_use]
    pub const fn new(age: Duration, jitter: Duration) -> Self {
        Self { age, jitter }
    }
}
