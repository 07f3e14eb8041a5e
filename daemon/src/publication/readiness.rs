//! Whether every identity of the node has a published generation, and which have not. Those of pods come and go with them, and make
//! no node unready. A watched directory that is missing does: nothing found is no proof that nothing was asked for.

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

/// Which identities are wanted and there.
pub(crate) struct Presence {
    wanted: Arc<Wanted>,
    changes: u64,
}

impl PartialEq for Presence {
    /// What is wanted is replaced whole.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.wanted, &other.wanted) && self.changes == other.changes
    }
}

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
        let mut identities = Vec::new();
        let wanted = self.each(|id, state| identities.push((id.clone(), state.map(Arc::clone))));
        (identities, wanted.pods.clone())
    }

    /// How many identities are published, and how many there are: of the node, and of its pods.
    pub(crate) fn count(&self) -> Counts {
        let wanting = self.watched().iter().filter(|watched| watched.is_wanting).count();
        let mut counts = Counts { wanting, ..Counts::default() };
        self.each(|id, state| {
            let (published, all) = if id.scope == Scope::Node { &mut counts.node } else { &mut counts.pods };
            *published += usize::from(is_published(state));
            *all += 1;
        });
        counts
    }

    /// Whether the files of everything that is wanted were read once.
    pub(crate) fn is_read(&self) -> bool {
        let mut is_read = true;
        self.each(|_, state| is_read &= state.is_some());
        is_read
    }

    /// Another one whenever what [`Readiness::count`] and [`Readiness::is_read`] say may be something else.
    pub(crate) fn presence(&self) -> Presence {
        Presence { wanted: Arc::clone(&self.wanted.borrow()), changes: *self.store.presence().borrow() }
    }

    /// Has everything that is wanted looked at, and says what that is.
    fn each(&self, mut look: impl FnMut(&IdentityId, Option<&Arc<IdentityState>>)) -> Arc<Wanted> {
        let (states, wanted) = (self.store.all(), Arc::clone(&self.wanted.borrow()));
        // Both are in the same order.
        let mut states = states.iter().peekable();
        for id in &wanted.ids {
            while states.next_if(|state| state.spec.id < *id).is_some() {}
            look(id, states.next_if(|state| state.spec.id == *id));
        }
        wanted
    }

    /// The state of the patterns of directories.
    pub(crate) fn watched(&self) -> Arc<[Watched]> {
        Arc::clone(&self.wanted.borrow().watched)
    }

    /// The identities of the node without a published generation, and why.
    pub(crate) fn unpublished(&self) -> Vec<Unpublished> {
        let mut unpublished = Vec::new();
        self.each(|id, state| {
            if id.scope == Scope::Node && !is_published(state) {
                unpublished.push(Unpublished { id: id.clone(), why: why(state.map(|state| &**state)) });
            }
        });
        unpublished
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

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use evercert_core::clock::Now;
    use evercert_core::keeper::Observer as _;
    use evercert_core::lifecycle::{Event, Lifecycle};
    use evercert_core::material::Material;
    use evercert_core::mount;
    use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
    use evercert_fixtures::{Authority, Files, KubeletVolume};

    use super::*;

    /// Has the store hold an identity as its files are now.
    fn read(store: &Store, lifecycle: &mut Lifecycle) {
        let spec = Arc::clone(&lifecycle.state().spec);
        let material = Material::parse(&spec, mount::read(&spec.files));
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        let _ = lifecycle.handle(Event::Read { material, final_try: true }, now);
        store.state(&spec.id, Arc::clone(lifecycle.state()));
    }

    #[test]
    fn who_is_there_changes_with_who_comes_and_goes_and_with_no_rotation() {
        let ca = Authority::new("Test CA");
        let leaf = || ca.issue_dns("server.example.org").files();
        let volumes = [leaf(), Files::new()].map(|files| KubeletVolume::new(&files));
        let [mut full, mut empty] = [("full", &volumes[0]), ("empty", &volumes[1])].map(|(name, volume)| {
            Lifecycle::new(Arc::new(IdentitySpec {
                id: IdentityId::node(name.parse().unwrap()),
                files: FileSet::cert_manager(volume.path()),
                expectations: Expectations::default(),
                overlap: IdentitySpec::OVERLAP,
            }))
        });
        let ids = [&full, &empty].map(|lifecycle| lifecycle.state().spec.id.clone()).into();
        let (wanted, wanted_now) = watch::channel(Arc::new(Wanted { ids, ..Wanted::default() }));
        let store = Store::new(1);
        let readiness = Readiness::new(wanted_now, Arc::clone(&store));
        let mut seen = readiness.presence();
        let mut look = || {
            let is_another = std::mem::replace(&mut seen, readiness.presence()) != seen;
            (is_another, readiness.is_read(), readiness.count().node)
        };
        assert_eq!(look(), (false, false, (0, 2)));
        read(&store, &mut full);
        assert_eq!(look(), (true, false, (1, 2)));
        read(&store, &mut empty);
        assert_eq!(look(), (true, true, (1, 2)), "nothing of it is published");
        volumes[0].swap(&leaf());
        read(&store, &mut full);
        assert_eq!(look(), (false, true, (1, 2)), "it was rotated");
        volumes[1].swap(&leaf());
        read(&store, &mut empty);
        assert_eq!(look(), (true, true, (2, 2)));
        store.removed(&empty.state().spec.id);
        assert_eq!(look(), (true, false, (1, 2)));
        wanted.send_replace(Arc::new(Wanted { ids: [full.state().spec.id.clone()].into(), ..Wanted::default() }));
        assert_eq!(look(), (true, true, (1, 1)));
    }
}
