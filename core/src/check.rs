//! What is demanded of an identity's files before a handshake depends on them.

pub mod finding;

pub use finding::{Check, Finding, Severity};
