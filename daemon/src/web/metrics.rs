//! The metrics.
//!
//! Two kinds: what happens to the daemon as a whole is counted when it happens, in a registry of the crate
//! `prometheus`; what is known of each identity is read from the store when it is asked for, so that no series
//! outlives what it speaks of. The second kind is written family by family as it is sent: ten thousand identities
//! make tens of megabytes of text, and as the crate's message types several times that.

mod certificates;
mod exposition;
mod identities;
mod observer;
mod page;
mod revocations;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::identity::IdentityId;
use parking_lot::{Mutex, MutexGuard};
use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::attest::{DecisionObserver, DecisionReason};
use crate::inventory::pods::{Contested, Silent};
use crate::publication::{Disconnect, Readiness, SubscriberObserver, Subscribers};
use crate::serve::{DoorObserver, Resource, TurnedAway};

use observer::Record;

pub(crate) use exposition::CONTENT_TYPE;
pub(crate) use observer::Measured;
pub(crate) use page::Page;

/// The prefix of the daemon's own metrics.
const NAMESPACE: &str = "evercert";

/// From a file event to publication: most of it is reading and checking, a few milliseconds; a torn read is retried.
const RELOAD_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// From publication to a subscriber's word: a socket's round trip, or as long as a workload takes.
const ACKNOWLEDGE_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// A few system calls.
const ATTESTATION_BUCKETS: [f64; 7] = [0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.05, 0.5];

/// The events, counted.
pub(crate) struct Metrics {
    registry: Registry,
    config_last_reload_successful: IntGauge,
    reload_duration: Histogram,
    watch_errors: IntCounterVec,
    last_scan: Gauge,
    state_failures: IntCounterVec,
    state_unwritten: IntGauge,
    source_errors: IntCounterVec,
    acknowledged: Histogram,
    disconnects: IntCounterVec,
    turned_away: IntCounterVec,
    streams_turned_away: IntCounterVec,
    attestations: IntCounterVec,
    attestation_duration: Histogram,
    silent_volumes: IntGaugeVec,
    contested_names: IntGaugeVec,
    records: Mutex<HashMap<IdentityId, Record>>,
    sign_of_life: Mutex<Instant>,
}

impl Metrics {
    /// Metrics of a daemon that starts now: every counter at 0.
    ///
    /// # Errors
    ///
    /// None, as a test proves: the names are fixed and differ.
    pub(crate) fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let build = register(
            &registry,
            IntGaugeVec::new(own("build_info", "What is running, as labels; always 1."), &["version", "revision"])?,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), option_env!("EVERCERT_REVISION").unwrap_or("")]).set(1);
        let disconnects = counter(
            &registry,
            own("subscriber_disconnects_total", "Subscriptions that ended, by reason."),
            &["reason"],
        )?;
        Disconnect::ALL.iter().for_each(|reason| touch(&disconnects, &[reason.as_str()]));
        let watch_errors = counter(
            &registry,
            own("watch_errors_total", "What went wrong with watching files, by reason; the periodic tick carries on."),
            &["reason"],
        )?;
        observer::WATCH_PROBLEMS.iter().for_each(|problem| touch(&watch_errors, &[observer::reason(*problem)]));
        let state_failures = counter(
            &registry,
            own(
                "state_failures_total",
                "Tries to write down, or read, what is retained of a replaced ca.crt that failed, by operation.",
            ),
            &["operation"],
        )?;
        ["read", "write"].iter().for_each(|operation| touch(&state_failures, &[operation]));
        let source_errors = counter(
            &registry,
            Opts::new("x509_source_errors_total", "Files that could not be read or parsed, by reason."),
            &["source_kind", "source_name", "reason"],
        )?;
        certificates::REASONS.iter().for_each(|reason| touch(&source_errors, &certificates::source_labels(reason)));
        let attestations = counter(
            &registry,
            own("attestations_total", "Decisions on whether a caller may have an identity, by result and reason."),
            &["result", "reason"],
        )?;
        DecisionReason::ALL.iter().for_each(|reason| touch(&attestations, &decision_labels(*reason)));
        let turned_away = counter(
            &registry,
            own("connections_turned_away_total", "Connections that were closed, or not accepted, by reason."),
            &["reason"],
        )?;
        let streams_turned_away = counter(
            &registry,
            own("streams_turned_away_total", "Requests that were refused, or ended, for want of room, by reason."),
            &["reason"],
        )?;
        for reason in TurnedAway::ALL {
            let counter = match reason.resource() {
                Resource::Connection => &turned_away,
                Resource::Stream => &streams_turned_away,
            };
            touch(counter, &[reason.as_str()]);
        }
        let metrics = Self {
            config_last_reload_successful: register(
                &registry,
                IntGauge::with_opts(own(
                    "config_last_reload_successful",
                    "Whether the configuration was last read without error: 0 or 1.",
                ))?,
            )?,
            reload_duration: histogram(
                &registry,
                "reload_duration_seconds",
                "From a file event, or a tick that found a change, to publication.",
                &RELOAD_BUCKETS,
            )?,
            last_scan: register(
                &registry,
                Gauge::with_opts(own(
                    "source_last_scan_timestamp_seconds",
                    "When every identity was last looked at, hints or not.",
                ))?,
            )?,
            state_unwritten: register(
                &registry,
                IntGauge::with_opts(own(
                    "state_unwritten_identities",
                    "Identities of which a restart would not know which anchors are retained.",
                ))?,
            )?,
            acknowledged: histogram(
                &registry,
                "subscriber_ack_duration_seconds",
                "From the publication of a generation to a subscriber's word that it is in use.",
                &ACKNOWLEDGE_BUCKETS,
            )?,
            attestation_duration: histogram(
                &registry,
                "attestation_duration_seconds",
                "How long it takes to decide whether a caller may have an identity.",
                &ATTESTATION_BUCKETS,
            )?,
            contested_names: register(
                &registry,
                IntGaugeVec::new(
                    own(
                        "pod_names_contested",
                        "Pods that several names are told of: in_doubt (they have none) or first_stays (they keep the first).",
                    ),
                    &["state"],
                )?,
            )?,
            silent_volumes: register(
                &registry,
                IntGaugeVec::new(
                    own(
                        "pod_volumes_not_answering",
                        "Volumes of pods that are not looked into: stuck (a thread waits for them), crowded_out (too many of their pod or \
                         CSI driver are stuck) or postponed (to the next look).",
                    ),
                    &["state"],
                )?,
            )?,
            registry,
            watch_errors,
            state_failures,
            source_errors,
            disconnects,
            turned_away,
            streams_turned_away,
            attestations,
            records: Mutex::default(),
            sign_of_life: Mutex::new(Instant::now()),
        };
        metrics.config_last_reload_successful.set(1);
        metrics.pods_looked_at(Silent::default(), Contested::default());
        Ok(Arc::new(metrics))
    }

    /// The configuration was read again.
    pub(crate) fn config_reloaded(&self, successful: bool) {
        self.config_last_reload_successful.set(successful.into());
    }

    /// The pods were looked for: these of their volumes do not answer, and these of them have several names.
    pub(crate) fn pods_looked_at(&self, silent: Silent, contested: Contested) {
        let states = [("stuck", silent.stuck), ("crowded_out", silent.crowded_out), ("postponed", silent.postponed)];
        for (state, count) in states {
            self.silent_volumes.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (state, count) in [("in_doubt", contested.in_doubt), ("first_stays", contested.first_stays)] {
            self.contested_names.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How long ago the keeper last did anything.
    pub(crate) fn silence(&self) -> Duration {
        self.sign_of_life.lock().elapsed()
    }

    /// Everything as it is at `now`, in Prometheus' text format.
    pub(crate) fn page(&self, readiness: &Readiness, subscribers: &Subscribers, now: SystemTime) -> Page {
        Page::new(self, readiness, subscribers, now)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<IdentityId, Record>> {
        // Each record is replaced or counted up whole; a panic leaves no half of one.
        self.records.lock()
    }
}

impl SubscriberObserver for Metrics {
    fn acknowledged(&self, _identity: &IdentityId, took: Duration) {
        self.acknowledged.observe(took.as_secs_f64());
    }

    fn disconnected(&self, _identity: &IdentityId, reason: Disconnect) {
        self.disconnects.with_label_values(&[reason.as_str()]).inc();
    }
}

impl DoorObserver for Metrics {
    fn turned_away(&self, reason: TurnedAway) {
        let counter = match reason.resource() {
            Resource::Connection => &self.turned_away,
            Resource::Stream => &self.streams_turned_away,
        };
        counter.with_label_values(&[reason.as_str()]).inc();
    }
}

impl DecisionObserver for Metrics {
    fn decided(&self, reason: DecisionReason, took: Duration) {
        self.attestations.with_label_values(&decision_labels(reason)).inc();
        self.attestation_duration.observe(took.as_secs_f64());
    }
}

/// The labels of `evercert_attestations_total`.
fn decision_labels(reason: DecisionReason) -> [&'static str; 2] {
    [if reason.allows() { "allowed" } else { "denied" }, reason.as_str()]
}

fn own(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, opts: Opts, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(opts, labels)?)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(opts)?)
}

/// A counter that exists from the start: an increase from nothing would go unseen.
fn touch(counter: &IntCounterVec, labels: &[&str]) {
    let _ = counter.with_label_values(labels);
}
