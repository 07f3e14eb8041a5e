//! What is served over HTTP: metrics, liveness and readiness, and a page to look at.

pub(crate) mod certificate;
pub(crate) mod http;
pub(crate) mod liveness;
pub(crate) mod metrics;
pub(crate) mod page;
