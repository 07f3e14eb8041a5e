//! gRPC-Web as browsers speak it, over real TLS, by HTTP/1.1 and HTTP/2.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod calls;
mod origins;
mod preflights;
mod refusals;
mod secured;
mod stage;
