//! The channels that a balanced channel has at the moment.

use std::sync::Arc;

use crate::client::channel::Channel;
use crate::client::endpoint::{Endpoint, Place};
use crate::client::error::ConnectError;
use crate::identity::Identity;

/// The channel to one endpoint of the set. Its only owner is the set, so that one that leaves it drains, whoever is idle meanwhile.
#[derive(Debug)]
pub(super) struct Slot {
    /// Counted up in the set's life: an endpoint that left and came back is another one.
    pub(super) number: u64,
    place: Place,
    pub(super) channel: Channel,
}

/// One immutable set.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) slots: Vec<Arc<Slot>>,
    /// Why there is no newer set, or no endpoint in it; `None` before the first one too.
    pub(super) trouble: Option<Arc<ConnectError>>,
}

impl Set {
    /// The set of these endpoints. Those that are in this one keep their channels.
    pub(super) fn next(&self, endpoints: Vec<Endpoint>, identity: &Identity, number: &mut u64) -> Self {
        let mut slots: Vec<Arc<Slot>> = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let place = endpoint.place();
            if slots.iter().any(|slot| slot.place == place) {
                continue;
            }
            let slot = self.slots.iter().find(|slot| slot.place == place).cloned().unwrap_or_else(|| {
                *number += 1;
                Arc::new(Slot { number: *number, place, channel: endpoint.connect_lazy(identity) })
            });
            slots.push(slot);
        }
        Self { slots, trouble: None }
    }

    /// This set, although there should be another one.
    pub(super) fn in_trouble(&self, trouble: Arc<ConnectError>) -> Self {
        Self { slots: self.slots.clone(), trouble: Some(trouble) }
    }

    /// Whether no call can succeed at the moment: every endpoint has failed, or there is none for a reason.
    pub(super) fn has_failed(&self) -> bool {
        if self.slots.is_empty() {
            self.trouble.is_some()
        } else {
            self.slots.iter().all(|slot| slot.channel.has_failed())
        }
    }
}
