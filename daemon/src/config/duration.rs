//! Spans of time as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A span of time: `30s`, `90m`, `8h`, `1day 12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A number alone is what people write by mistake: the answer is not that it has to be a string, but how the unit is written.
struct Written;

impl Visitor<'_> for Written {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as \"30s\", \"90m\" or \"8h\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        let no_span = |error| no_span(format_args!("{text:?}"), format_args!(" ({error})"));
        humantime::parse_duration(text).map(Span).map_err(no_span)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Span, E> {
        Err(no_span(format_args!("{number}"), format_args!("")))
    }
}

fn no_span<E: Error>(value: fmt::Arguments<'_>, why: fmt::Arguments<'_>) -> E {
    E::custom(format_args!("{value} is no span of time{why}; write one such as \"30s\", \"90m\" or \"8h\""))
}
