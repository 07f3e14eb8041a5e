//! What is counted, in a registry of the crate `prometheus`.

mod capped;
mod metrics;

use std::fmt;
use std::sync::Arc;

use prometheus::Registry;

use super::{Event, HandshakeKind, Recorder, code_name};
use capped::Capped;
use metrics::Metrics;

/// The most values of `grpc_target` that are told apart; channels to further ones are counted together, as [`OTHER_TARGET`].
pub const MOST_TARGETS: usize = 64;

/// What the targets are called that are too many: those of a balanced channel or a connector may be any number.
pub const OTHER_TARGET: &str = "other";

/// Counts in a Prometheus registry; [`telemetry`](super) has the metrics.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use evercert::Identity;
/// use evercert::telemetry::PrometheusRecorder;
///
/// let registry = prometheus::Registry::new();
/// let recorder = PrometheusRecorder::register(&registry)?;
/// let identity = Identity::from_env().recorder(recorder).await?;
/// // At each scrape:
/// let page = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
/// # Ok(())
/// # }
/// ```
pub struct PrometheusRecorder {
    metrics: Metrics,
    targets: Capped,
}

impl PrometheusRecorder {
    /// A recorder whose metrics are in `registry`, all of them or none. One serves all identities of a process.
    ///
    /// # Errors
    ///
    /// The registry has one of the metrics already: another recorder's.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new()?;
        registry.register(Box::new(metrics.clone()))?;
        Ok(Arc::new(Self { metrics, targets: Capped::at(MOST_TARGETS, OTHER_TARGET) }))
    }
}

impl Recorder for PrometheusRecorder {
    fn record(&self, event: &Event<'_>) {
        let metrics = &self.metrics;
        match *event {
            Event::ServerHandshake { result, kind } => {
                metrics.server_handshakes.with_label_values(&[result.as_str(), resumed(kind)]).inc();
            }
            Event::ClientHandshake { target, result, kind } => self.targets.with(target, |target| {
                metrics.client_handshakes.with_label_values(&[target, result.as_str(), resumed(kind)]).inc();
            }),
            Event::NotAccepted { target, reason } => self.targets.with(target, |target| {
                metrics.not_accepted.with_label_values(&[target, reason.as_str()]).inc();
            }),
            Event::Call { method, code, duration } => {
                let calls = metrics.calls.with_label_values(&[name(method), code_name(code)]);
                calls.observe(duration.as_secs_f64());
            }
            Event::Denied { method, code } => {
                metrics.denied.with_label_values(&[name(method), code_name(code)]).inc();
            }
            Event::DryRun { method, is_allowed } => {
                let result = metrics::DRY_RUNS[usize::from(!is_allowed)];
                metrics.dry_runs.with_label_values(&[name(method), result]).inc();
            }
            Event::Reloaded { file, is_used } => {
                let result = metrics::RELOADS[usize::from(!is_used)];
                metrics.reloads.with_label_values(&[file.as_str(), result]).inc();
            }
            Event::TokenRefused { failure } => metrics.refused_tokens.with_label_values(&[failure.as_str()]).inc(),
        }
    }
}

/// A label without a value is to Prometheus one that is not there.
fn resumed(kind: Option<HandshakeKind>) -> &'static str {
    kind.map_or("", HandshakeKind::as_str)
}

/// A method as A66 writes it, without the slash that begins its path.
fn name(method: &str) -> &str {
    method.strip_prefix('/').unwrap_or(method)
}

impl fmt::Debug for PrometheusRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusRecorder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
