//! The door: takes connections from the kernel's queue as fast as they come, and lets in no more of one party than it may have.
//!
//! A peer that connects without waiting is refused by the kernel while that queue is full, so nothing that costs is done here: who it
//! is by its credentials, how often and how many of its party there are, and what is too much is closed at once. Whether a caller
//! is who it says it is is found out behind the door.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::super::limits::Limits;
use super::super::turned_away::{Doorkeeper, TurnedAway};
use super::intake::{Accepting, Intake};
use crate::callers::{Full, Party, Processes, Quota, Rates, Share};

/// The thread's priority for a processor over others, where evercertd may ask for that: as root, or with RLIMIT_NICE
/// (`LimitNICE=` of the unit). Measured on two cores: without it, one process that connects in a loop has the kernel refuse one newcomer
/// in seven that does not wait, and six have it refuse two of three; with -10, one in twenty; with -20, none.
const NICE: i32 = -20;

/// The time for which a process's party is remembered. It decides on rates and numbers only.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The number of processes remembered.
const PROCESSES: usize = 4096;

/// The most visitors that wait to be known, however many connections there may be.
const QUEUE: usize = 1 << 20;

/// A connection that may be had, of a caller that is not known yet.
pub(super) struct Visitor {
    pub(super) stream: UnixStream,
    pub(super) share: Share,
}

/// Those who come in. The door is shut when this is dropped.
pub(super) struct Visitors {
    visitors: mpsc::Receiver<Visitor>,
    _accepting: Accepting,
}

impl Visitors {
    /// Opens the door on a thread of its own.
    ///
    /// # Errors
    ///
    /// There is no thread or descriptor to be had.
    pub(super) fn of(
        listener: UnixListener,
        limits: &Limits,
        processes: Arc<Processes>,
        doorkeeper: Arc<Doorkeeper>,
    ) -> io::Result<Self> {
        // Those who have a share, and as many that have lost theirs meanwhile.
        let (sender, visitors) = mpsc::channel(limits.connections.in_all.saturating_mul(2).clamp(1, QUEUE));
        let door = Door {
            visitors: sender,
            rates: Rates::new(limits.arrivals.in_all, limits.arrivals.per_caller),
            quota: Quota::new(limits.connections),
            parties: HashMap::new(),
            processes,
            doorkeeper,
        };
        Ok(Self { visitors, _accepting: Accepting::start(listener, "door", Some(NICE), door)? })
    }

    /// The next one; none where the door is shut for good.
    pub(super) async fn next(&mut self) -> Option<Visitor> {
        self.visitors.recv().await
    }
}

struct Door {
    visitors: mpsc::Sender<Visitor>,
    rates: Rates,
    quota: Arc<Quota>,
    parties: HashMap<(u32, u32), (Instant, Party)>,
    processes: Arc<Processes>,
    doorkeeper: Arc<Doorkeeper>,
}

impl Intake for Door {
    fn came(&mut self, stream: OwnedFd) -> ControlFlow<()> {
        match self.look_at(stream).map(|visitor| self.visitors.try_send(visitor)) {
            Some(Err(TrySendError::Closed(_))) => return ControlFlow::Break(()),
            Some(Err(TrySendError::Full(visitor))) => {
                self.doorkeeper.turned_away(Some(visitor.share.party()), TurnedAway::TooManyInAll);
            }
            None | Some(Ok(())) => {}
        }
        ControlFlow::Continue(())
    }

    fn exhausted(&mut self, _: Errno) {
        self.doorkeeper.turned_away(None, TurnedAway::Descriptors);
    }
}

impl Door {
    /// Lets in a peer that may have one connection more. Any other is closed at once: to let it wait would let it take the places
    /// of others in the kernel's queue.
    fn look_at(&mut self, stream: OwnedFd) -> Option<Visitor> {
        let credentials = getsockopt(&stream, PeerCredentials).ok()?;
        let pid = u32::try_from(credentials.pid()).unwrap_or(0);
        let party = self.party(pid, credentials.uid());
        if self.rates.check(&party).is_err() {
            self.doorkeeper.turned_away(Some(&party), TurnedAway::TooOften);
            return None;
        }
        // A process that cannot be seen may be of as many users as it likes.
        let party = if pid == 0 { Party::AllUnseen } else { party };
        match self.quota.claim(party.clone()) {
            Ok((share, loser)) => {
                if let Some(loser) = loser {
                    self.doorkeeper.turned_away(Some(&loser), TurnedAway::Displaced);
                }
                Some(Visitor { stream: stream.into(), share })
            }
            Err(full) => {
                let reason = match full {
                    Full::PerCaller => TurnedAway::TooMany,
                    Full::InAll => TurnedAway::TooManyInAll,
                };
                self.doorkeeper.turned_away(Some(&party), reason);
                None
            }
        }
    }

    fn party(&mut self, pid: u32, uid: u32) -> Party {
        let now = Instant::now();
        if let Some((since, party)) = self.parties.get(&(pid, uid))
            && now.duration_since(*since) < REMEMBERED
        {
            return party.clone();
        }
        if self.parties.len() >= PROCESSES {
            self.parties.clear();
        }
        let party = Party::of_process(pid, uid, self.processes.prefixes());
        self.parties.insert((pid, uid), (now, party.clone()));
        party
    }
}
