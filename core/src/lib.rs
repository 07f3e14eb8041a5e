//! Certificates on disk: read coherently, watched, checked, and published as immutable generations.
//!
//! ```text
//! watch ─┐
//! tick ──┴→ Hint → mount::read → check → lifecycle → Observer (the daemon's store, the SDK's directory source)
//!                    └──────────── keeper drives all of it ──────────┘
//! ```
//!
//! The crate opens no network connection and knows nothing of gRPC. Clocks are read in [`keeper`] alone;
//! everywhere else time is an argument ([`clock::Now`]).

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod bundle;
pub mod certificate;
pub mod check;
pub mod clock;
pub mod confined;
pub mod credential;
mod crl;
pub mod crypto;
pub mod detached;
pub mod digest;
#[cfg(feature = "document")]
pub mod document;
mod elements;
mod extensions;
pub mod finding;
pub mod identity;
pub mod intern;
pub mod keeper;
pub mod layout;
pub mod lifecycle;
pub mod loading;
pub mod material;
pub mod mount;
pub mod mounts;
mod overlap;
pub mod path;
mod pem;
pub mod reactor;
pub mod snapshot;
pub mod spec;
pub mod spiffe;
pub mod state_file;
pub mod swept;
pub mod text;
pub mod throttle;
pub mod trusted;
pub mod watch;

#[cfg(test)]
mod test_files;
