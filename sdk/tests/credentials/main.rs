//! Tokens of clients: who gets to see one, and what becomes of the calls that carry it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod calls;
mod forms;
mod peer;
mod secrecy;
