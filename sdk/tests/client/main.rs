//! Channels against real tonic servers over real TLS, with identities that are rotated by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod abandoned;
mod addresses;
mod balance;
mod connecting;
mod draining;
mod duplex;
mod goaway;
mod https;
mod outage;
mod peers;
mod readiness;
mod resumption;
#[cfg(all(feature = "native-roots", feature = "webpki-roots"))]
mod roots;
mod rotation;
mod runtimes;
mod saturation;
mod spread;
mod telemetry;
mod trust;
mod wire;
