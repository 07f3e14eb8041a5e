//! The certificate revocation lists on disk, under the names and labels of enix/x509-certificate-exporter.

use std::collections::BTreeMap;
use std::time::SystemTime;

use evercert_core::keeper::CrlOnDisk;

use super::certificates::{FileLabels, ISSUER, name_labels};
use super::exposition::{Family, seconds};
use super::identities::Row;

type Value = fn(&CrlOnDisk, SystemTime) -> Option<i64>;

const FAMILIES: [(Family, Value); 3] = [
    (Family::gauge("x509_crl_this_update", "When the revocation list on disk was issued."), |crl, _| {
        Some(seconds(crl.this_update))
    }),
    (Family::gauge("x509_crl_next_update", "By when the next revocation list was promised."), |crl, _| {
        crl.next_update.map(seconds)
    }),
    (Family::gauge("x509_crl_stale", "Whether the next revocation list is overdue: 0 or 1."), |crl, now| {
        Some(crl.next_update.is_some_and(|next| now >= next).into())
    }),
];

/// The lists of all rows, each series once: of several of one issuer in one file the latest.
pub(super) struct Revocations {
    /// Indexes of rows and of their lists.
    distinct: Vec<(usize, usize)>,
}

impl Revocations {
    /// Collects from `rows`.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut latest: BTreeMap<_, (&CrlOnDisk, (usize, usize))> = BTreeMap::new();
        for (row, of) in rows.iter().enumerate() {
            for (index, crl) in of.state.iter().flat_map(|state| state.crls.iter()).enumerate() {
                let found = (crl, (row, index));
                let known = latest.entry((&crl.file, name_labels(&ISSUER, &crl.issuer))).or_insert(found);
                if crl.is_newer_than(known.0) {
                    *known = found;
                }
            }
        }
        Self { distinct: latest.into_values().map(|(_, place)| place).collect() }
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
                let labels = [&file.pairs()[..], &name_labels(&ISSUER, &crl.issuer)].concat();
                if let Some(value) = value(crl, now) {
                    family.sample(text, &labels, value);
                }
            }
        }
    }
}
