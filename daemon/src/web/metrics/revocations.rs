//! The certificate revocation lists on disk, under the names and labels of enix/x509-certificate-exporter.

use std::collections::BTreeMap;
use std::time::SystemTime;

use evercert_core::keeper::CrlOnDisk;

use super::certificates::{FileLabels, ISSUER, name_labels};
use super::exposition::{Family, rendered, seconds};
use super::identities::Row;
use super::limit::soonest;

type Value = fn(&CrlOnDisk, SystemTime) -> Option<String>;

const FAMILIES: [(Family, Value); 4] = [
    (Family::gauge("x509_crl_this_update", "When the revocation list on disk was issued."), |crl, _| {
        Some(seconds(crl.this_update).to_string())
    }),
    (Family::gauge("x509_crl_next_update", "By when the next revocation list was promised."), |crl, _| {
        Some(seconds(crl.next_update?).to_string())
    }),
    (Family::gauge("x509_crl_stale", "Whether the next revocation list is overdue: 0 or 1."), |crl, now| {
        Some(u8::from(crl.next_update.is_some_and(|next| now >= next)).to_string())
    }),
    // In decimal it is what Prometheus reads, if of a large one not to the last digit.
    (Family::gauge("x509_crl_number", "The number of the revocation list on disk."), |crl, _| crl.number.clone()),
];

/// The lists of all rows, each series once: of several of one issuer in one file the latest.
pub(super) struct Revocations {
    /// Indexes of rows and of their lists.
    distinct: Vec<(usize, usize)>,
    /// How many are over the limit.
    pub(super) left_out: usize,
}

impl Revocations {
    /// Collects from `rows`: at most `limit` lists, those whose next one is due first.
    pub(super) fn of(rows: &[Row], limit: usize) -> Self {
        let mut latest: BTreeMap<_, (&CrlOnDisk, (usize, usize))> = BTreeMap::new();
        for (row, of) in rows.iter().enumerate() {
            for (index, crl) in of.state.iter().flat_map(|state| state.crls.iter()).enumerate() {
                let found = (crl, (row, index));
                let known = latest.entry(rendered(&labels(crl, &FileLabels::of(&crl.file)))).or_insert(found);
                if crl.is_newer_than(known.0) {
                    *known = found;
                }
            }
        }
        let due = |(crl, _): &(&CrlOnDisk, _)| (crl.next_update.is_none(), crl.next_update);
        let (shown, left_out) = soonest(latest.into_values().collect(), limit, due);
        let mut distinct: Vec<_> = shown.into_iter().map(|(_, place)| place).collect();
        distinct.sort_unstable();
        Self { distinct, left_out }
    }

    /// Appends the families; nothing where there is no list.
    pub(super) fn write(&self, rows: &[Row], now: SystemTime, text: &mut String) {
        if self.distinct.is_empty() {
            return;
        }
        for (family, value) in &FAMILIES {
            family.begin(text);
            let crls = self.distinct.iter().filter_map(|(row, index)| rows.get(*row)?.state.as_ref()?.crls.get(*index));
            for crl in crls {
                let file = FileLabels::of(&crl.file);
                if let Some(value) = value(crl, now) {
                    family.sample(text, &labels(crl, &file), value);
                }
            }
        }
    }
}

fn labels<'a>(crl: &'a CrlOnDisk, file: &'a FileLabels) -> Vec<(&'static str, &'a str)> {
    [&file.pairs()[..], &name_labels(&ISSUER, &crl.issuer)].concat()
}
