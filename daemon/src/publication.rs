//! The state to show: the latest of every identity, who has it, and whether all that is wanted is there.
//!
//! ```text
//! keeper ─→ journal ─→ collisions ─→ store ─┬→ readiness
//!    ↑ claims ←────────── subscribers ←─────┘
//! ```

mod authorities;
mod collisions;
mod journal;
mod key_claims;
mod readiness;
mod store;
mod subscribers;

pub(crate) use authorities::{
    AuthorityCensus, AuthorityCount, AuthorityCounts, AuthorityUse, AuthorityUses, Users, trusted, uses,
};
pub(crate) use collisions::Collisions;
pub(crate) use journal::Journal;
#[cfg(test)]
pub(crate) use key_claims::KeyHolder;
pub(crate) use key_claims::{Claim, KeyClaims};
pub(crate) use readiness::Readiness;
pub(crate) use store::{Publication, Store};
pub(crate) use subscribers::{
    Delivery, Disconnect, NewSubscriber, Outcome, Refused, RefusedCode, Report, SubscriberLimit, SubscriberObserver,
    SubscriberState, SubscriberStatus, Subscribers, Subscription, TooManyUnattested,
};
