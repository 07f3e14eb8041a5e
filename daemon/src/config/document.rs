//! The text of a configuration: what is read from it, and where in it an error is.

use std::path::Path;

use evercert_core::document::{self, LineColumn};
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::error::{ConfigError, Problem};

/// Keys of lists of tables.
const LISTS: &[&str] = &["identity", "pods"];

/// How a PEM file begins.
const PEM: &str = "-----";

/// A configuration's text and where it is from, to place errors in.
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// Reads the settings that are written in the text.
    ///
    /// # Errors
    ///
    /// It is no TOML, or sets something else than there is.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        document::read(self.text, LISTS).map_err(|problem| {
            let is_pem = self.text.trim_start().starts_with(PEM);
            let named = |problem| if is_pem { Problem::NoConfiguration } else { Problem::Document(problem) };
            self.problem(Spanned::new(problem.span(), named(problem.into_inner())))
        })
    }

    /// The error of a setting that makes no sense.
    pub(super) fn problem(&self, problem: Spanned<Problem>) -> ConfigError {
        let place = self.place(problem.span().start);
        let problem = match problem.into_inner() {
            Problem::NameTwice { first } => Problem::NameTwice { first: self.place(first).line },
            other => other,
        };
        ConfigError::Invalid { file: self.path.to_owned(), place, problem: Box::new(problem) }
    }

    fn place(&self, offset: usize) -> LineColumn {
        LineColumn::of(self.text, offset)
    }
}
