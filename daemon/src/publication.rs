//! The state to show: the latest of every identity, who has it, and whether all that is wanted is there.
//!
//! ```text
//! keeper ─→ journal ─→ collisions ─→ store ─┬→ readiness
//!    ↑ demand ←────────── subscribers ←─────┘
//! ```

mod collisions;
mod demand;
mod journal;
mod readiness;
mod store;
mod subscribers;

pub(crate) use collisions::Collisions;
#[cfg(test)]
pub(crate) use demand::KeyHolder;
pub(crate) use demand::{Claim, Demand};
pub(crate) use journal::Journal;
pub(crate) use readiness::Readiness;
pub(crate) use store::{Publication, Store};
pub(crate) use subscribers::{
    Delivery, Disconnect, NewSubscriber, Outcome, Refused, RefusedCode, Report, SubscriberObserver, SubscriberState,
    SubscriberStatus, Subscribers, Subscription,
};
