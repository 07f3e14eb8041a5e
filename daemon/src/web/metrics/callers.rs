//! What is counted of callers: their connections and streams, what they may have, and what they report.

use std::time::Duration;

use evercert_core::identity::IdentityId;
use prometheus::{Histogram, IntCounterVec, Registry};

use super::registering::{counter, counters, histogram, own};
use super::{Limit, Metrics};
use crate::attest::{DecisionObserver, DecisionReason};
use crate::publication::{Disconnect, NewSubscriber, Refused, Report, SubscriberLimit, SubscriberObserver};
use crate::serve::{DoorObserver, Resource, ServingLimit, TurnedAway};

/// From publication to a subscriber's word: a socket's round trip, or as long as a workload takes.
const ACKNOWLEDGE_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// A few system calls.
const ATTESTATION_BUCKETS: [f64; 7] = [0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.05, 0.5];

/// What callers do, and what becomes of it.
pub(super) struct Callers {
    acknowledged: Histogram,
    disconnects: IntCounterVec,
    connections_turned_away: IntCounterVec,
    streams_turned_away: IntCounterVec,
    attestations: IntCounterVec,
    attestation_duration: Histogram,
}

impl Callers {
    pub(super) fn counted_in(registry: &Registry) -> Result<Self, prometheus::Error> {
        let turned_away = |name, help, resource| {
            let reasons = TurnedAway::ALL.into_iter().filter(|reason| reason.resource() == resource);
            counter(registry, name, help, "reason", reasons.map(TurnedAway::as_str))
        };
        Ok(Self {
            acknowledged: histogram(
                registry,
                "subscriber_ack_duration_seconds",
                "From the publication of a generation to a subscriber's word that it is in use.",
                &ACKNOWLEDGE_BUCKETS,
            )?,
            disconnects: counter(
                registry,
                "subscriber_disconnects_total",
                "Subscriptions that ended, by reason.",
                "reason",
                Disconnect::ALL.map(Disconnect::as_str),
            )?,
            connections_turned_away: turned_away(
                "connections_turned_away_total",
                "Connections that were closed, or not accepted, by reason.",
                Resource::Connection,
            )?,
            streams_turned_away: turned_away(
                "streams_turned_away_total",
                "Requests that were refused, or ended, as there was no room for them or they were too many or too large, by reason.",
                Resource::Stream,
            )?,
            attestations: counters(
                registry,
                own("attestations_total", "Decisions on whether a caller may have an identity, by result and reason."),
                ["result", "reason"],
                DecisionReason::ALL.iter().copied().map(decision_labels),
            )?,
            attestation_duration: histogram(
                registry,
                "attestation_duration_seconds",
                "How long it takes to decide whether a caller may have an identity.",
                &ATTESTATION_BUCKETS,
            )?,
        })
    }
}

impl SubscriberObserver for Metrics {
    fn acknowledged(&self, _identity: &IdentityId, took: Duration) {
        self.callers.acknowledged.observe(took.as_secs_f64());
    }

    /// How many refuse what is published is read at each scrape.
    fn refused(&self, _: &IdentityId, _: &NewSubscriber, _: &Report, _: &Refused) {}

    /// How many are lost is read at each scrape.
    fn lost(&self, _: &IdentityId, _: &NewSubscriber, _: Option<u64>) {}

    fn disconnected(&self, _identity: &IdentityId, reason: Disconnect) {
        self.callers.disconnects.with_label_values(&[reason.as_str()]).inc();
    }

    fn limit_reached(&self, limit: SubscriberLimit) {
        Metrics::limit_reached(self, limit.into());
    }
}

impl DoorObserver for Metrics {
    fn turned_away(&self, reason: TurnedAway) {
        let counter = match reason.resource() {
            Resource::Connection => &self.callers.connections_turned_away,
            Resource::Stream => &self.callers.streams_turned_away,
        };
        counter.with_label_values(&[reason.as_str()]).inc();
        Self::limit_reached(self, reason.into());
    }

    fn limit_reached(&self, limit: ServingLimit) {
        Metrics::limit_reached(self, limit.into());
    }
}

impl DecisionObserver for Metrics {
    fn decided(&self, reason: DecisionReason, took: Duration) {
        self.callers.attestations.with_label_values(&decision_labels(reason)).inc();
        self.callers.attestation_duration.observe(took.as_secs_f64());
    }

    fn line_left_out(&self) {
        Self::limit_reached(self, Limit::AuditLines);
    }
}

/// The labels of `evercert_attestations_total`.
fn decision_labels(reason: DecisionReason) -> [&'static str; 2] {
    [if reason.allows() { "allowed" } else { "denied" }, reason.as_str()]
}
