//! The text of a configuration: what is read from it, and where in it an error is.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, LineColumn, Problem};
use super::node::Node;

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
        let table = DeTable::parse(self.text).map_err(|error| self.syntax(&error))?;
        let root = Node { key: None, value: Spanned::new(table.span(), DeValue::Table(table.into_inner())) };
        T::deserialize(root).map_err(|mistake| self.problem(mistake.into()))
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

    /// The error of a text that is no TOML. The parser's message is of fixed words: it quotes nothing.
    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let problem = if self.text.trim_start().starts_with(PEM) {
            Problem::NoConfiguration
        } else {
            Problem::Toml { key: None, message: error.message().to_owned() }
        };
        self.problem(Spanned::new(error.span().unwrap_or_default(), problem))
    }

    fn place(&self, offset: usize) -> LineColumn {
        let before = before(self.text, offset);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        LineColumn { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// `text` up to `offset`, or to the character before it where that is in the middle of one.
fn before(text: &str, offset: usize) -> &str {
    (0..=offset.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}
