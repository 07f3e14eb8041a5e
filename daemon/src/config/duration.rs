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
        deserializer.deserialize_any(SpanVisitor)
    }
}

/// How long before the leaf's end renewal is due, or that it never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewBefore {
    /// This long.
    Span(Duration),
    /// No renewal is expected.
    Never,
}

impl<'de> Deserialize<'de> for RenewBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RenewBeforeVisitor)
    }
}

struct RenewBeforeVisitor;

impl Visitor<'_> for RenewBeforeVisitor {
    type Value = RenewBefore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as \"30s\", \"90m\" or \"8h\", or \"never\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RenewBefore, E> {
        if text == "never" {
            return Ok(RenewBefore::Never);
        }
        SpanVisitor.visit_str(text).map(|span| RenewBefore::Span(span.0))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RenewBefore, E> {
        SpanVisitor.visit_i64(number).map(|span| RenewBefore::Span(span.0))
    }
}

/// A number alone is what people write by mistake: the answer is not that it has to be a string, but how the unit is written.
struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as \"30s\", \"90m\" or \"8h\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        humantime::parse_duration(text).map(Span).map_err(|_| E::custom(NO_SPAN))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Span, E> {
        Err(E::custom(NO_SPAN))
    }
}

/// Says nothing of what was written instead: a configuration may hold a key where none belongs.
const NO_SPAN: &str = "this is no span of time; write one such as \"30s\", \"90m\" or \"8h\"";
