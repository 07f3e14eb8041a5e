//! Servers of an identity against real clients over real TLS; only the source is a fake.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod allowed;
mod clients;
mod closing;
mod draining;
mod expiry;
mod goaway;
mod handshakes;
mod health;
mod health_listener;
mod hosts;
mod http_1;
mod https;
mod like_tonic;
mod listeners;
mod patient;
mod resumption;
mod serving;
mod stale;
mod stalled;
mod support;
mod swap;
mod telemetry;
mod trust;
mod verification;
