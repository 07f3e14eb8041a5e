//! Those who get no connection or no answer, or less than they ask for, counted, and told to the operator at a bounded rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::throttle::Throttle;
use parking_lot::Mutex;

use super::limits::{ARRIVALS, BYTES};
use super::{ADMIN_RESPONSE_LIMIT, CANDIDATES, REQUEST_LIMIT, RESPONSE_LIMIT};
use crate::callers::Party;

/// The interval at which one reason is told; it is always counted.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why a caller gets no connection or no answer, or loses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// Its party connects too often.
    TooOften,
    /// Its party has too many connections.
    TooMany,
    /// There are too many connections in all, and no party that has more.
    TooManyInAll,
    /// Its party had the most connections when all were taken, and a smaller one needed one.
    Displaced,
    /// evercertd has no descriptor left.
    Descriptors,
    /// Its party has too many requests open.
    TooManyStreams,
    /// There are too many requests open in all, and no party that has more.
    TooManyStreamsInAll,
    /// Its party had the most requests open when there could be no more, and a smaller one needed one.
    StreamDisplaced,
    /// Its party asks too often.
    AsksTooOften,
    /// All parties together ask too often.
    AsksTooOftenInAll,
    /// Its party has too many listings.
    TooManyListings,
    /// There are too many listings in all, or its party had the most of them when another needed one.
    TooManyListingsInAll,
    /// What it says, or what it would be told, is too large.
    MessageTooLarge,
}

/// A limit by which nobody is turned away: a caller waits, or is told less than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServingLimit {
    /// The identities that a caller which is taken at its word is told it may mean.
    Candidates,
    /// The bytes that are read of one party in a second.
    BytesPerSecond,
}

impl ServingLimit {
    const COUNT: usize = 2;

    fn sentence(self) -> String {
        match self {
            Self::Candidates => {
                format!(
                    "a caller that cannot be seen may mean more identities than the {CANDIDATES} that it is told of"
                )
            }
            Self::BytesPerSecond => format!("a caller sends more than {BYTES} bytes a second: the rest waits"),
        }
    }
}

/// The kind of thing that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Connection,
    Stream,
}

/// The sockets that callers come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketKind {
    Workload,
    Admin,
}

impl TurnedAway {
    /// Every reason.
    pub(crate) const ALL: [Self; 13] = [
        Self::TooOften,
        Self::TooMany,
        Self::TooManyInAll,
        Self::Displaced,
        Self::Descriptors,
        Self::TooManyStreams,
        Self::TooManyStreamsInAll,
        Self::StreamDisplaced,
        Self::AsksTooOften,
        Self::AsksTooOftenInAll,
        Self::TooManyListings,
        Self::TooManyListingsInAll,
        Self::MessageTooLarge,
    ];

    pub(crate) fn resource(self) -> Resource {
        match self {
            Self::TooOften | Self::TooMany | Self::TooManyInAll | Self::Displaced | Self::Descriptors => {
                Resource::Connection
            }
            Self::TooManyStreams
            | Self::TooManyStreamsInAll
            | Self::StreamDisplaced
            | Self::AsksTooOften
            | Self::AsksTooOftenInAll
            | Self::TooManyListings
            | Self::TooManyListingsInAll
            | Self::MessageTooLarge => Resource::Stream,
        }
    }

    /// The metric label, within its resource.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TooOften | Self::AsksTooOften => "too_often",
            Self::AsksTooOftenInAll => "too_often_in_all",
            Self::TooMany | Self::TooManyStreams => "too_many",
            Self::TooManyInAll | Self::TooManyStreamsInAll => "too_many_in_all",
            Self::Displaced | Self::StreamDisplaced => "displaced",
            Self::Descriptors => "descriptors",
            Self::TooManyListings => "too_many_listings",
            Self::TooManyListingsInAll => "too_many_listings_in_all",
            Self::MessageTooLarge => "message_too_large",
        }
    }

    fn sentence(self, socket: SocketKind) -> String {
        let (resource, most) = (self.resource().as_str(), ARRIVALS.per_caller);
        let limit = |setting: &str, scope: &str| match socket {
            SocketKind::Workload => format!("`{setting}{scope}` of [limits] allows no more"),
            SocketKind::Admin => "the admin socket allows no more".to_owned(),
        };
        let (in_all, per_caller) = (limit(resource, ""), limit(resource, "_per_caller"));
        let asks = |scope| limit("requests_per_second", scope);
        match self {
            Self::TooOften => {
                format!("a caller connects too often: what is above {most} connections in a second is closed at once")
            }
            Self::TooMany => format!("a caller has too many connections: {per_caller}; more are closed at once"),
            Self::TooManyStreams => format!("a caller has too many streams open: {per_caller}; more are refused"),
            Self::TooManyInAll | Self::TooManyStreamsInAll => format!("too many {resource} are open: {in_all}"),
            Self::Displaced | Self::StreamDisplaced => format!(
                "too many {resource} are open: {in_all}; the caller that has the most loses one to those that have fewer"
            ),
            Self::Descriptors => "no further connection can be accepted for now, as no descriptor is left: raise \
                                  LimitNOFILE of the unit above twice `connections` of [limits]"
                .to_owned(),
            Self::AsksTooOften => format!("a caller asks too often: {}; more is refused", asks("_per_caller")),
            Self::AsksTooOftenInAll => format!("callers ask too often: {}; more is refused", asks("")),
            Self::TooManyListings => {
                "a caller has too many listings at once, or does not read them: more are refused".to_owned()
            }
            Self::TooManyListingsInAll => {
                "there are too many listings at once: the caller that has the most loses one, or more are refused"
                    .to_owned()
            }
            Self::MessageTooLarge => {
                let told = match socket {
                    SocketKind::Workload => RESPONSE_LIMIT,
                    SocketKind::Admin => ADMIN_RESPONSE_LIMIT,
                };
                format!(
                    "a message is too large: callers may say {REQUEST_LIMIT} bytes at once and are told {told}; more is refused"
                )
            }
        }
    }
}

impl Resource {
    /// Many of it, as the settings call them.
    fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Stream => "streams",
        }
    }
}

/// Is told of everybody who is turned away; must not block.
pub(crate) trait DoorObserver: Send + Sync + 'static {
    fn turned_away(&self, reason: TurnedAway);
    /// Somebody was not turned away, and had to wait or was told less.
    fn limit_reached(&self, limit: ServingLimit);
}

/// Counts and tells.
pub(super) struct Doorkeeper {
    observer: Arc<dyn DoorObserver>,
    socket: SocketKind,
    told: Mutex<[Throttle; TurnedAway::ALL.len()]>,
    told_of_limits: Mutex<[Throttle; ServingLimit::COUNT]>,
}

impl Doorkeeper {
    /// Of one socket.
    pub(super) fn new(observer: Arc<dyn DoorObserver>, socket: SocketKind) -> Arc<Self> {
        Arc::new(Self {
            observer,
            socket,
            told: Mutex::new([Throttle::new(TELL_EVERY); TurnedAway::ALL.len()]),
            told_of_limits: Mutex::new([Throttle::new(TELL_EVERY); ServingLimit::COUNT]),
        })
    }

    /// One of `party`, where that is known, was turned away.
    pub(super) fn turned_away(&self, party: Option<&Party>, reason: TurnedAway) {
        self.observer.turned_away(reason);
        let left_out = self.told.lock()[reason as usize].take(Instant::now());
        if let Some(left_out) = left_out {
            let caller = party.map(tracing::field::display);
            tracing::warn!(caller, times = left_out + 1, "{}", reason.sentence(self.socket));
        }
    }

    /// One of `party` has to wait, or is told less than there is.
    pub(super) fn limit_reached(&self, party: &Party, limit: ServingLimit) {
        self.observer.limit_reached(limit);
        let left_out = self.told_of_limits.lock()[limit as usize].take(Instant::now());
        if let Some(left_out) = left_out {
            tracing::warn!(caller = %party, times = left_out + 1, "{}", limit.sentence());
        }
    }
}
