//! The limits of connections that have not finished their handshake.

use std::time::Duration;

/// The limits of connections that have not finished their handshake. They bound what peers cost that have proven nothing yet, so
/// none of them can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptLimits {
    /// The time a peer may take to send its ClientHello, the first thing it has to do. Longer: a silent peer keeps its place.
    pub client_hello: Duration,
    /// The time a peer may take for the rest of the handshake: two round trips, and its signature where it shows a certificate.
    pub handshake: Duration,
    /// The time a peer may take after the handshake to send the HTTP/2 connection preface (RFC 9113 §3.4), or to begin its first request
    /// where HTTP/1.1 was agreed on.
    pub preface: Duration,
    /// The most connections between accept and the end of their handshake. At the limit no more are accepted, and wait in
    /// the kernel's queue. Each costs a file descriptor and some 10 kB.
    pub unfinished: usize,
    /// The most of them from one IPv4 address or one IPv6 /64; one more waits until one of these is done, see
    /// [`AcceptLimits::waiting`]. Clients behind one proxy or address translation count as one.
    pub unfinished_per_peer: usize,
    /// The most connections that wait because their peer has as many unfinished ones as it may. They cost a file descriptor each and
    /// nothing else, since nothing is read of them, and no place of another peer: at the limit, or when the process is out of
    /// descriptors, the newest one of the peer that has the most is closed. A warning in the log says so, once a minute at most. No more
    /// wait than a quarter of the file descriptors that the process may have (`RLIMIT_NOFILE`).
    pub waiting: usize,
    /// The most handshakes that compute at a time. A place is held for the computing alone and never while a peer is awaited, so
    /// stalled peers take none. More of them make a burst of handshakes faster and running calls slower meanwhile.
    ///
    /// Of chains that may cost more to verify than a leaf over one or two issuers no more are verified at a time, in all servers of the
    /// process, than there are cores, and never on a worker that has other tasks: a runtime of several workers hands these on, and with a
    /// runtime of one thread all handshakes compute on threads of their own.
    pub computing: usize,
}

impl AcceptLimits {
    /// Sets [`AcceptLimits::client_hello`](#structfield.client_hello).
    #[must_use]
    pub fn client_hello(mut self, client_hello: Duration) -> Self {
        self.client_hello = client_hello;
        self
    }

    /// Sets [`AcceptLimits::handshake`](#structfield.handshake).
    #[must_use]
    pub fn handshake(mut self, handshake: Duration) -> Self {
        self.handshake = handshake;
        self
    }

    /// Sets [`AcceptLimits::preface`](#structfield.preface).
    #[must_use]
    pub fn preface(mut self, preface: Duration) -> Self {
        self.preface = preface;
        self
    }

    /// Sets [`AcceptLimits::unfinished`](#structfield.unfinished).
    #[must_use]
    pub fn unfinished(mut self, unfinished: usize) -> Self {
        self.unfinished = unfinished;
        self
    }

    /// Sets [`AcceptLimits::unfinished_per_peer`](#structfield.unfinished_per_peer).
    #[must_use]
    pub fn unfinished_per_peer(mut self, unfinished_per_peer: usize) -> Self {
        self.unfinished_per_peer = unfinished_per_peer;
        self
    }

    /// Sets [`AcceptLimits::waiting`](#structfield.waiting).
    #[must_use]
    pub fn waiting(mut self, waiting: usize) -> Self {
        self.waiting = waiting;
        self
    }

    /// Sets [`AcceptLimits::computing`](#structfield.computing).
    #[must_use]
    pub fn computing(mut self, computing: usize) -> Self {
        self.computing = computing;
        self
    }
}

impl Default for AcceptLimits {
    /// 2 s for the ClientHello, 5 s for the rest, 10 s for the preface; 4,096 unfinished ones, 512 of one peer, 4,096 that wait, 32 computing.
    fn default() -> Self {
        Self {
            client_hello: Duration::from_secs(2),
            handshake: Duration::from_secs(5),
            preface: Duration::from_secs(10),
            unfinished: 4096,
            unfinished_per_peer: 512,
            waiting: 4096,
            computing: 32,
        }
    }
}
