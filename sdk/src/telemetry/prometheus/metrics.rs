//! The metrics by name, as one collector: a registry takes all of them or none.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, Opts};

use crate::telemetry::{FileKind, HandshakeKind, HandshakeResult, TokenFailure};

/// The prefix of what gRPC's proposals have no name for.
const NAMESPACE: &str = "evercert";

/// The bounds of durations, in seconds: some of those of A66, so that sums over services in other languages have buckets in common.
const CALL_BUCKETS: [f64; 16] =
    [0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 100.0];

const RESULT: &str = "grpc_tls_handshake_result";
const RESUMED: &str = "grpc_tls_handshake_resumed";
const TARGET: &str = "grpc_target";
const METHOD: &str = "grpc_method";
const STATUS: &str = "grpc_status";

/// What became of a file that was read again: it is used, or what was read before stays.
pub(super) const RELOADS: [&str; 2] = ["used", "rejected"];

/// What a dry run would have done with a call.
pub(super) const DRY_RUNS: [&str; 2] = ["allowed", "denied"];

#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) server_handshakes: IntCounterVec,
    pub(super) client_handshakes: IntCounterVec,
    pub(super) not_accepted: IntCounterVec,
    pub(super) calls: HistogramVec,
    pub(super) denied: IntCounterVec,
    pub(super) dry_runs: IntCounterVec,
    pub(super) refused_tokens: IntCounterVec,
    pub(super) reloads: IntCounterVec,
}

impl Metrics {
    /// Those whose labels are known are at 0: an increase from nothing would go unseen.
    pub(super) fn new() -> Result<Self, Error> {
        let calls = HistogramOpts::new(
            "grpc_server_call_duration_seconds",
            "From the headers of a call to its end, its stream included.",
        );
        let metrics = Self {
            server_handshakes: IntCounterVec::new(
                Opts::new("grpc_server_tls_handshakes_total", "TLS handshakes of servers, by how they ended."),
                &[RESULT, RESUMED],
            )?,
            client_handshakes: IntCounterVec::new(
                Opts::new("grpc_client_tls_handshakes_total", "TLS handshakes of clients, by how they ended."),
                &[TARGET, RESULT, RESUMED],
            )?,
            not_accepted: IntCounterVec::new(
                own(
                    "client_connections_not_accepted_total",
                    "Connections that the server ended, or left without an answer, after this side's handshake had succeeded.",
                ),
                &[TARGET, "reason"],
            )?,
            calls: HistogramVec::new(calls.buckets(CALL_BUCKETS.to_vec()), &[METHOD, STATUS])?,
            denied: IntCounterVec::new(
                own("calls_denied_total", "Calls that were turned away before their handler."),
                &[METHOD, STATUS],
            )?,
            dry_runs: IntCounterVec::new(
                own("dry_runs_total", "Calls that a dry run would have decided otherwise, by what it would have done."),
                &[METHOD, "result"],
            )?,
            refused_tokens: IntCounterVec::new(
                own("tokens_refused_total", "Tokens of calls that were refused, by reason."),
                &["reason"],
            )?,
            reloads: IntCounterVec::new(
                own(
                    "file_reloads_total",
                    "Files of keys, policies and tokens that were read again, and keys that were fetched, by result.",
                ),
                &["file", "result"],
            )?,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    fn begin_at_zero(&self) {
        for result in HandshakeResult::ALL {
            let resumed: &[_] = match result {
                HandshakeResult::Success => &[HandshakeKind::Full.as_str(), HandshakeKind::Resumed.as_str()],
                _ => &[""],
            };
            for resumed in resumed {
                _ = self.server_handshakes.with_label_values(&[result.as_str(), *resumed]);
            }
        }
        for failure in TokenFailure::ALL {
            _ = self.refused_tokens.with_label_values(&[failure.as_str()]);
        }
        for file in FileKind::ALL {
            for result in RELOADS {
                _ = self.reloads.with_label_values(&[file.as_str(), result]);
            }
        }
    }

    fn all(&self) -> [&dyn Collector; 8] {
        [
            &self.server_handshakes,
            &self.client_handshakes,
            &self.not_accepted,
            &self.calls,
            &self.denied,
            &self.dry_runs,
            &self.refused_tokens,
            &self.reloads,
        ]
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

fn own(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}
