//! The outcome.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::conductor::millis;

/// The figures of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// How often the certificate was rotated, the broken one not counted.
    pub(crate) rotations: u32,
    /// How many of them a handshake saw and every subscriber acknowledged.
    pub(crate) generations_seen: u32,
    pub(crate) calls: u64,
    /// Calls and streams.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// Whether the broken one left what was served.
    pub(crate) last_good_kept: bool,
    pub(crate) swap_to_handshake: Vec<Duration>,
}

impl Summary {
    /// Whether nothing failed and nothing was missed.
    pub(crate) fn is_good(&self, rotations: u32) -> bool {
        self.failed == 0 && self.last_good_kept && self.generations_seen == rotations
    }

    /// The one object that `--json` prints.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let milliseconds = |share| self.quantile(share).map(|time| (millis(time) * 1e3).round() / 1e3);
        serde_json::to_string(&Figures {
            rotations: self.rotations,
            generations_seen: self.generations_seen,
            calls: self.calls,
            failed: self.failed,
            last_good_kept: self.last_good_kept,
            swap_to_handshake_ms: Milliseconds {
                p50: milliseconds(0.5),
                p99: milliseconds(0.99),
                max: milliseconds(1.0),
            },
        })
    }

    /// The smallest time that this share of all times does not exceed; nothing if there is none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let mut times = self.swap_to_handshake.clone();
        times.sort();
        let rank = (share * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rotations          {}, {} seen by everyone", self.rotations, self.generations_seen)?;
        writeln!(f, "calls              {}, {} failed", self.calls, self.failed)?;
        if let Some(why) = &self.first_failure {
            writeln!(f, "first failure      {why}")?;
        }
        writeln!(f, "last good kept     {}", if self.last_good_kept { "yes" } else { "NO" })?;
        write!(f, "swap to handshake  {}", Latency(self))
    }
}

#[derive(Serialize)]
struct Figures {
    rotations: u32,
    generations_seen: u32,
    calls: u64,
    failed: u64,
    last_good_kept: bool,
    swap_to_handshake_ms: Milliseconds,
}

/// Absent where nothing was measured.
#[derive(Serialize)]
struct Milliseconds {
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

/// Times from the swap of the volume to the first handshake with the new leaf.
pub(crate) struct Latency<'a>(pub(crate) &'a Summary);

impl fmt::Display for Latency<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantile = |share| self.0.quantile(share).map(millis);
        let (Some(last), Some(p50), Some(p99), Some(max)) =
            (self.0.swap_to_handshake.last(), quantile(0.5), quantile(0.99), quantile(1.0))
        else {
            return f.write_str("-");
        };
        write!(f, "p50 {p50:.1} ms   p99 {p99:.1} ms   max {max:.1} ms   last {:.1} ms", millis(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_occurred() {
        let times = |n: u64| (1..=n).rev().map(Duration::from_millis).collect();
        let ten = Summary { swap_to_handshake: times(10), ..Summary::default() };
        assert_eq!(ten.quantile(0.5), Some(Duration::from_millis(5)));
        assert_eq!(ten.quantile(0.99), Some(Duration::from_millis(10)));
        assert_eq!(ten.quantile(1.0), Some(Duration::from_millis(10)));
        assert_eq!(Summary::default().quantile(0.5), None);
    }

    #[test]
    fn one_failed_call_one_missed_generation_or_a_lost_last_good_is_a_failure() {
        let good = Summary { rotations: 2, generations_seen: 2, last_good_kept: true, ..Summary::default() };
        assert!(good.is_good(2));
        assert!(!Summary { failed: 1, ..good.clone() }.is_good(2));
        assert!(!Summary { generations_seen: 1, ..good.clone() }.is_good(2));
        assert!(!Summary { last_good_kept: false, ..good }.is_good(2));
    }
}
