//! The process and its machine: its log, what it gives up, where its state and its sockets are, what it tells the service manager.

pub(crate) mod allocator;
pub(crate) mod hardening;
pub(crate) mod logging;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod sockets;
pub(crate) mod state;
pub(crate) mod systemd;
