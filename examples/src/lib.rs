//! The greeter: the service that the examples, the demo, the scenarios and the benchmarks serve and call.

mod greeter;

/// The messages and the service of `greeter.v1`, generated, and their descriptors, which policies are checked against.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/greeter.v1.rs");

    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/greeter.v1.bin");
}

pub use greeter::GreeterService;

/// The code of the guide to moving from tonic's own TLS, to be compiled as documentation is.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-tonic.md")]
struct FromTonic;

/// The guide for those who have secured gRPC elsewhere.
#[cfg(doctest)]
#[doc = include_str!("../../docs/grpc-security.md")]
struct GrpcSecurity;

#[cfg(test)]
mod tests;
