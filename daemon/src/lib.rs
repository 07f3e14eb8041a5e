//! The node daemon: watches mounted certificates, checks them, publishes what passes over a Unix socket, and knows which
//! process serves which generation.
//!
//! ```text
//! config ── sources ──→ keeper (evercert-core) ──→ metrics, journal (decorators) ──→ store
//!                                                                             ├─→ serve: workload and admin sockets
//!                                                                             └─→ http: /metrics /healthz /readyz
//! ```
//!
//! The crate's interface is its command line: [`main`] runs it, and so does a test or an example that re-executes itself. The rest that is
//! public are readers of what others may have written, for those who try to break them.

mod attest;
mod callers;
mod check;
mod cli;
mod config;
mod daemon;
mod host;
mod inventory;
mod policy;
mod publication;
mod serve;
mod served;
mod status;
mod web;

pub use callers::cgroup;
pub use check::{Reports, reports_of};
pub use cli::{main, main_from};
pub use config::refusal;
pub use daemon::{Remembered, remembered};

/// The allocator of a program that is this daemon: it wipes what is freed, so that no copy of a key outlives its use, in whose
/// buffers it was.
pub type Memory = zeroizing_alloc::ZeroAlloc<std::alloc::System>;

/// The one [`Memory`] there is, for `#[global_allocator]`.
pub const MEMORY: Memory = zeroizing_alloc::ZeroAlloc(std::alloc::System);
