//! The greeter: the service that the examples, the demo, the scenarios and the benchmarks serve and call.

mod greeter;

/// The messages and the service of `greeter.v1`, generated.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/greeter.v1.rs");
}

pub use greeter::GreeterService;
