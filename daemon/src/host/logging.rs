//! Where the log goes, and how it looks: stderr, as text or JSON, one bounded line for each event. Under systemd the journal is given the
//! same lines, with priorities and fields.

mod journal;
mod lines;

use std::path::Path;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

pub(crate) use self::journal::LostLines;
use self::journal::{Entries, Entry, SOCKET, is_journal};
use self::lines::LineWriters;
use crate::config::{InvalidLevel, Log, LogFormat, level_filter};

/// The variables that override the level of the configuration, the first one that is set.
const LEVEL_VARIABLES: [&str; 2] = ["EVERCERT_LOG", "RUST_LOG"];

/// The crates that carry messages with keys, and below [`LevelFilter::INFO`] may print them.
const CARRIERS: [&str; 8] = ["h2", "hyper", "hyper_util", "tower", "tonic", "prost", "rustls", "axum"];

/// The level of a variable is not understood.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is {source}")]
pub(crate) struct InvalidVariable {
    variable: &'static str,
    source: InvalidLevel,
}

/// Starts the log; what it gives tells of lines that get lost. In a process that has one already (a test, a demo), that one stays.
///
/// # Errors
///
/// The level of a variable is not understood.
pub(crate) fn start(log: &Log) -> Result<LostLines, InvalidVariable> {
    let set =
        |name: &&'static str| std::env::var(name).ok().filter(|level| !level.is_empty()).map(|level| (*name, level));
    let filter = match LEVEL_VARIABLES.iter().find_map(set) {
        Some((variable, level)) => level_filter(&level).map_err(|source| InvalidVariable { variable, source })?,
        // It was checked with the rest of the configuration.
        None => level_filter(log.level()).unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
    };
    let registry = capped(filter);
    let (format, lost) = (log.format, LostLines::default());
    let layer = tracing_subscriber::fmt::layer().with_ansi(false);
    let _ = if is_journal() {
        // The journal stamps every entry itself.
        let layer = layer.with_writer(Entries::to(Path::new(SOCKET), format, lost.clone())).without_time();
        match format {
            LogFormat::Text => registry.with(layer.map_event_format(|inner| Entry { format, inner })).try_init(),
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                registry.with(layer.map_event_format(|inner| Entry { format, inner })).try_init()
            }
        }
    } else {
        let layer = layer.with_writer(LineWriters::to_stderr(format)).with_timer(SystemTime);
        match format {
            LogFormat::Text => registry.with(layer).try_init(),
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        }
    };
    Ok(lost)
}

/// `filter`, capped: of [`CARRIERS`] never what might be a key, whatever anybody sets.
fn capped(filter: Targets) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync {
    let carriers = CARRIERS.map(|target| (target, LevelFilter::INFO));
    let cap = Targets::new().with_default(LevelFilter::TRACE).with_targets(carriers);
    tracing_subscriber::registry().with(filter).with(cap)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    macro_rules! say {
        ($($target:literal)*) => {
            $(
                tracing::trace!(target: $target, "trace of {}", $target);
                tracing::debug!(target: $target, "debug of {}", $target);
                tracing::info!(target: $target, "info of {}", $target);
                drop(tracing::trace_span!(target: $target, "span", of = $target).entered());
            )*
        };
    }

    /// The log written at `level` when everybody says something.
    fn written(level: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::ENTER)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(capped(level_filter(level).unwrap()).with(layer), || {
            say!("h2" "hyper" "hyper_util" "tower" "tonic" "prost" "rustls" "axum");
            say!("h2::codec::framed_write" "tonic::transport::server" "evercertd::serve");
        });
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_carries_messages_never_says_more_than_info_whatever_is_set() {
        for level in ["trace", "trace,h2=trace,hyper=trace", "info,h2::codec=trace,tonic=debug,evercertd=trace"] {
            let log = written(level);
            for below in ["trace of", "debug of", "span"] {
                let lines: Vec<_> = log.lines().filter(|line| line.contains(below)).collect();
                assert!(lines.iter().all(|line| line.contains("evercertd::serve")), "{level}: {lines:#?}");
                assert!(!lines.is_empty(), "{level}: {below} of evercertd itself is gone");
            }
            for carrier in CARRIERS {
                assert!(log.contains(&format!("info of {carrier}")), "{level}: {carrier} in {log}");
            }
        }
    }
}
