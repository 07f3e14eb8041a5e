//! The channels that a balanced channel has at the moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::endpoints::Endpoints;
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
    /// Whether there are more endpoints than that.
    pub(super) is_cut: bool,
}

impl Set {
    /// The set of these endpoints, as many as a channel is balanced over. Those that are in this one keep their channels, and so come first:
    /// a resolver may give the addresses of a name in another order each time.
    pub(super) fn next(&self, endpoints: Vec<Endpoint>, identity: &Identity, number: &mut u64) -> Self {
        let in_use: HashMap<_, _> = self.slots.iter().map(|slot| (&slot.place, slot)).collect();
        let (mut slots, mut new, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for endpoint in endpoints {
            let place = endpoint.place();
            match in_use.get(&place) {
                _ if !seen.insert(place.clone()) => {}
                Some(slot) => slots.push(Arc::clone(slot)),
                None => new.push((place, endpoint)),
            }
        }
        let is_cut = seen.len() > Endpoints::MOST;
        new.truncate(Endpoints::MOST - slots.len());
        slots.extend(new.into_iter().map(|(place, endpoint)| {
            *number += 1;
            Arc::new(Slot { number: *number, place, channel: endpoint.connect_lazy(identity) })
        }));
        Self { slots, trouble: None, is_cut }
    }

    /// The longest wait of a call for its response, by whichever endpoint; `None` where one has no limit, or there is none.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let timeouts: Option<Vec<_>> = self.slots.iter().map(|slot| slot.channel.timeout()).collect();
        timeouts?.into_iter().max()
    }

    /// This set, although there should be another one.
    pub(super) fn in_trouble(&self, trouble: Arc<ConnectError>) -> Self {
        Self { slots: self.slots.clone(), trouble: Some(trouble), is_cut: self.is_cut }
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use tokio::sync::watch;

    use super::*;
    use crate::source::{Report, Source, SourceState};

    struct Silent(watch::Sender<SourceState>);

    impl Source for Silent {
        fn state(&self) -> watch::Receiver<SourceState> {
            self.0.subscribe()
        }

        fn report(&self, _: Report) {}
    }

    fn endpoints(ports: Range<u16>) -> impl Iterator<Item = Endpoint> {
        ports.map(|port| Endpoint::new(format!("https://192.0.2.1:{port}")).unwrap())
    }

    #[test]
    fn of_too_many_endpoints_those_in_use_stay_in_whichever_order_they_come() {
        let identity =
            Identity::from_source("test", Arc::new(Silent(watch::Sender::default()))).start_pending().unwrap();
        let (mut number, most) = (0, Endpoints::MOST as u64);
        let first = Set::default().next(endpoints(1..301).chain(endpoints(1..301)).collect(), &identity, &mut number);
        assert!(first.is_cut && number == most && first.slots.len() == Endpoints::MOST);
        let turned = endpoints(150..301).chain(endpoints(1..150)).collect();
        let second = first.next(turned, &identity, &mut number);
        assert!(second.is_cut && number == most && second.slots.len() == Endpoints::MOST);
        // Of those that are in use all but ten have left.
        let third = second.next(endpoints(247..400).collect(), &identity, &mut number);
        assert!(!third.is_cut && number == most + 143 && third.slots.len() == 153);
        assert_eq!(third.slots.iter().filter(|slot| slot.number <= most).count(), 10);
    }
}
