//! Tokens: which are taken, and which are refused and why.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod attacks;
mod bits;
mod discovery;
mod files;
mod issuer;
mod service;
mod svids;
