//! `evercert.v1.Agent`: the identities of a workload.

mod answers;
mod bounds;
mod parcels;
mod unattested;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use evercert_api::v1;
use evercert_core::identity::{IdentityId, IdentityName, InvalidName, Scope};
use evercert_core::keeper::IdentityState;
use evercert_core::text;
use futures_util::StreamExt as _;
use futures_util::stream::Empty;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::answers::Teller;
use self::parcels::Parcels;
pub(super) use self::unattested::PodClaim;
use super::connection::{Displaced, Peer, peer};
use super::feed::{Asked, Asker, Feed, Standing, stranger};
use super::streams::{EncodedBody, ExtraShare};
use super::turned_away::{Doorkeeper, ServingLimit, TurnedAway};
use super::{Context, stopping};
use crate::attest::Attestor;
use crate::callers::{Cap, Full, Origin, Quota};
use crate::config::Mode;
use crate::inventory::Wanted;
use crate::publication::{Delivery, Store, Subscribers};
use crate::status;

/// The time the first message of a `Watch` stream may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// The time a caller waits for an identity whose files have not been read yet: the daemon listens before it has read them all.
const FIRST_READ_DEADLINE: Duration = Duration::from_secs(5);

/// Calls that look at every identity, until their answers have been taken. Each answer may be as large as
/// [`RESPONSE_LIMIT`](super::RESPONSE_LIMIT), and a caller that reads none has that much of memory for each.
const LISTINGS: Cap<usize> = Cap { in_all: 32, per_caller: 2 };

/// Identities of one listing that are decided on at once.
const DECISIONS: usize = 8;

/// The time a listing may take; identities whose file systems have not answered by then are left out.
const LISTING_DEADLINE: Duration = Duration::from_secs(3);

/// The most names a refusal lists.
const NAMES: usize = 32;

/// The answer to a caller that wants a key where none is handed out.
const NO_KEYS: &str = "this evercertd runs with mode = \"observer\": it hands out no keys; open the identity from its directory \
                       (EVERCERT_DIR), or have the daemon run with mode = \"publisher\"";

/// The service.
pub(super) struct AgentService {
    store: Arc<Store>,
    subscribers: Arc<Subscribers>,
    wanted: watch::Receiver<Arc<Wanted>>,
    attestor: Arc<Attestor>,
    listings: Arc<Quota>,
    doorkeeper: Arc<Doorkeeper>,
    parcels: Arc<Parcels>,
    mode: Mode,
    shutdown: CancellationToken,
}

impl AgentService {
    pub(super) fn new(
        context: Context,
        attestor: Arc<Attestor>,
        doorkeeper: Arc<Doorkeeper>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store: context.store,
            subscribers: context.subscribers,
            wanted: context.wanted,
            attestor,
            listings: Quota::new(LISTINGS),
            doorkeeper,
            parcels: Arc::default(),
            mode: context.mode,
            shutdown,
        }
    }

    /// The number of answers encoded to be shared.
    #[cfg(test)]
    pub(super) fn encoded(&self) -> usize {
        self.parcels.made()
    }

    /// A place among the [`LISTINGS`], to be kept until the answer is taken.
    fn listing(&self, peer: &Peer) -> Result<ExtraShare, Status> {
        let party = peer.caller.party();
        let (share, loser) = self.listings.claim(party.clone()).map_err(|full| {
            let reason = match full {
                Full::PerCaller => TurnedAway::TooManyListings,
                Full::InAll => TurnedAway::TooManyListingsInAll,
            };
            self.doorkeeper.turned_away(Some(&party), reason);
            too_many_listings()
        })?;
        if let Some(loser) = loser {
            self.doorkeeper.turned_away(Some(&loser), TurnedAway::TooManyListingsInAll);
        }
        Ok(ExtraShare::new(share, too_many_listings))
    }

    /// The identities `peer` may have, by name, at most `limit` of them.
    pub(super) async fn permitted(&self, peer: &Peer, limit: usize) -> Vec<Arc<IdentityState>> {
        let wanted = Arc::clone(&self.wanted.borrow());
        let wanted = &*wanted;
        let all = self.store.all();
        let is_own = |id: &IdentityId| match (&id.scope, peer.caller.origin()) {
            (Scope::Pod(uid), Origin::Pod(own)) => uid == own,
            _ => false,
        };
        let kept = all.iter().map(|state| &state.spec.id).chain(&wanted.ids);
        let own: HashSet<_> = kept.filter(|id| is_own(id)).map(|id| id.name.clone()).collect();
        // Those of other pods it may not even know of, and of one name it is given its pod's.
        let asked_for = move |state: &Arc<IdentityState>| match state.spec.id.scope {
            Scope::Pod(_) => is_own(&state.spec.id),
            Scope::Node => !own.contains(&state.spec.id.name),
        };
        let decisions = futures_util::stream::iter(all.into_iter().filter(asked_for))
            .map(|state| async move { self.attestor.judge(&peer.caller, &state, wanted).await.ok().map(|_| state) })
            .buffered(DECISIONS)
            .filter_map(std::future::ready)
            .take(limit)
            .take_until(tokio::time::sleep(LISTING_DEADLINE));
        decisions.collect().await
    }

    /// The identity `peer` means by `name`: the one mounted in its pod under this name, else the node's.
    pub(super) fn named(&self, peer: &Peer, name: &IdentityName) -> IdentityId {
        let of_pod = match peer.caller.origin() {
            Origin::Pod(uid) => Some(IdentityId::pod(Arc::clone(uid), name.clone())),
            Origin::Host { .. } | Origin::Container | Origin::Unclear => None,
        };
        let is_there = |id: &IdentityId| self.store.get(id).is_some() || self.wanted.borrow().ids.contains(id);
        of_pod.filter(is_there).unwrap_or_else(|| IdentityId::node(name.clone()))
    }

    /// The state of an identity; the first one is waited for where there is to be one.
    pub(super) async fn state(
        &self,
        peer: &Peer,
        id: &IdentityId,
    ) -> Result<watch::Receiver<Arc<IdentityState>>, Status> {
        let mut presence = self.store.presence();
        let deadline = Instant::now() + FIRST_READ_DEADLINE;
        loop {
            if let Some(state) = self.store.follow(id) {
                return Ok(state);
            }
            if !self.wanted.borrow().ids.contains(id) {
                self.attestor.unknown(&peer.caller, id.name.as_str(), &self.wanted.borrow().pods);
                return Err(self.unknown(peer, &id.name).await);
            }
            tokio::select! {
                Ok(()) = presence.changed() => {}
                () = sleep_until(deadline) => {
                    return Err(Status::unavailable(format!("identity {}: its files have not been read yet", id.name)));
                }
                () = self.shutdown.cancelled() => return Err(stopping()),
            }
        }
    }

    /// Whether `peer` is taken at its word, as it cannot be seen and nobody is given a key.
    fn takes_at_its_word(&self, peer: &Peer) -> bool {
        self.mode == Mode::Observer && peer.caller.is_hidden()
    }

    /// The identity that `peer` says it speaks of, where it is taken at its word.
    fn claimed(&self, peer: &Peer, name: &IdentityName, claim: &PodClaim) -> Result<IdentityId, Status> {
        let Some(id) = claim.identity(&self.store, &self.wanted.borrow(), name) else {
            self.attestor.unknown(&peer.caller, name.as_str(), &self.wanted.borrow().pods);
            return Err(unattested::unknown(name.as_str()));
        };
        Ok(id)
    }

    async fn unknown(&self, peer: &Peer, name: &IdentityName) -> Status {
        let listing = match self.listing(peer) {
            Ok(listing) => listing,
            Err(busy) => return busy,
        };
        let permitted = tokio::select! {
            permitted = self.permitted(peer, NAMES + 1) => permitted,
            busy = listing.lost() => return busy,
        };
        let names = permitted.iter().map(|state| state.spec.id.name.to_string()).collect::<Vec<_>>();
        let yours = match names.len() {
            0 => "there is none that you may have".to_owned(),
            1..=NAMES => format!("you may have: {}", names.join(", ")),
            _ => format!("you may have: {}, and more", names[..NAMES].join(", ")),
        };
        Status::not_found(format!("no identity {name}; {yours}"))
    }

    async fn open(&self, requests: &mut Streaming<v1::WatchRequest>) -> Result<v1::Open, Status> {
        let first = tokio::select! {
            first = tokio::time::timeout(OPEN_DEADLINE, requests.message()) => first,
            () = self.shutdown.cancelled() => return Err(stopping()),
        };
        match first.map_err(|_| Status::deadline_exceeded("no Open came"))?? {
            Some(v1::WatchRequest { message: Some(v1::watch_request::Message::Open(open)) }) => Ok(open),
            _ => Err(Status::invalid_argument("the first request of Watch has to be Open")),
        }
    }
}

#[tonic::async_trait]
impl v1::agent_server::Agent for AgentService {
    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let peer = peer(&request)?;
        let listing = self.listing(&peer)?;
        if self.takes_at_its_word(&peer) {
            let request = request.into_inner();
            let claim = PodClaim::of(&request.pod_uid, bounds::of_list(&request)?)?;
            let left_out = || self.doorkeeper.limit_reached(&peer.caller.party(), ServingLimit::Candidates);
            let identities = claim.candidates(&self.store, &request.name, left_out);
            let mut response = Response::new(v1::ListResponse { identities });
            response.extensions_mut().insert(listing);
            return Ok(response);
        }
        let permitted = tokio::select! {
            permitted = self.permitted(&peer, usize::MAX) => permitted,
            busy = listing.lost() => return Err(busy),
        };
        self.attestor.confirm(&peer.caller).map_err(|denial| stranger(&denial))?;
        let identities = permitted.iter().map(|state| status::summary(state)).collect();
        let mut response = Response::new(v1::ListResponse { identities });
        response.extensions_mut().insert(listing);
        Ok(response)
    }

    /// Empty: what is sent is encoded already, and is in the response's extensions.
    type WatchStream = Empty<Result<v1::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let peer = peer(&request)?;
        let displaced = request.extensions().get::<Displaced>().cloned().unwrap_or_default();
        let mut requests = request.into_inner();
        let open = self.open(&mut requests).await?;
        let held = bounds::of_open(&open)?;
        let deliver = Delivery::from(open.deliver());
        if self.mode == Mode::Observer && deliver == Delivery::Full {
            return Err(Status::failed_precondition(NO_KEYS));
        }
        let name: IdentityName = open.identity.parse().map_err(|error: InvalidName| {
            self.attestor.unknown(&peer.caller, &open.identity, &self.wanted.borrow().pods);
            Status::invalid_argument(text::sentence(&error.to_string()))
        })?;
        let (id, standing) = if self.takes_at_its_word(&peer) {
            let claim = PodClaim::of(&open.pod_uid, held)?;
            let id = self.claimed(&peer, &name, &claim)?;
            (id, Standing::Unattested { pod: claim.pod().cloned() })
        } else {
            (self.named(&peer, &name), Standing::Attested)
        };
        let state = self.state(&peer, &id).await?;
        let accepted = peer.accepted.another();
        let asker = Asker {
            _accepted: accepted,
            attestor: Arc::clone(&self.attestor),
            wanted: self.wanted.clone(),
            peer,
            displaced,
            deliver,
            standing,
            sdk_version: open.sdk_version,
            shutdown: self.shutdown.clone(),
        };
        let asked = vec![Asked { id, state, held }];
        let feed = Feed::open(asker, asked, requests.map(answers::said as _), &self.subscribers).await?;
        let is_attested = feed.is_attested();
        if !is_attested {
            self.attestor.unattested();
        }
        let teller = Teller { is_attested, epoch: self.store.epoch(), deliver, parcels: Arc::clone(&self.parcels) };
        let mut response = Response::new(futures_util::stream::empty());
        response.extensions_mut().insert(EncodedBody::new(answers::body(feed, teller)));
        Ok(response)
    }
}

fn too_many_listings() -> Status {
    Status::resource_exhausted("too many listings at once, or answers to them that are not read: try again in a second")
}
