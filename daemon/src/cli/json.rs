//! JSON as commands print it.

use evercert_core::text;
use serde::Serialize;

/// A report, of which no map has keys that could fail, for people and programs: what is not seen is escaped in its strings.
pub(super) fn pretty(report: &impl Serialize) -> String {
    text::json(&serde_json::to_string_pretty(report).unwrap_or_default()).into_owned() + "\n"
}
