//! Scenarios only for root: callers under other users, in other control groups and namespaces, and volumes that are mounts. Each
//! scenario has a mount namespace and a tmpfs of its own, which end with it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod actor;
mod caller;
mod cgroup;
mod daemon;
mod kubelet;
mod room;

mod canary;
mod floods;
mod lifecycle;
mod mounts;
mod observers;
mod processes;
mod readers;
mod sockets;
mod spoofing;
mod state;
mod unseen;
mod volumes;
