//! `[log]`: what is logged, and how it looks.

use serde::Deserialize;
use toml::Spanned;
use tracing_subscriber::filter::{ParseError, Targets};

use super::error::Problem;
use super::spanned::{at, unwritten};

/// Words the filter takes for levels; any other word alone is to it the name of a module.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    level: Spanned<String>,
    /// How it looks.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: unwritten("info".to_owned()), format: LogFormat::Text }
    }
}

impl Log {
    /// The level, as directives: `tracing-subscriber`'s [`Targets`] says how they are written.
    pub(crate) fn level(&self) -> &str {
        self.level.get_ref()
    }

    pub(super) fn check(&self) -> Result<Self, Spanned<Problem>> {
        match level_filter(self.level()) {
            Ok(_) => Ok(self.clone()),
            Err(_) => Err(at(&self.level, Problem::Level)),
        }
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The level is not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{level:?}, no log level{}; write error, warn, info, debug, trace, or directives such as \"info,evercertd=debug\"",
    source.iter().map(|error| format!(": {error}")).collect::<String>()
)]
pub(crate) struct InvalidLevel {
    level: String,
    source: Option<ParseError>,
}

/// The filter of `level`: a level, or directives.
///
/// # Errors
///
/// It is neither.
pub(crate) fn level_filter(level: &str) -> Result<Targets, InvalidLevel> {
    let invalid = |source| InvalidLevel { level: level.to_owned(), source };
    // A misspelt level would turn the log off without a word.
    let is_word = level.chars().all(|c| c.is_ascii_alphabetic());
    if is_word && !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
        return Err(invalid(None));
    }
    level.parse().map_err(|source| invalid(Some(source)))
}
