//! Callers that an observer takes at their word, as it cannot see their processes: those of other pods, where evercertd is in one
//! without `hostPID: true`.
//!
//! Such a caller has a user, and nothing else that the kernel vouches for. Since an observer hands out no key to anybody, its report is
//! taken nevertheless, and marked as unattested. It has to say itself which identity it speaks of: by the digest of what it holds, which
//! has to be what is published, or by the UID of its pod and the name of the volume. What it is told is the number and the digest
//! of the generation that is published: no certificate, no finding, and of other identities not even the name.
//!
//! Nobody is asked to prove that it holds the key. That would prove an identity, not a pod: replicas share one Secret. And it would have
//! services sign what whoever serves the socket makes up. So what these callers say is counted apart from what is known.

use std::sync::Arc;

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::identity::{IdentityId, IdentityName, Scope, is_pod_uid};
use evercert_core::keeper::IdentityState;
use tonic::Status;

use crate::inventory::Wanted;
use crate::publication::Store;
use crate::serve::CANDIDATES;

/// What such a caller says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct PodClaim {
    pod: Option<Arc<str>>,
    held: Option<Digest>,
}

impl PodClaim {
    /// What the caller says: the UID of its pod, empty for none, and the digest of what it holds.
    ///
    /// # Errors
    ///
    /// The UID is none that a pod can have.
    pub(in crate::serve) fn of(pod_uid: &str, held: Option<Digest>) -> Result<Self, Status> {
        let pod = match pod_uid {
            "" => None,
            uid if is_pod_uid(uid) => Some(uid.into()),
            _ => return Err(Status::invalid_argument("`pod_uid` is not the UID of a pod, as in its metadata.uid")),
        };
        Ok(Self { pod, held })
    }

    /// The pod it says it is in.
    pub(super) fn pod(&self) -> Option<&Arc<str>> {
        self.pod.as_ref()
    }

    /// The identity called `name` that is meant. That of its pod may be one of `wanted` whose files have not been read yet. By content
    /// alone it can only be told where one identity has it: replicas share theirs, and none speaks for another's pod.
    pub(in crate::serve) fn identity(&self, store: &Store, wanted: &Wanted, name: &IdentityName) -> Option<IdentityId> {
        let of_pod = self.pod.as_ref().map(|pod| IdentityId::pod(Arc::clone(pod), name.clone()));
        if let Some(id) = of_pod.filter(|id| store.get(id).is_some() || wanted.ids.contains(id)) {
            return Some(id);
        }
        let mut fitting = store.all().into_iter().filter(|state| state.spec.id.name == *name && self.fits(state));
        match (fitting.next(), fitting.next()) {
            (Some(state), None) => Some(state.spec.id.clone()),
            _ => None,
        }
    }

    /// The identities that it may mean: those with what it holds, and the volume of its pod that is called `name`. `left_out` is called
    /// where there are more than are told.
    pub(super) fn candidates(&self, store: &Store, name: &str, left_out: impl FnOnce()) -> Vec<v1::IdentitySummary> {
        let is_named = |state: &IdentityState| self.is_in(&state.spec.id) && state.spec.id.name.as_str() == name;
        let candidates = store.all().into_iter().filter_map(|state| {
            let fits = self.fits(&state);
            let digest = self.held.filter(|_| fits).map(|held| held.as_bytes().to_vec()).unwrap_or_default();
            let identity = || state.spec.id.name.to_string();
            (fits || is_named(&state)).then(|| v1::IdentitySummary {
                identity: identity(),
                digest,
                ..Default::default()
            })
        });
        let mut told: Vec<_> = candidates.take(CANDIDATES + 1).collect();
        if told.len() > CANDIDATES {
            told.truncate(CANDIDATES);
            left_out();
        }
        told
    }

    fn is_in(&self, id: &IdentityId) -> bool {
        matches!((&id.scope, &self.pod), (Scope::Pod(uid), Some(pod)) if uid == pod)
    }

    /// Whether what it holds is what is published there. In another pod than its own it is not.
    fn fits(&self, state: &IdentityState) -> bool {
        let is_elsewhere =
            matches!(state.spec.id.scope, Scope::Pod(_)) && self.pod.is_some() && !self.is_in(&state.spec.id);
        let published = state.snapshot.as_ref().map(|snapshot| snapshot.digest());
        !is_elsewhere && self.held.is_some() && published == self.held
    }
}

/// The answer where nothing fits.
pub(super) fn unknown(name: &str) -> Status {
    Status::not_found(format!(
        "evercertd cannot see this process, which is in another pod or on the node, while evercertd is in a pod without hostPID: \
         true, and no identity called {name} fits what the process says of itself: set EVERCERT_POD_UID to the metadata.uid of \
         its pod and name a volume of that pod, or set hostPID: true for evercertd"
    ))
}
