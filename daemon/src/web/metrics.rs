//! The metrics.
//!
//! Two kinds: what happens to the daemon as a whole is counted when it happens, in a registry of the crate
//! `prometheus`; what is known of each identity is read from the store when it is asked for, so that no series
//! outlives what it speaks of. The second kind is written family by family as it is sent: ten thousand identities
//! make tens of megabytes of text, and as the crate's message types several times that.

mod authorities;
mod callers;
mod certificates;
mod endpoints;
mod exposition;
mod federated;
mod identities;
mod limit;
mod observer;
mod page;
mod process;
mod reached;
mod registering;
mod revocations;
mod rotations;
mod watched;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::identity::IdentityId;
use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::inventory::pods::{Contested, Silent};
use crate::publication::{Neighbours, Readiness, Subscribers};

use callers::Callers;
use endpoints::Endpoints;
use observer::{Files, Record};
use reached::Reached;
use registering::{gauge, gauges, own, register};
use rotations::Rotations;

pub(crate) use exposition::CONTENT_TYPE;
pub(crate) use observer::Measured;
pub(crate) use page::Page;
pub(crate) use reached::Limit;
pub(crate) use rotations::remembered as remembered_rotations;

/// The commit that this was built of; what builds for others sets it.
const REVISION: &str = match option_env!("EVERCERT_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The events, counted.
pub(crate) struct Metrics {
    registry: Registry,
    config_last_reload_successful: IntGauge,
    files: Files,
    callers: Callers,
    reached: Reached,
    silent_volumes: IntGaugeVec,
    contested_names: IntGaugeVec,
    records: Mutex<HashMap<IdentityId, Record>>,
    rotations: Mutex<Rotations>,
    endpoints: Endpoints,
    started: SystemTime,
    /// The most identities, certificates, revocation lists, CAs and federated bundles that have series, of each.
    limit: usize,
    sign_of_life: Mutex<Instant>,
}

impl Metrics {
    /// Metrics of a daemon that starts now: every counter at 0. They tell of at most `limit` identities, certificates, revocation
    /// lists, CAs and federated bundles each; what has to outlive the process is remembered in `state_directory`.
    ///
    /// # Errors
    ///
    /// None, as a test proves: the names are fixed and differ.
    pub(crate) fn new(limit: usize, state_directory: Option<&Path>) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let build = own("build_info", "What is running, as labels; always 1.");
        let build = register(&registry, IntGaugeVec::new(build, &["version", "revision"])?)?;
        let build_labels = [env!("CARGO_PKG_VERSION"), REVISION];
        build.with_label_values(&build_labels).set(1);
        let exporter =
            Opts::new("x509_exporter_build_info", "What tells of the certificates on disk, as labels; always 1.");
        let exporter = register(&registry, IntGaugeVec::new(exporter, &["version", "revision"])?)?;
        exporter.with_label_values(&build_labels).set(1);
        let metrics = Self {
            config_last_reload_successful: gauge(
                &registry,
                "config_last_reload_successful",
                "Whether the configuration was last read without error: 0 or 1.",
            )?,
            files: Files::counted_in(&registry)?,
            callers: Callers::counted_in(&registry)?,
            reached: Reached::counted_in(&registry)?,
            silent_volumes: gauges(
                &registry,
                "pod_volumes_not_answering",
                "Volumes of pods that are not looked into: stuck (a thread waits for them), crowded_out (too many of their pod or CSI \
                 driver are stuck) or postponed (to the next look).",
                "state",
            )?,
            contested_names: gauges(
                &registry,
                "pod_names_contested",
                "Pods that several names are told of: in_doubt (they have none) or first_stays (they keep the first).",
                "state",
            )?,
            registry,
            records: Mutex::default(),
            endpoints: Endpoints::default(),
            rotations: Mutex::new(Rotations::remembered_in(state_directory)),
            started: SystemTime::now(),
            limit,
            sign_of_life: Mutex::new(Instant::now()),
        };
        metrics.config_reloaded(true);
        metrics.pods_looked_at(Silent::default(), Contested::default());
        Ok(Arc::new(metrics))
    }

    /// The configuration was read again.
    pub(crate) fn config_reloaded(&self, successful: bool) {
        self.config_last_reload_successful.set(successful.into());
    }

    /// The pods were looked for: these of their volumes do not answer, and these of them have several names.
    pub(crate) fn pods_looked_at(&self, silent: Silent, contested: Contested) {
        let volumes = [("stuck", silent.stuck), ("crowded_out", silent.crowded_out), ("postponed", silent.postponed)];
        let names = [("in_doubt", contested.in_doubt), ("first_stays", contested.first_stays)];
        let set = |gauges: &IntGaugeVec, states: &[(&str, usize)]| {
            for (state, count) in states {
                gauges.with_label_values(&[*state]).set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
        };
        set(&self.silent_volumes, &volumes);
        set(&self.contested_names, &names);
    }

    /// A limit was reached.
    pub(crate) fn limit_reached(&self, limit: Limit) {
        self.reached.count(limit);
    }

    /// How long ago the keeper last did anything.
    pub(crate) fn silence(&self) -> Duration {
        self.sign_of_life.lock().elapsed()
    }

    /// Everything as it is at `now`, in Prometheus' text format.
    pub(crate) fn page(
        &self,
        readiness: &Readiness,
        subscribers: &Subscribers,
        neighbours: &Neighbours,
        now: SystemTime,
    ) -> Page {
        Page::new(self, readiness, subscribers, neighbours, now)
    }
}
