//! The status in pages. One is made when there is room for it; between them only the names of the identities that are still to be
//! told are kept, so that a reader that stands still holds no key and no state that was replaced.

use std::sync::Arc;
use std::vec;

use evercert_api::v1;
use evercert_core::identity::IdentityId;
use prost::Message as _;

use super::Context;
use crate::status::{Finding, Identity, LOOKED_AT, Moment, Pod, StatusReport, Subscriber};

/// The most identities of a page.
pub(super) const IDENTITIES: usize = 64;

/// The most subscribers of a page.
pub(super) const SUBSCRIBERS: usize = 256;

/// More bytes than a subscriber has: each of its words has at most [`WORD_LIMIT`](evercert_core::text::WORD_LIMIT).
const SUBSCRIBER_BYTES: usize = 4 * 1024;

/// After so many bytes a page ends. It is larger by less than one identity's own: the names in its certificates, what is found of its
/// files.
pub(super) const BYTES: usize = 3 * 512 * 1024;

impl Context {
    /// The status without its identities.
    pub(crate) fn head(&self) -> StatusReport {
        let wanted = Arc::clone(&self.wanted.borrow());
        let info = self.info.borrow().clone();
        let watched = wanted.watched.iter().flat_map(|watched| watched.findings.iter());
        StatusReport {
            version: info.version.to_owned(),
            epoch: self.store.epoch(),
            started: Moment(Some(info.started)),
            ready: info.ready,
            config_error: info.config_error,
            findings: watched.chain(info.findings.values()).map(Finding::from).collect(),
            mode: self.mode,
            pods_in_doubt: Pod::all_in_doubt(&wanted.pods).collect(),
            identities: Vec::new(),
        }
    }
}

/// The pages that are still to be told.
pub(super) struct Pages {
    context: Context,
    is_first: bool,
    identities: vec::IntoIter<IdentityId>,
    /// The identity that the last page ended with.
    unfinished: Option<Unfinished>,
}

struct Unfinished {
    id: IdentityId,
    /// The last subscriber that was told.
    after: u64,
    /// The number of processes that may still be looked at.
    looks: usize,
}

impl Pages {
    /// Of the identities there are now.
    pub(super) fn new(context: Context) -> Self {
        let identities: Vec<_> = context.store.all().iter().map(|state| state.spec.id.clone()).collect();
        Self { context, is_first: true, identities: identities.into_iter(), unfinished: None }
    }

    /// The next identity, or more of the one before, with at most `room` subscribers, and no more than go into so many bytes.
    fn part(&mut self, room: usize, bytes: usize) -> Option<v1::IdentityStatus> {
        let pods = Arc::clone(&self.context.wanted.borrow());
        let pods = &pods.pods;
        let (mut part, mut at) = if let Some(at) = self.unfinished.take() {
            let part = v1::IdentityStatus {
                identity: at.id.name.to_string(),
                scope: at.id.scope.label().to_owned(),
                pod: Pod::of_identity(&at.id, pods).map(Into::into),
                continued: true,
                ..v1::IdentityStatus::default()
            };
            (part, at)
        } else {
            // One that is gone by now is not told.
            let (id, state) = self.identities.find_map(|id| {
                let (_, state) = self.context.store.revised(&id)?;
                Some((id, state))
            })?;
            (Identity::of(&state, &[], pods).into(), Unfinished { id, after: 0, looks: LOOKED_AT })
        };
        let room = room.min(bytes.saturating_sub(part.encoded_len()) / SUBSCRIBER_BYTES);
        let told = self.context.subscribers.after(&at.id, at.after, room);
        part.subscribers = told.iter().map(|one| Subscriber::of(one, &mut at.looks, pods).into()).collect();
        if told.len() == room {
            at.after = told.last().map_or(at.after, |last| last.id);
            self.unfinished = Some(at);
        }
        Some(part)
    }
}

impl Iterator for Pages {
    type Item = v1::StatusResponse;

    fn next(&mut self) -> Option<v1::StatusResponse> {
        let is_first = std::mem::take(&mut self.is_first);
        let mut page = if is_first { self.context.head().into() } else { v1::StatusResponse::default() };
        let (mut room, mut bytes) = (SUBSCRIBERS, page.encoded_len());
        while page.identities.len() < IDENTITIES && bytes < BYTES {
            let Some(part) = self.part(room, BYTES - bytes) else { break };
            room -= part.subscribers.len();
            bytes += part.encoded_len();
            page.identities.push(part);
            if self.unfinished.is_some() {
                break;
            }
        }
        (is_first || !page.identities.is_empty()).then_some(page)
    }
}
