//! What there is: the identities that the configuration and the node's pods come to, who may have each, and what the pods are called.

mod accounts;
pub(crate) mod pods;
pub(crate) mod sources;
mod wanted;

pub(crate) use accounts::{Account, Accounts};
pub(crate) use wanted::Wanted;
