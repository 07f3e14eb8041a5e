//! Whether every identity of the node has a published generation, and which have not. Those of pods come and go with them, and make
//! no node unready. A watched directory that is missing does: nothing found is no proof that nothing was asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use evercert_core::identity::{IdentityId, Scope};
use evercert_core::keeper::IdentityState;
use tokio::sync::watch;

use crate::inventory::Wanted;
use crate::inventory::pods::PodNames;
use crate::inventory::sources::Watched;
use crate::publication::Store;

/// The identities that should be published, held against what is. The ones that are wanted are known before their
/// files were first read, which on a mount that hangs is never.
#[derive(Clone)]
pub(crate) struct Readiness {
    wanted: watch::Receiver<Arc<Wanted>>,
    store: Arc<Store>,
}

/// An identity that is wanted, and its state once there is one.
pub(crate) type WantedState = (IdentityId, Option<Arc<IdentityState>>);

/// How many identities are published, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Of the node.
    pub(crate) node: (usize, usize),
    /// Of its pods.
    pub(crate) pods: (usize, usize),
    /// Patterns of directories whose directories are missing.
    pub(crate) wanting: usize,
}

impl Counts {
    /// Whether nothing is missing that the node was configured for.
    pub(crate) fn is_ready(&self) -> bool {
        self.node.0 == self.node.1 && self.wanting == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} identities published", self.node.0, self.node.1)?;
        if let (published, all @ 1..) = self.pods {
            write!(f, ", and {published} of {all} of pods")?;
        }
        match self.wanting {
            0 => Ok(()),
            wanting => write!(f, "; {wanting} of `directories` in [watch] wanting, see `evercertd status`"),
        }
    }
}

/// An identity without a published generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpublished {
    id: IdentityId,
    why: String,
}

impl fmt::Display for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.why)
    }
}

impl Readiness {
    /// Holds `wanted` against `store`.
    pub(crate) fn new(wanted: watch::Receiver<Arc<Wanted>>, store: Arc<Store>) -> Self {
        Self { wanted, store }
    }

    /// Every identity that is wanted, with its state once its files were first read; and what the pods are called.
    pub(crate) fn identities(&self) -> (Vec<WantedState>, PodNames) {
        let mut states: HashMap<_, _> =
            self.store.all().into_iter().map(|state| (state.spec.id.clone(), state)).collect();
        let wanted = Arc::clone(&self.wanted.borrow());
        (wanted.ids.iter().map(|id| (id.clone(), states.remove(id))).collect(), wanted.pods.clone())
    }

    /// How many identities are published, and how many there are: of the node, and of its pods.
    pub(crate) fn count(&self) -> Counts {
        let wanting = self.watched().iter().filter(|watched| watched.is_wanting).count();
        let mut counts = Counts { wanting, ..Counts::default() };
        for (id, state) in self.identities().0 {
            let (published, all) = if id.scope == Scope::Node { &mut counts.node } else { &mut counts.pods };
            *published += usize::from(is_published(state.as_ref()));
            *all += 1;
        }
        counts
    }

    /// The state of the patterns of directories.
    pub(crate) fn watched(&self) -> Arc<[Watched]> {
        Arc::clone(&self.wanted.borrow().watched)
    }

    /// The identities of the node without a published generation, and why.
    pub(crate) fn unpublished(&self) -> Vec<Unpublished> {
        let (identities, _) = self.identities();
        identities
            .into_iter()
            .filter(|(id, state)| id.scope == Scope::Node && !is_published(state.as_ref()))
            .map(|(id, state)| Unpublished { id, why: why(state.as_deref()) })
            .collect()
    }
}

fn is_published(state: Option<&Arc<IdentityState>>) -> bool {
    state.is_some_and(|state| state.snapshot.is_some())
}

fn why(state: Option<&IdentityState>) -> String {
    match state {
        None => "its files were not read yet".to_owned(),
        Some(state) => match state.findings.iter().max_by_key(|finding| finding.severity) {
            Some(worst) => format!("{}: {}", worst.check, worst.sentence),
            None => "nothing to publish was found".to_owned(),
        },
    }
}
