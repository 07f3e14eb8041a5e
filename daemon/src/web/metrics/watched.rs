//! Metrics of the patterns of directories.

use super::exposition::Family;
use crate::inventory::sources::Watched;

/// A family and its value for one pattern.
type Metric = (Family, fn(&Watched) -> usize);

const METRICS: [Metric; 3] = [
    (Family::gauge("evercert_watched_directories", "How many directories a pattern of [watch] matches."), |watched| {
        watched.matches
    }),
    (
        Family::gauge("evercert_watched_directories_unusable", "Those of them whose names no identity can have."),
        |watched| watched.unusable,
    ),
    (
        Family::gauge(
            "evercert_watched_directories_away",
            "Identities that are kept though what held their directories went away.",
        ),
        |watched| watched.kept,
    ),
];

/// Writes all families.
pub(super) fn write(watched: &[Watched], text: &mut String) {
    for (family, value) in METRICS {
        family.begin(text);
        watched.iter().for_each(|one| family.sample(text, &[("pattern", &one.pattern.to_string())], value(one)));
    }
}
