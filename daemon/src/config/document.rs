//! The text of a configuration: what is read from it, and where in it an error is.

use std::path::Path;

use evercert_core::document::{self, LineColumn, Reading};
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::error::{ConfigError, Placed, Problem};
use super::problems::Problems;

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
    /// Reads the settings that are written in the text, as far as they can be: without those in whose section or element of a list there
    /// is an error, which is noted.
    pub(super) fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        let Reading { value, problems: found } = document::read_all(self.text, LISTS);
        let is_pem = self.text.trim_start().starts_with(PEM);
        if is_pem && let Some(first) = found.first() {
            problems.add(Spanned::new(first.span(), Problem::NoConfiguration));
            return None;
        }
        for problem in found {
            problems.add(Spanned::new(problem.span(), Problem::Document(problem.into_inner())));
        }
        value
    }

    /// The error of a configuration with these problems.
    pub(super) fn error(&self, problems: Problems) -> ConfigError {
        let problems = problems.in_order().into_iter().map(|problem| Placed {
            place: self.place(problem.span().start),
            problem: match problem.into_inner() {
                Problem::NameTwice { first } => Problem::NameTwice { first: self.place(first).line },
                other => other,
            },
        });
        ConfigError::Invalid { file: self.path.to_owned(), problems: problems.collect() }
    }

    fn place(&self, offset: usize) -> LineColumn {
        LineColumn::of(self.text, offset)
    }
}
