//! The links of a channel, one for each runtime that uses it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Id;
use tokio::sync::watch;

use super::connector::Connector;
use super::link::{ChannelState, Link};
use super::readiness::here;

/// The links of a channel, one for each runtime that uses it.
///
/// A connection is driven by the runtime that it was made on. Were it shared, calls of one runtime would fail when another ends, and wait
/// for ever while that is not run.
pub(super) struct Links {
    connector: Connector,
    all: ArcSwap<Vec<OfRuntime>>,
    adding: Mutex<()>,
}

#[derive(Clone)]
struct OfRuntime {
    runtime: Option<Id>,
    link: Arc<Link>,
}

impl Links {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, all: ArcSwap::default(), adding: Mutex::default() }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The link of the current runtime; outside of any, the first there is.
    pub(super) fn here(&self) -> Arc<Link> {
        let here = here();
        self.find(here).unwrap_or_else(|| self.add(here))
    }

    /// The states of those whose runtime lives: whoever watches one of an ended runtime would keep it.
    pub(super) fn states(&self) -> Vec<watch::Receiver<ChannelState>> {
        self.all.load().iter().filter(|of| of.link.is_kept()).map(|of| of.link.state()).collect()
    }

    fn find(&self, runtime: Option<Id>) -> Option<Arc<Link>> {
        let all = self.all.load();
        let of_runtime = all.iter().find(|of| runtime.is_none() || of.runtime == runtime)?;
        Some(Arc::clone(&of_runtime.link))
    }

    fn add(&self, runtime: Option<Id>) -> Arc<Link> {
        let _adding = self.adding.lock();
        if let Some(link) = self.find(runtime) {
            return link;
        }
        let mut all = self.all.load().to_vec();
        // One that was asked for outside of any runtime is that of the first: whoever watches it sees what happens there.
        let link = match all.iter().position(|of| of.runtime.is_none()) {
            Some(early) => all.swap_remove(early).link,
            None => Link::new(self.connector.clone()),
        };
        // Those of runtimes that have ended: the two lists alone have them.
        all.retain(|of| of.link.is_used() || Arc::strong_count(&of.link) > 2);
        all.push(OfRuntime { runtime, link: Arc::clone(&link) });
        self.all.store(Arc::new(all));
        link
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.all.load().iter().for_each(|of| of.link.stop());
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.load().iter().map(|of| of.link.state().borrow().clone())).finish()
    }
}
