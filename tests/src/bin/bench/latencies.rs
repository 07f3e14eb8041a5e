//! Latencies with their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Microseconds, with three significant digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).unwrap())
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.record(latency.as_micros().try_into().unwrap()).unwrap();
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds that this share of them does not exceed.
    pub(crate) fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// In milliseconds.
    pub(crate) fn figures(&self) -> Value {
        let ms = |micros: u64| micros as f64 / 1000.0;
        json!({
            "p50": ms(self.0.value_at_quantile(0.5)),
            "p90": ms(self.0.value_at_quantile(0.9)),
            "p99": ms(self.0.value_at_quantile(0.99)),
            "max": ms(self.0.max()),
        })
    }
}
