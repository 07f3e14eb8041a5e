//! The HTTP pages: metrics, liveness and readiness.

pub(crate) mod http;
pub(crate) mod metrics;
