//! The subscriber of a feed, and whether it may have what it asks for.

use std::sync::Arc;

use evercert_core::identity::IdentityId;
use evercert_core::keeper::IdentityState;
use evercert_core::text;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::connection::{Displaced, Peer};
use crate::attest::{Attestor, Denial, Grant};
use crate::callers::{Origin, Use};
use crate::inventory::Wanted;
use crate::publication::{Delivery, NewSubscriber, TooManyUnattested};

/// How it is known who the subscriber is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) enum Standing {
    /// By its process, of which it is decided before everything that is told.
    Attested,
    /// By its word, for it cannot be seen. It has said which identity it has, before there was a feed; nothing is told that is to be
    /// decided on.
    Unattested {
        /// The UID of the pod it says it is in.
        pod: Option<Arc<str>>,
    },
}

/// The subscriber of a feed, its request, and the attestor that decides.
pub(in crate::serve) struct Asker {
    pub(in crate::serve) attestor: Arc<Attestor>,
    pub(in crate::serve) wanted: watch::Receiver<Arc<Wanted>>,
    pub(in crate::serve) peer: Arc<Peer>,
    /// It counts as a stream of its connection.
    pub(in crate::serve) _accepted: Use,
    pub(in crate::serve) displaced: Displaced,
    pub(in crate::serve) deliver: Delivery,
    pub(in crate::serve) standing: Standing,
    /// The version of its SDK, as it says.
    pub(in crate::serve) sdk_version: String,
    pub(in crate::serve) shutdown: CancellationToken,
}

impl Asker {
    /// Whether the subscriber may have what is in `state`, and by which grant where it is attested.
    pub(super) async fn decide(&self, state: &IdentityState) -> Result<Option<Grant>, Denial> {
        match self.standing {
            Standing::Attested => {
                let wanted = Arc::clone(&self.wanted.borrow());
                self.attestor.decide(&self.peer.caller, state, &wanted).await.map(Some)
            }
            Standing::Unattested { .. } => Ok(None),
        }
    }

    /// Whether the subscriber may hear what is found of the files: as for a key, but that there may be none yet.
    pub(super) async fn may_hear(&self, state: &IdentityState) -> Result<(), Denial> {
        match self.decide(state).await {
            Err(denial) if !denial.is_missing() => Err(denial),
            Ok(_) | Err(_) => self.confirm(),
        }
    }

    pub(super) fn confirm(&self) -> Result<(), Denial> {
        match self.standing {
            Standing::Attested => self.attestor.confirm(&self.peer.caller),
            Standing::Unattested { .. } => Ok(()),
        }
    }

    /// The subscriber, as it is registered.
    pub(super) fn subscriber(&self) -> NewSubscriber {
        let caller = &self.peer.caller;
        let (pod, unit) = match (&self.standing, caller.origin()) {
            (Standing::Unattested { pod }, _) => (pod.clone(), None),
            (_, Origin::Pod(uid)) => (Some(Arc::clone(uid)), None),
            (_, Origin::Host { unit }) => (None, unit.clone()),
            (_, Origin::Container | Origin::Unclear) => (None, None),
        };
        NewSubscriber {
            pid: caller.pid(),
            uid: caller.uid(),
            command: caller.command(),
            sdk_version: self.sdk_version.clone(),
            deliver: self.deliver,
            is_attested: self.standing == Standing::Attested,
            pod,
            unit,
            life: caller.life(),
        }
    }
}

pub(super) fn refusal(id: &IdentityId, denial: &Denial) -> Status {
    denied(&format!("identity {}: {denial}", id.name), denial)
}

/// The answer where too many that are taken at their word report on the identity already.
pub(super) fn too_many(id: &IdentityId, error: TooManyUnattested) -> Status {
    Status::resource_exhausted(format!("identity {}: {error}", id.name))
}

/// The answer to a caller that is no longer who connected.
pub(in crate::serve) fn stranger(denial: &Denial) -> Status {
    denied(&denial.to_string(), denial)
}

fn denied(message: &str, denial: &Denial) -> Status {
    let message = text::sentence(message);
    if denial.is_of_the_dead() {
        Status::unauthenticated(message)
    } else if denial.is_unanswered() {
        Status::unavailable(message)
    } else {
        Status::permission_denied(message)
    }
}
