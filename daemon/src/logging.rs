//! Where the log goes, and how it looks: stderr, as text or JSON.

use std::os::linux::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// The variables that override the level of the configuration, the first one that is set.
const LEVEL_VARIABLES: [&str; 2] = ["EVERCERT_LOG", "RUST_LOG"];

/// What the filter takes for a level; any other word alone is to it the name of a module.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The level of a variable is not understood.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is {source}")]
pub(crate) struct InvalidVariable {
    variable: &'static str,
    source: InvalidLevel,
}

/// The level is not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{level:?}, no log level{}; write error, warn, info, debug, trace, or directives such as \"info,evercertd=debug\"",
    source.iter().map(|error| format!(": {error}")).collect::<String>()
)]
pub(crate) struct InvalidLevel {
    level: String,
    source: Option<tracing_subscriber::filter::ParseError>,
}

/// What `level` lets through: a level, or directives.
///
/// # Errors
///
/// It is neither.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, InvalidLevel> {
    let invalid = |source| InvalidLevel { level: level.to_owned(), source };
    // A misspelt level would turn the log off without a word.
    let is_word = level.chars().all(|c| c.is_ascii_alphabetic());
    if is_word && !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
        return Err(invalid(None));
    }
    EnvFilter::try_new(level).map_err(|source| invalid(Some(source)))
}

/// Starts the log. In a process that has one already (a test, a demo), that one stays.
///
/// # Errors
///
/// The level of a variable is not understood.
pub(crate) fn start(log: &Log) -> Result<(), InvalidVariable> {
    let set =
        |name: &&'static str| std::env::var(name).ok().filter(|level| !level.is_empty()).map(|level| (*name, level));
    let filter = match LEVEL_VARIABLES.iter().find_map(set) {
        Some((variable, level)) => filter(&level).map_err(|source| InvalidVariable { variable, source })?,
        // It was checked with the rest of the configuration.
        None => filter(log.level()).unwrap_or_default(),
    };
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
