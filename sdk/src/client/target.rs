//! The generation a channel is to connect with.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::Goal;
use crate::identity::{Commit, Consumer};
use crate::refusal::Refusal;
use crate::tls::config::ClientHandshakes;
use crate::tls::{ClientTls, Generation};

/// One generation, as a channel uses it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) generation: Arc<Generation>,
    pub(super) tls: Arc<ClientHandshakes>,
    /// The time it was put to use.
    pub(super) since: Instant,
}

impl Target {
    /// The number its publisher gave the generation.
    pub(super) fn number(&self) -> u64 {
        self.generation.snapshot().generation()
    }

    /// The facts that the plan of a channel knows.
    pub(super) fn goal(&self) -> Goal {
        Goal { sequence: self.generation.sequence(), since: self.since.into_std() }
    }
}

/// The generation a channel wants to be connected with.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// There is no generation yet.
    Nothing,
    /// There is none that may be used.
    Refused(Refusal),
    Target(Arc<Target>),
}

impl Wanted {
    pub(super) fn target(&self) -> Option<&Arc<Target>> {
        match self {
            Self::Target(target) => Some(target),
            Self::Nothing | Self::Refused(_) => None,
        }
    }
}

/// The part of a channel that takes up generations. Its connections hold it too: trust is withdrawn from those that outlive the
/// channel as well.
#[derive(Debug)]
pub(super) struct Targets {
    tls: ClientTls,
    wanted: watch::Sender<Wanted>,
    this: Weak<Self>,
}

impl Targets {
    pub(super) fn new(tls: ClientTls) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { tls, wanted: watch::Sender::new(Wanted::Nothing), this: Weak::clone(this) })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }
}

impl Consumer for Targets {
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal> {
        let used = generation.of_client(&self.tls);
        let used = used.and_then(|used| Ok((Arc::new(ClientHandshakes::new(&used, &self.tls)?), used)));
        let (tls, generation) = match used {
            Ok(used) => used,
            Err(refusal) => {
                // With a target the last good stays; without one, calls are told why there is none.
                self.wanted.send_if_modified(|wanted| {
                    let first = !matches!(wanted, Wanted::Target(_));
                    if first {
                        *wanted = Wanted::Refused(refusal.clone());
                    }
                    first
                });
                return Err(refusal);
            }
        };
        let this = Weak::clone(&self.this);
        Ok(Box::new(move || {
            if let Some(this) = this.upgrade() {
                this.wanted.send_replace(Wanted::Target(Arc::new(Target { generation, tls, since: Instant::now() })));
            }
        }))
    }

    fn withdraw(&self, refusal: &Refusal) {
        self.wanted.send_replace(Wanted::Refused(refusal.clone()));
    }
}
