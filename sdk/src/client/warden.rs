//! Ends a connection before its time, whether calls still use it or not.
//!
//! A connection outlives the moment it was made, and its calls outlive the channel's move to the next one. So each has a warden, a task
//! that ends with it and holds its server against time and every new generation:
//!
//! | what happens | what becomes of the connection |
//! |---|---|
//! | the server's leaf expires | cut; the channel has moved before that, where the server showed a newer one |
//! | its issuer leaves the bundle, or a CRL revokes it | no new calls at once, cut after the timeout |
//! | the own leaf has expired, and the policy is to fail closed | the same |
//! | the own leaf has expired otherwise | nothing: the server judges that |

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::clock::expiry;
use tokio::time::Instant;

use super::connection::Life;
use super::error::Ending;
use super::target::{Targets, Wanted};
use crate::identity::CLOCK_CHECK;
use crate::tls::session::Session;

/// Watches one connection.
pub(super) struct Warden {
    pub(super) life: Arc<Life>,
    pub(super) session: Arc<Session>,
    pub(super) targets: Arc<Targets>,
    /// The time that calls on a server that is no longer trusted have.
    pub(super) untrusted_timeout: Duration,
}

/// The decision on a connection.
#[derive(Debug)]
enum Decision {
    /// It stays as it is for so long, if nothing else happens.
    Keep(Option<Duration>),
    /// It takes no new calls, and those that run have a while.
    Drain(Ending),
    Cut(Ending),
}

impl Warden {
    /// Completes once the connection is cut.
    pub(super) async fn watch(self) {
        let mut wanted = self.targets.subscribe();
        let mut deadline = None;
        loop {
            let now = wanted.borrow_and_update().clone();
            let wait = match judge(&self.session, &now, SystemTime::now()) {
                Decision::Keep(left) => {
                    // It may be trusted again before it was cut: calls that still run go on.
                    deadline = None;
                    left.unwrap_or(CLOCK_CHECK)
                }
                Decision::Drain(why) => {
                    let deadline = *deadline.get_or_insert_with(|| self.drain(&why));
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return self.cut(why);
                    }
                    left
                }
                Decision::Cut(why) => return self.cut(why),
            };
            // The sender lives as long as `targets`.
            _ = tokio::time::timeout(wait.min(CLOCK_CHECK), wanted.changed()).await;
        }
    }

    /// No new calls; gives the end of those that run.
    fn drain(&self, why: &Ending) -> Instant {
        tracing::warn!(
            origin = %self.life.origin(), %why, timeout = ?self.untrusted_timeout,
            "a connection takes no more calls; those that run have until the timeout"
        );
        self.life.end();
        Instant::now() + self.untrusted_timeout
    }

    fn cut(&self, why: Ending) {
        tracing::warn!(origin = %self.life.origin(), %why, "a connection is cut");
        self.life.end();
        self.life.cut().cut(why);
    }
}

fn judge(session: &Session, wanted: &Wanted, now: SystemTime) -> Decision {
    let mut left = None;
    if let Some(not_after) = session.peer_not_after() {
        match expiry(not_after).duration_since(now) {
            Ok(until) if !until.is_zero() => left = Some(until),
            _ => return Decision::Cut(Ending::Expired(not_after)),
        }
    }
    match wanted {
        Wanted::Nothing => Decision::Keep(left),
        Wanted::Refused(refusal) => Decision::Drain(Ending::Withdrawn(refusal.clone())),
        Wanted::Target(target) => match session.verify(&target.generation, now) {
            Ok(()) => Decision::Keep(left),
            Err(cause) => Decision::Drain(Ending::Untrusted { generation: target.number(), cause }),
        },
    }
}
