//! The HTTP pages: metrics, liveness and readiness.

pub(crate) mod certificate;
pub(crate) mod http;
pub(crate) mod liveness;
pub(crate) mod metrics;
