//! The processes that call: who each is, where it belongs, whom its use is charged to, and how much of it there may be.
//!
//! Reads of a process stand between two proofs that it is still the one that connected; nothing here says what it may have.

mod caller;
mod cap;
pub mod cgroup;
mod life;
mod namespaces;
mod party;
mod peer_options;
mod pod;
mod proc;
mod process;
mod processes;
mod quota;
mod rates;
mod user_namespace;

pub(crate) use caller::Caller;
pub(crate) use cap::Cap;
pub(crate) use cgroup::Origin;
pub(crate) use life::Life;
#[cfg(test)]
pub(crate) use namespaces::NamespaceKind;
pub(crate) use namespaces::Namespaces;
pub(crate) use party::Party;
pub(crate) use pod::{NAME_LIMIT as POD_NAME_LIMIT, PodName, is_name as is_pod_name};
pub(crate) use proc::Proc;
pub(crate) use process::ProcessError;
pub(crate) use processes::Processes;
pub(crate) use quota::{Full, Quota, Share, Use, Uses};
pub(crate) use rates::{Exceeded, Rates};

#[cfg(test)]
pub(crate) mod tests;
