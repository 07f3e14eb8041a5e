//! The HTTP side: metrics, liveness and readiness.
