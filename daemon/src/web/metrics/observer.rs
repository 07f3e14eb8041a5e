//! The decorator between keeper and store that measures what passes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::certificate::CertificateFacts;
use evercert_core::digest::Digest;
use evercert_core::finding::Check;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use prometheus::{Gauge, Histogram, IntCounterVec, IntGauge, Opts, Registry};

use super::certificates::{self, FileError};
use super::federated::{self, FederatedLife};
use super::identities::RELOADS;
use super::registering::{counter, counters, gauge, histogram, own, register};
use super::{Metrics, exposition};

/// From a file event to publication: most of it is reading and checking, a few milliseconds; a torn read is retried.
const RELOAD_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Every problem of watching, for counters that start at 0.
const WATCH_PROBLEMS: [WatchProblem; 3] = [WatchProblem::Overflow, WatchProblem::Exhausted, WatchProblem::Other];

/// What is counted of all identities' files.
pub(super) struct Files {
    reload_duration: Histogram,
    watch_errors: IntCounterVec,
    last_scan: Gauge,
    state_failures: IntCounterVec,
    state_unwritten: IntGauge,
    source_errors: IntCounterVec,
    pub(super) twins: IntCounterVec,
    pub(super) twins_dropped: IntCounterVec,
}

impl Files {
    pub(super) fn counted_in(registry: &Registry) -> Result<Self, prometheus::Error> {
        let last_scan =
            own("source_last_scan_timestamp_seconds", "When every identity was last looked at, hints or not.");
        let last_scan = register(registry, Gauge::with_opts(last_scan)?)?;
        // All files are read at the start; the first tick comes later.
        last_scan.set(exposition::fractional_seconds(SystemTime::now()));
        let twins = |name, help| counters(registry, Opts::new(name, help), ["source_kind"], [["file"]]);
        Ok(Self {
            reload_duration: histogram(
                registry,
                "reload_duration_seconds",
                "From a file event, or a tick that found a change, to publication.",
                &RELOAD_BUCKETS,
            )?,
            watch_errors: counter(
                registry,
                "watch_errors_total",
                "What went wrong with watching files, by reason; the periodic tick carries on.",
                "reason",
                WATCH_PROBLEMS.map(reason),
            )?,
            last_scan,
            state_failures: counter(
                registry,
                "state_failures_total",
                "Tries to write down, or read, what is retained of a replaced ca.crt that failed, by operation.",
                "operation",
                ["read", "write"],
            )?,
            state_unwritten: gauge(
                registry,
                "state_unwritten_identities",
                "Identities of which a restart would not know which anchors are retained.",
            )?,
            source_errors: counters(
                registry,
                Opts::new("x509_source_errors_total", "Files that could not be read or parsed, by reason."),
                ["source_kind", "source_name", "reason"],
                certificates::REASONS.map(certificates::source_labels),
            )?,
            twins: twins(
                "x509_cert_collision_total",
                "Certificates with the labels of another one at a scrape, which have the label discriminator besides.",
            )?,
            twins_dropped: twins(
                "x509_cert_collision_dropped_total",
                "Certificates with the labels and the discriminator of another one at a scrape: the one that ends first is told.",
            )?,
        })
    }
}

/// The counts of one identity, and values expensive to compute at every scrape.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// How its reloads ended, in the order of [`RELOADS`].
    pub(super) reloads: [u64; RELOADS.len()],
    /// When the anchor of the published bundle begins and ends that ends first.
    pub(super) bundle_life: Option<(SystemTime, SystemTime)>,
    /// Until when each federated trust domain of the published bundles is trusted.
    pub(super) federated: Arc<[FederatedLife]>,
    /// Whether what is on disk was rejected when it was last read.
    pub(super) is_rejected: bool,
    /// When what is published was first published, by this process or one before it.
    pub(super) rotated: Option<SystemTime>,
    published: Option<Digest>,
    errors: Vec<FileError>,
    /// Whether what it retains is not written down.
    unwritten: bool,
}

/// Measures what passes on to the next observer.
pub(crate) struct Measured {
    metrics: Arc<Metrics>,
    next: Arc<dyn Observer>,
}

impl Measured {
    /// Passes everything on to `next`.
    pub(crate) fn new(metrics: Arc<Metrics>, next: Arc<dyn Observer>) -> Self {
        Self { metrics, next }
    }

    fn alive(&self) {
        *self.metrics.sign_of_life.lock() = Instant::now();
    }

    fn count_unwritten(&self, before: bool, now: bool) {
        self.metrics.files.state_unwritten.add(i64::from(now) - i64::from(before));
    }
}

impl Observer for Measured {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        self.alive();
        let mut records = self.metrics.records.lock();
        let record = records.entry(id.clone()).or_default();
        let published = state.snapshot.as_ref().map(|snapshot| snapshot.digest());
        if record.published != published {
            record.published = published;
            record.is_rejected = false;
            record.bundle_life = state.snapshot.as_ref().and_then(|snapshot| {
                let anchors = snapshot.bundles().own.iter().flat_map(|bundle| bundle.anchors());
                let lives = anchors.filter_map(|der| CertificateFacts::from_der(der).ok());
                lives.map(|facts| (facts.not_before, facts.not_after)).min_by_key(|(_, end)| *end)
            });
            record.federated = state.snapshot.as_deref().map(federated::lives).unwrap_or_default();
            let mut rotations = self.metrics.rotations.lock();
            record.rotated = published.zip(state.published_at).map(|(digest, at)| rotations.published(id, digest, at));
            rotations.remember();
        }
        let errors = certificates::errors(&state);
        for error in errors.iter().filter(|error| !record.errors.contains(error)) {
            self.metrics.files.source_errors.with_label_values(&certificates::source_labels(error.reason)).inc();
        }
        record.errors = errors;
        let unwritten = state.findings.iter().any(|finding| finding.check == Check::StateNotWritten);
        self.count_unwritten(std::mem::replace(&mut record.unwritten, unwritten), unwritten);
        drop(records);
        self.next.state(id, state);
    }

    fn removed(&self, id: &IdentityId) {
        self.alive();
        let record = self.metrics.records.lock().remove(id);
        self.count_unwritten(record.is_some_and(|record| record.unwritten), false);
        let mut rotations = self.metrics.rotations.lock();
        rotations.removed(id);
        rotations.remember();
        drop(rotations);
        self.next.removed(id);
    }

    fn reload(&self, id: &IdentityId, result: Reload, took: Duration) {
        self.alive();
        if let Some(index) = RELOADS.iter().position(|(reload, _)| *reload == result) {
            let mut records = self.metrics.records.lock();
            let record = records.entry(id.clone()).or_default();
            record.reloads[index] += 1;
            record.is_rejected = result == Reload::Rejected;
        }
        if result == Reload::Published {
            self.metrics.files.reload_duration.observe(took.as_secs_f64());
        }
        self.next.reload(id, result, took);
    }

    fn state_unwritten(&self, id: &IdentityId, error: &StateError) {
        self.alive();
        self.metrics.files.state_failures.with_label_values(&[if error.reading { "read" } else { "write" }]).inc();
        self.next.state_unwritten(id, error);
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.alive();
        self.metrics.files.watch_errors.with_label_values(&[reason(problem)]).inc();
        self.next.watch_problem(problem);
    }

    fn scanned(&self, at: SystemTime) {
        self.alive();
        self.metrics.files.last_scan.set(exposition::fractional_seconds(at));
        let mut rotations = self.metrics.rotations.lock();
        rotations.looked_at_all();
        rotations.remember();
        drop(rotations);
        self.next.scanned(at);
    }
}

/// The metric label of a problem of watching.
fn reason(problem: WatchProblem) -> &'static str {
    match problem {
        WatchProblem::Overflow => "overflow",
        WatchProblem::Exhausted => "exhausted",
        _ => "other",
    }
}
