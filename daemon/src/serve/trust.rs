//! The anchors that are trusted though they are no longer on disk.

use std::sync::Arc;

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::keeper::{EndOverlapError, IdentityState};
use evercert_core::text;
use tonic::Status;

use super::{Context, stopping};
use crate::inventory::pods::PodNames;
use crate::publication::{AuthorityUse, AuthorityUses, Store};
use crate::status::{self, Pod, Retained};

/// The most names of other identities that an error lists.
const NAMED_IN_ERRORS: usize = 20;

/// The identities that are meant: the one of the node with that name, or the one of a pod as `NAMESPACE/POD/NAME` or `pod/UID/NAME`; all where
/// it is empty.
///
/// # Errors
///
/// There is none of that name.
pub(super) fn asked_for(store: &Store, pods: &PodNames, name: &str) -> Result<Vec<Arc<IdentityState>>, Status> {
    let mut states = store.all();
    if name.is_empty() {
        return Ok(states);
    }
    let titles: Vec<_> = states.iter().map(|state| pods.title(&state.spec.id)).collect();
    let mut known = titles.iter();
    // A pod that was replaced may have its name as long as it ends: then the UID tells them apart, and the name means neither.
    let is_title = titles.iter().filter(|title| *title == name).count() == 1;
    states.retain(|state| {
        known.next().is_some_and(|title| is_title && title == name) || state.spec.id.to_string() == name
    });
    if states.is_empty() { Err(unknown(name, titles.iter().map(String::as_str))) } else { Ok(states) }
}

fn unknown<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Status {
    let mut known: Vec<_> = all.take(NAMED_IN_ERRORS + 1).collect();
    let more = if known.len() > NAMED_IN_ERRORS { ", …" } else { "" };
    known.truncate(NAMED_IN_ERRORS);
    let advice =
        if known.is_empty() { "none is kept".to_owned() } else { format!("there are {}{more}", known.join(", ")) };
    Status::not_found(format!("no identity is named {name:?}; {advice}"))
}

/// The anchors they retain.
pub(super) fn retained(states: &[Arc<IdentityState>], pods: &PodNames) -> v1::TrustResponse {
    let retaining = states.iter().filter(|state| !state.overlap.is_empty());
    let identities = retaining.map(|state| v1::IdentityTrust {
        identity: state.spec.id.name.to_string(),
        scope: state.spec.id.scope.label().to_owned(),
        retained: state.overlap.iter().map(|anchor| Retained::from(anchor).into()).collect(),
        pod: Pod::of_identity(&state.spec.id, pods).map(Into::into),
    });
    v1::TrustResponse { identities: identities.collect() }
}

/// What uses a CA, and how many subscribers may use what was published before. It names no subject where no publication holds its
/// certificate.
///
/// # Errors
///
/// Too many CAs are published for this one to be told of.
pub(super) async fn uses(context: &Context, authority: Digest) -> Result<v1::AuthorityResponse, Status> {
    let wanted = Arc::clone(&context.wanted.borrow());
    let subscribers = wanted.ids.iter().flat_map(|id| context.subscribers.of(id));
    let unsettled = status::count(subscribers.filter(|subscriber| subscriber.state.is_unsettled()).count());
    let neighbours = Arc::clone(&context.neighbours);
    // Signatures of what changed are verified.
    let looked = tokio::task::spawn_blocking(move || neighbours.census().uses(&authority));
    let known =
        looked.await.map_err(|_| stopping())?.map_err(|error| Status::failed_precondition(error.to_string()))?;
    let Some(AuthorityUses { facts, uses }) = known else {
        return Ok(v1::AuthorityResponse { unsettled, ..v1::AuthorityResponse::default() });
    };
    let uses = uses.into_iter().map(|AuthorityUse { id, presents, trusts }| v1::AuthorityUse {
        identity: id.name.to_string(),
        scope: id.scope.label().to_owned(),
        pod: Pod::of_identity(&id, &wanted.pods).map(Into::into),
        presents,
        trusts,
        subscribers: status::count(context.subscribers.of(&id).len()),
    });
    Ok(v1::AuthorityResponse { subject: facts.subject.text.clone(), uses: uses.collect(), unsettled })
}

/// Why an anchor is still trusted, or never was.
pub(super) fn refusal(error: &EndOverlapError) -> Status {
    match error {
        EndOverlapError::NotRetained(anchor) => Status::not_found(format!(
            "the anchor {anchor} is not retained; `evercertd trust list` shows those that are"
        )),
        EndOverlapError::UnknownIdentity(_) => Status::not_found(text::sentence(&error.to_string())),
        EndOverlapError::Stopped => stopping(),
        // On disk, or not to be remembered: either is for the operator to put right.
        _ => Status::failed_precondition(text::sentence(&error.to_string())),
    }
}
