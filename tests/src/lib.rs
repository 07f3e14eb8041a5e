//! Parts that scenarios and benchmarks share: a real daemon as a child process, load, and who takes part in it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on has failed")]

pub mod channel;
pub mod connections;
pub mod counted;
pub mod daemon;
pub mod guarded;
pub mod load;
pub mod memory;
pub mod rotating;
pub mod service;
pub mod side;
pub mod stranger;
pub mod stream;
pub mod subscriber;

/// The messages and the service of `grpc.testing`, generated.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod testing {
    include!("generated/grpc.testing.rs");
}
