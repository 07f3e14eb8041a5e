//! The server and the client under test of the conformance suite for gRPC and gRPC-Web (connectrpc.com/conformance), over the SDK. Its
//! runner starts them, says on their input what to do, and reads on their output what came of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on has failed")]

mod client;
mod deadline;
mod messages;
mod server;
mod service;
mod trailers;

/// The messages and the service of `connectrpc.conformance.v1`, generated.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic)]
mod v1 {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/generated/connectrpc.conformance.v1.rs"));
}

use clap::Parser;

/// What is under test.
#[derive(Debug, Clone, Copy, Parser)]
#[command(name = "conformance")]
enum Role {
    /// Our server
    Server,
    /// Our client
    Client,
}

#[tokio::main]
async fn main() {
    match Role::parse() {
        Role::Server => server::run().await,
        Role::Client => client::run().await,
    }
}
