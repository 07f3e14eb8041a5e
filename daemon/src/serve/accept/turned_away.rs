//! Those who get no connection, counted, and told to the operator at a bounded rate.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::limits::ARRIVALS;
use crate::attest::Party;

/// How often one reason is told; it is always counted.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why a caller gets no connection, or loses one.
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
}

impl TurnedAway {
    /// Every reason.
    pub(crate) const ALL: [Self; 5] =
        [Self::TooOften, Self::TooMany, Self::TooManyInAll, Self::Displaced, Self::Descriptors];

    /// The metric label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TooOften => "too_often",
            Self::TooMany => "too_many",
            Self::TooManyInAll => "too_many_in_all",
            Self::Displaced => "displaced",
            Self::Descriptors => "descriptors",
        }
    }

    fn sentence(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::TooOften => {
                let most = ARRIVALS.per_caller;
                return format!(
                    "a caller connects too often: what is above {most} connections in a second is closed at once"
                )
                .into();
            }
            Self::TooMany => {
                "a caller has too many connections: `connections_per_caller` of [limits] allows no more; more are closed at once"
            }
            Self::TooManyInAll => "too many connections are open: `connections` of [limits] allows no more",
            Self::Displaced => {
                "too many connections are open: `connections` of [limits] allows no more; the caller that has the most loses \
                 its newest to those that have fewer"
            }
            Self::Descriptors => {
                "no further connection can be accepted for now, as no descriptor is left: raise LimitNOFILE of the unit above \
                 twice `connections` of [limits]"
            }
        })
    }
}

/// Is told of everybody who is turned away; must not block.
pub(crate) trait DoorObserver: Send + Sync + 'static {
    fn turned_away(&self, reason: TurnedAway);
}

/// Counts and tells.
pub(super) struct Doorkeeper {
    observer: Arc<dyn DoorObserver>,
    told: Mutex<[Told; TurnedAway::ALL.len()]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    at: Option<Instant>,
    since: u64,
}

impl Doorkeeper {
    pub(super) fn new(observer: Arc<dyn DoorObserver>) -> Self {
        Self { observer, told: Mutex::default() }
    }

    /// One of `party`, where that is known, was turned away.
    pub(super) fn turned_away(&self, party: Option<&Party>, reason: TurnedAway) {
        self.observer.turned_away(reason);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = &mut told[reason as usize];
        told.since += 1;
        if told.at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let caller = party.map(tracing::field::display);
            tracing::warn!(caller, times = told.since, "{}", reason.sentence());
            *told = Told { at: Some(Instant::now()), since: 0 };
        }
    }
}
