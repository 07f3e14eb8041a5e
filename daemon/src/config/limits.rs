//! `[limits]`: what callers may use up.

use std::num::NonZeroU32;

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::spanned::{at, unwritten};
use crate::callers::Cap;

/// The largest number that can be set.
const MOST: u32 = 1_000_000;

/// Limits on callers: in all, and for one pod or one user of the node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    connections: Spanned<u32>,
    connections_per_caller: Spanned<u32>,
    streams: Spanned<u32>,
    streams_per_caller: Spanned<u32>,
    requests_per_second: Spanned<u32>,
    requests_per_second_per_caller: Spanned<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: unwritten(4096),
            connections_per_caller: unwritten(1024),
            streams: unwritten(4096),
            streams_per_caller: unwritten(1024),
            requests_per_second: unwritten(5000),
            requests_per_second_per_caller: unwritten(500),
        }
    }
}

impl Limits {
    /// Connections at once.
    pub(crate) fn connections(&self) -> Cap<usize> {
        count(&self.connections, &self.connections_per_caller)
    }

    /// Open requests at once.
    pub(crate) fn streams(&self) -> Cap<usize> {
        count(&self.streams, &self.streams_per_caller)
    }

    /// Requests a second.
    pub(crate) fn requests(&self) -> Cap<NonZeroU32> {
        // `check` has refused 0.
        let rate = |number: &Spanned<u32>| NonZeroU32::new(*number.get_ref()).unwrap_or(NonZeroU32::MIN);
        Cap { in_all: rate(&self.requests_per_second), per_caller: rate(&self.requests_per_second_per_caller) }
    }

    pub(super) fn check(&self) -> Result<Self, Spanned<Problem>> {
        for (key, value, per_caller, share) in self.pairs() {
            for (key, value) in [(key, value), (per_caller, share)] {
                if !(1..=MOST).contains(value.get_ref()) {
                    return Err(at(value, Problem::OutOfRange { key, least: "1", most: "1000000" }));
                }
            }
            if share.get_ref() > value.get_ref() {
                let written = [share, value].into_iter().find(|value| !value.span().is_empty());
                let problem =
                    Problem::ShareAboveWhole { per_caller, share: *share.get_ref(), key, whole: *value.get_ref() };
                return Err(at(written.unwrap_or(value), problem));
            }
        }
        Ok(self.clone())
    }

    fn pairs(&self) -> [Pair<'_>; 3] {
        [
            ("connections", &self.connections, "connections_per_caller", &self.connections_per_caller),
            ("streams", &self.streams, "streams_per_caller", &self.streams_per_caller),
            (
                "requests_per_second",
                &self.requests_per_second,
                "requests_per_second_per_caller",
                &self.requests_per_second_per_caller,
            ),
        ]
    }
}

fn count(in_all: &Spanned<u32>, per_caller: &Spanned<u32>) -> Cap<usize> {
    Cap { in_all: *in_all.get_ref() as usize, per_caller: *per_caller.get_ref() as usize }
}

/// A key and its value in all, and for one caller.
type Pair<'a> = (&'static str, &'a Spanned<u32>, &'static str, &'a Spanned<u32>);
