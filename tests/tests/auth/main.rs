//! Who may call what, over real TLS: every kind of call, caller and path, and what goes on while certificates, keys and policies change.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod contradictions;
mod matrix;
mod mistakes;
mod odd_leaf;
mod paths;
mod rotation;
mod streams;
mod telling;
