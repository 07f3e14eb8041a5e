//! One answer to a scrape, part by part.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::identity::{IdentityId, Scope};
use prometheus::TextEncoder;

use super::Metrics;
use super::authorities::Authorities;
use super::certificates::Certificates;
use super::exposition::Family;
use super::federated::FederatedBundles;
use super::identities::{self, METRICS, Row, SubscriberCounts};
use super::limit::soonest;
use super::revocations::Revocations;
use super::{process, watched};
use crate::publication::{Neighbours, Outcome, Readiness, SubscriberState, SubscriberStatus, Subscribers};

/// How many identities one part has: about 64 KiB of text.
const CHUNK: usize = 512;

const LEFT_OUT: Family = Family::gauge(
    "evercert_metrics_left_out",
    "What has no series, as there is more than `metrics_limit` of [http] lets in; what ends first has them.",
);

/// The page as it is at one time: an iterator over its parts, each of which is text.
pub(crate) struct Page {
    registry: Option<String>,
    rows: Vec<Row>,
    /// The places of the rows that are told.
    told: Vec<usize>,
    certificates: Certificates,
    revocations: Revocations,
    now: SystemTime,
    next: usize,
}

impl Page {
    pub(super) fn new(
        metrics: &Metrics,
        readiness: &Readiness,
        subscribers: &Subscribers,
        neighbours: &Neighbours,
        now: SystemTime,
    ) -> Self {
        let (identities, pods) = readiness.identities();
        let counted = |id: &IdentityId| {
            // Not for longer: the keeper's observer waits for it.
            let records = metrics.records.lock();
            records
                .get(id)
                .map(|record| {
                    let federated = Arc::clone(&record.federated);
                    (record.reloads, record.is_rejected, record.bundle_life, federated, record.rotated)
                })
                .unwrap_or_default()
        };
        let rows: Vec<_> = identities
            .into_iter()
            .map(|(id, state)| {
                let (reloads, is_rejected, bundle_life, federated, rotated) = counted(&id);
                Row {
                    reloads,
                    is_rejected,
                    bundle_life,
                    federated,
                    rotated,
                    subscribers: SubscriberCounts::of(&subscribers.of(&id)),
                    pod: match &id.scope {
                        Scope::Node => None,
                        Scope::Pod(uid) => pods.get(uid).cloned(),
                    },
                    state,
                    id,
                }
            })
            .collect();
        let (mut told, left_out) = soonest(identities::distinct(&rows), metrics.limit, |place| rows[*place].urgency());
        told.sort_unstable();
        let certificates = Certificates::of(&rows, metrics.limit);
        let revocations = Revocations::of(&rows, metrics.limit);
        let federated = FederatedBundles::of(&rows, &told, metrics.limit);
        let authorities = Authorities::of(&rows, &neighbours.census(), metrics.limit);
        let twins = certificates.twins;
        metrics.files.twins.with_label_values(&["file"]).inc_by(twins.told_apart + twins.dropped);
        metrics.files.twins_dropped.with_label_values(&["file"]).inc_by(twins.dropped);
        let registry = TextEncoder::new().encode_to_string(&metrics.registry.gather());
        let registry = registry.inspect_err(|error| tracing::error!(%error, "the registry cannot be written")).ok();
        let registry = registry.map(|mut text| {
            process::write(metrics.started, &mut text);
            LEFT_OUT.begin(&mut text);
            for (of, count) in [
                ("identities", left_out),
                ("certificates", certificates.left_out.certificates),
                ("files", certificates.left_out.errors),
                ("revocation_lists", revocations.left_out),
                ("authorities", authorities.left_out),
                ("federated_bundles", federated.left_out),
            ] {
                LEFT_OUT.sample(&mut text, &[("of", of)], count);
            }
            watched::write(&readiness.watched(), &mut text);
            metrics.endpoints.write(&mut text);
            authorities.write(&mut text);
            federated.write(&rows, &mut text);
            text
        });
        Self { registry, rows, told, certificates, revocations, now, next: 0 }
    }

    fn chunks(&self) -> usize {
        self.told.len().div_ceil(CHUNK).max(1)
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(registry) = self.registry.take() {
            return Some(registry);
        }
        let mut text = String::new();
        let part = self.next;
        self.next += 1;
        let identities = METRICS.len() * self.chunks();
        if let Some((family, write)) = METRICS.get(part / self.chunks()) {
            let chunk = part % self.chunks();
            if chunk == 0 {
                family.begin(&mut text);
            }
            let told = self.told.iter().skip(chunk * CHUNK).take(CHUNK);
            told.for_each(|place| write(family, &self.rows[*place], &mut text));
        } else if part - identities < self.certificates.parts() {
            self.certificates.write(part - identities, &self.rows, self.now, &mut text);
        } else if part - identities == self.certificates.parts() {
            self.revocations.write(&self.rows, self.now, &mut text);
        } else {
            return None;
        }
        Some(text)
    }
}

impl SubscriberCounts {
    fn of(subscribers: &[SubscriberStatus]) -> Self {
        let (attested, unattested): (Vec<_>, Vec<_>) = subscribers.iter().partition(|one| one.subscriber.is_attested);
        let subscribers = attested;
        Self {
            unattested: unattested.len(),
            unattested_behind: unattested.iter().filter(|subscriber| subscriber.state.is_behind()).count(),
            connected: subscribers.iter().filter(|subscriber| subscriber.lost_since.is_none()).count(),
            lost: subscribers.iter().filter(|subscriber| subscriber.lost_since.is_some()).count(),
            refusing: subscribers.iter().filter(|subscriber| subscriber.state == SubscriberState::Refused).count(),
            behind: subscribers.iter().filter(|subscriber| subscriber.state.is_behind()).count(),
            unsettled: subscribers.iter().filter(|subscriber| subscriber.state.is_unsettled()).count(),
            connections_on_older: subscribers.iter().copied().map(connections_on_older).sum(),
            not_after: subscribers.iter().copied().filter_map(current_not_after).min(),
        }
    }
}

fn connections_on_older(subscriber: &SubscriberStatus) -> u64 {
    subscriber.report.as_ref().map_or(0, |report| report.connections_on_older.into())
}

/// The end of the leaf that a subscriber's new handshakes use; one that refused says nothing of what it uses.
fn current_not_after(subscriber: &SubscriberStatus) -> Option<SystemTime> {
    let report = subscriber.report.as_ref()?;
    match report.outcome {
        Some(Outcome::Current | Outcome::Settled) => report.not_after,
        Some(Outcome::Refused(_)) | None => None,
    }
}
