//! Overlaps that an operator ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use crate::clock::Now;
use crate::digest::Digest;
use crate::identity::IdentityId;
use crate::lifecycle::{Event, IdentityState, Lifecycle, Step};
use crate::overlap::store::OverlapStore;
use crate::spec::{BundleFile, IdentitySpec};
use crate::state_file::StateError;

/// How many requests may wait for the keeper's task; whoever asks beyond that waits with them.
pub(super) const REQUESTS: usize = 16;

/// Why no overlap was ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndOverlapError {
    /// No identity retains the anchor.
    #[error("no identity retains the anchor {0}; the state of each identity names those that are retained")]
    NotRetained(Digest),
    /// The anchor is not retained but trusted, because the bundle's file holds it.
    #[error(
        "the anchor {anchor} is in the bundle's file and is trusted for that; remove it there: {}",
        .files.iter().map(|(id, file)| format!("{} ({id})", file.display())).collect::<Vec<_>>().join(", ")
    )]
    OnDisk {
        /// The anchor.
        anchor: Digest,
        /// The identities whose bundle it is in, and the file.
        files: Vec<(IdentityId, PathBuf)>,
    },
    /// There is no such identity.
    #[error("there is no identity {0}")]
    UnknownIdentity(IdentityId),
    /// The end of an overlap cannot be remembered, so it has not ended: the next start would not know of it.
    #[error("the overlap of {identity} was not ended, since the next start would not know of it: {source}")]
    NotRemembered {
        /// The first identity of which it is so.
        identity: IdentityId,
        /// The others in which it was ended.
        ended: Vec<IdentityId>,
        /// The failure.
        source: StateError,
    },
    /// The keeper has stopped.
    #[error("the keeper has stopped")]
    Stopped,
}

/// The request of an operator.
pub(super) struct Request {
    pub(super) anchor: Digest,
    pub(super) identity: Option<IdentityId>,
    pub(super) reply: oneshot::Sender<Result<Vec<IdentityId>, EndOverlapError>>,
}

/// One anchor to be let go of, for the request with this number.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) request: u64,
    pub(super) anchor: Digest,
}

/// The outcome in one identity.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is trusted no longer.
    Gone,
    /// It was not retained, and is in this file, if in any.
    NotRetained(Option<PathBuf>),
    /// It is trusted still.
    NotRemembered(StateError),
}

/// The requests that wait for jobs.
#[derive(Default)]
pub(super) struct Endings {
    last: u64,
    pending: HashMap<u64, Pending>,
}

struct Pending {
    request: Request,
    waiting: usize,
    ended: Vec<IdentityId>,
    on_disk: Vec<(IdentityId, PathBuf)>,
    failed: Option<(IdentityId, StateError)>,
}

impl Endings {
    /// Notes a request. Besides the identities it waits for one more [`Endings::one_less`], so that it is not answered before all of
    /// them are asked.
    pub(super) fn begin(&mut self, request: Request) -> End {
        self.last += 1;
        let end = End { request: self.last, anchor: request.anchor };
        let pending = Pending { request, waiting: 1, ended: Vec::new(), on_disk: Vec::new(), failed: None };
        self.pending.insert(self.last, pending);
        end
    }

    /// One more identity is asked.
    pub(super) fn ask(&mut self, end: End) {
        self.pending.entry(end.request).and_modify(|pending| pending.waiting += 1);
    }

    /// Notes what became of it in an identity that was asked.
    pub(super) fn note(&mut self, end: End, id: &IdentityId, ended: Ended) {
        if let Some(pending) = self.pending.get_mut(&end.request) {
            match ended {
                Ended::Gone => pending.ended.push(id.clone()),
                Ended::NotRetained(file) => pending.on_disk.extend(file.map(|file| (id.clone(), file))),
                Ended::NotRemembered(error) => pending.failed = pending.failed.take().or(Some((id.clone(), error))),
            }
        }
        self.one_less(end);
    }

    /// There is one thing less to wait for; after the last, the request is answered.
    pub(super) fn one_less(&mut self, end: End) {
        let Some(pending) = self.pending.get_mut(&end.request) else { return };
        pending.waiting -= 1;
        if pending.waiting == 0
            && let Some(Pending { request, mut ended, mut on_disk, failed, .. }) = self.pending.remove(&end.request)
        {
            ended.sort();
            on_disk.sort();
            let anchor = request.anchor;
            let result = match failed {
                Some((identity, source)) => Err(EndOverlapError::NotRemembered { identity, ended, source }),
                None if !ended.is_empty() => Ok(ended),
                None if !on_disk.is_empty() => Err(EndOverlapError::OnDisk { anchor, files: on_disk }),
                None => Err(EndOverlapError::NotRetained(anchor)),
            };
            // The caller may have gone.
            let _ = request.reply.send(result);
        }
    }
}

/// Ends it in one identity: first what is remembered, then what is trusted. Blocks.
pub(super) fn end(
    lifecycle: &mut Lifecycle,
    anchor: Digest,
    spec: &IdentitySpec,
    store: Option<&OverlapStore>,
    now: Now,
) -> (Ended, Option<Step>) {
    if !lifecycle.overlap().holds(anchor) {
        return (Ended::NotRetained(on_disk(lifecycle.state(), anchor)), None);
    }
    let remaining = lifecycle.overlap().without(anchor);
    match store.map_or(Ok(()), |store| store.save(spec, &remaining)) {
        Ok(()) => (Ended::Gone, Some(lifecycle.handle(Event::OverlapEnded(anchor), now))),
        Err(error) => (Ended::NotRemembered(error), None),
    }
}

/// The bundle's file that holds an anchor.
pub(super) fn on_disk(state: &IdentityState, anchor: Digest) -> Option<PathBuf> {
    let files = &state.spec.files;
    let is_bundle = |file: &Path| {
        files.bundle.as_ref().is_some_and(|bundle: &BundleFile| bundle.path() == file)
            || files.federated.values().any(|bundle| bundle == file)
    };
    let found = state.on_disk.iter().find(|found| found.facts.fingerprint == anchor && is_bundle(&found.file));
    found.map(|found| found.file.to_path_buf())
}
