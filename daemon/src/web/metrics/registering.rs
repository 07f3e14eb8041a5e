//! How the daemon's own metrics are made and registered.

use prometheus::core::Collector;
use prometheus::{Error, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The prefix of the daemon's own metrics.
const NAMESPACE: &str = "evercert";

pub(super) fn own(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Counters by one label, of these values.
pub(super) fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = &'static str>,
) -> Result<IntCounterVec, Error> {
    counters(registry, own(name, help), [label], values.into_iter().map(|value| [value]))
}

/// Counters that exist from the start: an increase from nothing would go unseen.
pub(super) fn counters<const N: usize>(
    registry: &Registry,
    opts: Opts,
    labels: [&str; N],
    series: impl IntoIterator<Item = [&'static str; N]>,
) -> Result<IntCounterVec, Error> {
    let counters = register(registry, IntCounterVec::new(opts, &labels)?)?;
    series.into_iter().for_each(|labels| drop(counters.with_label_values(&labels)));
    Ok(counters)
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    register(registry, IntGauge::with_opts(own(name, help))?)
}

/// Gauges by one label.
pub(super) fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, Error> {
    register(registry, IntGaugeVec::new(own(name, help), &[label])?)
}

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
    let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(opts)?)
}
