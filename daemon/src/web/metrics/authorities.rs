//! What uses each CA, and its life: from these a query over all nodes tells whether one may go, and an alert that one has to.

use std::collections::HashMap;
use std::time::SystemTime;

use evercert_core::certificate::CertificateFacts;
use evercert_core::identity::IdentityId;

use super::exposition::{Family, seconds};
use super::identities::Row;
use super::limit::soonest;
use crate::publication::{AuthorityCount, AuthorityCounts, Census, Users};

type Life = fn(&CertificateFacts) -> SystemTime;

const LIVES: [(Family, Life); 2] = [
    (Family::gauge("evercert_ca_not_before_timestamp_seconds", "When a CA became valid."), |facts| facts.not_before),
    (
        Family::gauge("evercert_ca_not_after_timestamp_seconds", "When a CA that is presented or trusted ends."),
        |facts| facts.not_after,
    ),
];

type Value = fn(&Users) -> usize;

const FAMILIES: [(Family, Value); 2] = [
    (
        Family::gauge(
            "evercert_ca_identities",
            "Identities that present a leaf under a CA, or trust it, by what is published; no series where there is none.",
        ),
        |users| users.identities,
    ),
    (
        Family::gauge("evercert_ca_subscribers", "The subscribers of these identities, whatever they acknowledged."),
        |users| users.subscribers,
    ),
];

/// The CAs of all rows.
pub(super) struct Authorities {
    counts: Vec<AuthorityCount>,
    /// How many are over the limit, or were not counted.
    pub(super) left_out: usize,
}

impl Authorities {
    /// Counts what uses each, of which the rows have the subscribers: at most `limit` CAs, those that end first.
    pub(super) fn of(rows: &[Row], census: &Census<IdentityId>, limit: usize) -> Self {
        let subscribers: HashMap<_, _> = rows.iter().map(|row| (&row.id, row.subscribers.all())).collect();
        let AuthorityCounts { counts, uncounted } = census.counts(|id| subscribers.get(id).copied().unwrap_or(0));
        let (mut counts, left_out) = soonest(counts, limit, |count| count.facts.not_after);
        counts.sort_unstable_by_key(|count| count.facts.fingerprint);
        Self { counts, left_out: left_out + uncounted }
    }

    /// Appends the families.
    pub(super) fn write(&self, text: &mut String) {
        for (family, life) in &LIVES {
            family.begin(text);
            for AuthorityCount { facts, .. } in &self.counts {
                let fingerprint = facts.fingerprint.to_string();
                let labels = [("sha256", &*fingerprint), ("subject", &facts.subject.text)];
                family.sample(text, &labels, seconds(life(facts)));
            }
        }
        for (family, value) in &FAMILIES {
            family.begin(text);
            for AuthorityCount { facts, presents, trusts } in &self.counts {
                let fingerprint = facts.fingerprint.to_string();
                for (how, users) in [("presents", presents), ("trusts", trusts)] {
                    if users.identities > 0 {
                        let labels = [("sha256", &*fingerprint), ("subject", &facts.subject.text), ("use", how)];
                        family.sample(text, &labels, value(users));
                    }
                }
            }
        }
    }
}
