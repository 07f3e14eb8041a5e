//! The identities that result from the configuration and the node's pods, who may have each, and the pods' names.

mod accounts;
mod limit;
pub(crate) mod pods;
pub(crate) mod sources;
mod wanted;

pub(crate) use accounts::{Account, Accounts};
pub(crate) use limit::LookLimit;
pub(crate) use wanted::Wanted;
