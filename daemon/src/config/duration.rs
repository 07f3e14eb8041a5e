//! Spans of time as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A span of time: `30s`, `90m`, `8h`, `1day 12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|error| {
            de::Error::custom(format_args!(
                "{text:?} is no span of time ({error}); write one such as \"30s\", \"90m\" or \"8h\""
            ))
        })
    }
}
