//! Where the log goes, and how it looks: stderr, as text or JSON.

use std::os::linux::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// The variables that override the level of the configuration, the first one that is set.
const LEVEL_VARIABLES: [&str; 2] = ["EVERCERT_LOG", "RUST_LOG"];

/// The level is not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{from} is {level:?}, no log level: {source}; write error, warn, info, debug, trace, or directives such as \"info,evercertd=debug\""
)]
pub(crate) struct InvalidLevel {
    from: &'static str,
    level: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts the log. In a process that has one already (a test, a demo), that one stays.
///
/// # Errors
///
/// The level is not understood.
pub(crate) fn start(log: &Log) -> Result<(), InvalidLevel> {
    let (from, level) = LEVEL_VARIABLES
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|level| !level.is_empty()).map(|level| (*name, level)))
        .unwrap_or_else(|| ("`level` of [log]", log.level.clone()));
    let filter = EnvFilter::try_new(&level).map_err(|source| InvalidLevel { from, level, source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // The journal stamps every line itself.
    let _ = match (log.format, is_journal()) {
        (LogFormat::Text, true) => registry.with(layer.without_time()).try_init(),
        (LogFormat::Text, false) => registry.with(layer.with_timer(SystemTime)).try_init(),
        (LogFormat::Json, true) => registry.with(layer.json().flatten_event(true).without_time()).try_init(),
        (LogFormat::Json, false) => registry.with(layer.json().flatten_event(true).with_timer(SystemTime)).try_init(),
    };
    Ok(())
}

/// Whether stderr is the journal's stream. `JOURNAL_STREAM` alone says too little: a child with its stderr elsewhere
/// inherits it.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.st_dev(), stderr.st_ino())
}
