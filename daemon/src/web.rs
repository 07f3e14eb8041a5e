//! What is served over HTTP: metrics, liveness and readiness.

pub(crate) mod http;
pub(crate) mod metrics;
