//! Whether every identity has a published generation, and which have not.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use evercert_core::identity::IdentityId;
use evercert_core::keeper::IdentityState;
use tokio::sync::watch;

use crate::store::Store;
use crate::wanted::Wanted;

/// The identities that should be published, held against what is. The ones that are wanted are known before their
/// files were first read, which on a mount that hangs is never.
#[derive(Clone)]
pub(crate) struct Readiness {
    wanted: watch::Receiver<Arc<Wanted>>,
    store: Arc<Store>,
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

    /// Every identity that is wanted, with its state once its files were first read.
    pub(crate) fn identities(&self) -> Vec<(IdentityId, Option<Arc<IdentityState>>)> {
        let mut states: HashMap<_, _> =
            self.store.all().into_iter().map(|state| (state.spec.id.clone(), state)).collect();
        let wanted = Arc::clone(&self.wanted.borrow());
        wanted.ids.iter().map(|id| (id.clone(), states.remove(id))).collect()
    }

    /// How many identities are published, and how many there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        let identities = self.identities();
        (identities.iter().filter(|(_, state)| is_published(state.as_ref())).count(), identities.len())
    }

    /// The identities without a published generation, and why.
    pub(crate) fn unpublished(&self) -> Vec<Unpublished> {
        self.identities()
            .into_iter()
            .filter(|(_, state)| !is_published(state.as_ref()))
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
