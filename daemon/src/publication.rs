//! The state to show: the latest of every identity, who has it, and whether all that is wanted is there.
//!
//! ```text
//! keeper ─→ journal ─→ surroundings ─→ store ─┬→ readiness
//!    │                      ↑ neighbours ←────┤
//!    ↑ claims ←──────────── subscribers ←─────┘
//! ```

mod authorities;
mod journal;
mod key_claims;
mod neighbours;
mod readiness;
mod store;
mod subscribers;
mod surroundings;

pub(crate) use authorities::{AuthorityCount, AuthorityCounts, AuthorityUse, AuthorityUses, Census, Users, trusted};
pub(crate) use journal::Journal;
#[cfg(test)]
pub(crate) use key_claims::KeyHolder;
pub(crate) use key_claims::{Claim, KeyClaims};
pub(crate) use neighbours::Neighbours;
pub(crate) use readiness::Readiness;
pub(crate) use store::{Publication, Store};
pub(crate) use subscribers::{
    Delivery, Disconnect, NewSubscriber, Outcome, Refused, RefusedCode, Report, SubscriberLimit, SubscriberObserver,
    SubscriberState, SubscriberStatus, Subscribers, Subscription, TooManyUnattested,
};
pub(crate) use surroundings::Surroundings;
