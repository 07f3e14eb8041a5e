//! The state of everything, as it is shown: one model, made from what the daemon knows and serialised in one way. The admin service sends
//! it, and the command line reads it back and prints it.

mod known;
mod pod;
mod report;
mod standstill;
mod tally;
mod wire;

pub(crate) use pod::{Pod, title};
pub(crate) use report::{
    Certificate, Crl, Federated, Finding, Identity, IdentityScope, Moment, Retained, StatusReport, Subscriber,
};
pub(crate) use standstill::LOOKED_AT;
pub(crate) use tally::Tally;
pub(crate) use wire::{count, findings, summary};
