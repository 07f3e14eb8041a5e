//! The place where handshakes find the config of the moment.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::connections::Connections;
use crate::identity::{Commit, Consumer, Member};
use crate::refusal::Refusal;
use crate::tls::apart::ExpensiveChains;
use crate::tls::config::ServerHandshakes;
use crate::tls::{Generation, ServerTls};

/// The place where handshakes find the config of the moment; one for each identity of a server, attached to it.
pub(super) struct Slot {
    tls: ServerTls,
    prepared: Arc<ArcSwapOption<Prepared>>,
    connections: Arc<Connections>,
}

/// A generation as a handshake needs it.
pub(super) struct Prepared {
    pub(super) generation: Arc<Generation>,
    pub(super) handshakes: ServerHandshakes,
}

impl Slot {
    pub(super) fn new(tls: ServerTls, connections: Arc<Connections>) -> Self {
        Self { tls, prepared: Arc::default(), connections }
    }

    /// The generation for a handshake that begins now, and its place in the tally; `None`: there is none.
    pub(super) fn begin(&self) -> Option<(Arc<Prepared>, Member)> {
        loop {
            let prepared = self.prepared.load_full()?;
            let member = self.connections.begin(&prepared.generation);
            if self.prepared.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, &prepared)) {
                return Some((prepared, member));
            }
        }
    }

    /// Whether there is anything to make a handshake with.
    pub(super) fn is_ready(&self) -> bool {
        self.prepared.load().is_some()
    }

    /// The server's connections.
    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }
}

impl Consumer for Slot {
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal> {
        let handshakes = ServerHandshakes::new(generation, &self.tls, ExpensiveChains::Apart)?;
        let prepared = Arc::new(Prepared { generation: Arc::clone(generation), handshakes });
        let (slot, connections) = (Arc::clone(&self.prepared), Arc::clone(&self.connections));
        Ok(Box::new(move || {
            // In this order no connection is entered with a generation that the live ones do not know of yet.
            connections.publish(Arc::clone(&prepared.generation));
            slot.store(Some(prepared));
        }))
    }

    fn withdraw(&self, _refusal: &Refusal) {
        self.prepared.store(None);
        self.connections.withdraw();
    }
}
