//! Documents that people write in TOML or YAML, and where in them an error is.
//!
//! Nothing that is written in one is ever quoted but keys, known ones and what is almost one: it may be a file with a key, or hold one
//! where none belongs. The place says enough.

mod all;
mod node;
#[cfg(feature = "yaml")]
mod yaml;

use std::fmt;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use all::{Reading, read_all};
use node::Node;

/// How like a known key an unknown one has to be to be taken for it, of 1.
const LIKENESS: f64 = 0.7;

/// The longest name of a setting that is shown where there is none of this name.
const KEY_LIMIT: usize = 32;

/// The longest word that is too short to tell anything of a key.
const SYLLABLE: usize = 5;

/// Reads the settings that are written in a text. `lists` are the keys of lists of tables in it.
///
/// # Errors
///
/// It is no TOML, or sets something else than there is.
pub fn read<T: DeserializeOwned>(text: &str, lists: &'static [&'static str]) -> Result<T, Spanned<Problem>> {
    // The parser's message is of fixed words: it quotes nothing.
    let table = DeTable::parse(text).map_err(|error| {
        let problem = Problem::Language { key: None, message: error.message().to_owned() };
        Spanned::new(error.span().unwrap_or_default(), problem)
    })?;
    of_value(Spanned::new(table.span(), DeValue::Table(table.into_inner())), lists)
}

/// The same, written in YAML: of it nothing is read that readers differ about.
///
/// # Errors
///
/// It is no YAML, or more of it than is read here, or sets something else than there is.
#[cfg(feature = "yaml")]
pub fn read_yaml<T: DeserializeOwned>(text: &str) -> Result<T, Spanned<Problem>> {
    // Nobody forgets brackets there.
    of_value(yaml::parse(text, yaml::Form::Ours)?, &[])
}

/// The same, of a form that is not ours and holds more than is asked for: a key without a value is left out, and a word that readers differ
/// about is a text.
///
/// # Errors
///
/// As [`read_yaml`].
#[cfg(feature = "yaml")]
pub fn read_foreign_yaml<T: DeserializeOwned>(text: &str) -> Result<T, Spanned<Problem>> {
    of_value(yaml::parse(text, yaml::Form::Foreign)?, &[])
}

fn of_value<T: DeserializeOwned>(
    value: Spanned<DeValue<'_>>,
    lists: &'static [&'static str],
) -> Result<T, Spanned<Problem>> {
    T::deserialize(Node { key: None, lists, value }).map_err(Spanned::from)
}

/// A line and column of a document, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl LineColumn {
    /// Where in a text this byte is, or the end of the text where it is not.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = before(text, offset);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// `text` up to `offset`, or to the character before it where that is in the middle of one.
fn before(text: &str, offset: usize) -> &str {
    (0..=offset.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An error in how a document is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A key that there is not.
    #[error("{}; {}", unknown(key.as_deref()), advice(nearest.as_deref(), known))]
    UnknownKey {
        /// The key, where it is fit to be shown.
        key: Option<String>,
        /// The known key it looks like.
        nearest: Option<String>,
        /// The keys known there.
        known: Vec<String>,
    },
    /// Anything that the language or the type of a setting does not allow.
    #[error("{}{message}", key.iter().map(|key| format!("`{key}`: ")).collect::<String>())]
    Language {
        /// The known key that is set to it.
        key: Option<&'static str>,
        /// What is expected.
        message: String,
    },
    /// A key that has to be there.
    #[error("`{0}` is missing; write it")]
    Missing(&'static str),
    /// A table where a list of tables is meant.
    #[error("`[{0}]` is one of a list; write [[{0}]]")]
    NotAList(&'static str),
}

impl Problem {
    /// The problem of a key that is not among the known ones.
    fn unknown_key(key: &str, known: &[&str]) -> Self {
        let nearest = nearest(&key.to_lowercase().replace('-', "_"), known.iter().copied()).map(ToOwned::to_owned);
        let is_shown = is_plausible(key, nearest.is_some());
        Self::UnknownKey {
            key: is_shown.then(|| key.to_owned()),
            nearest,
            known: known.iter().map(|known| (*known).to_owned()).collect(),
        }
    }
}

/// The known name that this one looks like.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = known.into_iter().map(|known| (strsim::jaro_winkler(known, name), known));
    let most = likeness.max_by(|a, b| a.0.total_cmp(&b.0));
    most.filter(|(likeness, _)| *likeness >= LIKENESS).map(|(_, known)| known)
}

/// Whether a key can be nothing but the name of a setting that somebody thought of: like a known one, or of short words.
fn is_plausible(key: &str, is_near: bool) -> bool {
    let is_word = |word: &str| word.len() <= SYLLABLE || is_near;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
        && key.len() <= KEY_LIMIT
        && key.split(['_', '-']).all(is_word)
}

fn unknown(key: Option<&str>) -> String {
    key.map_or_else(|| "an unknown key".to_owned(), |key| format!("unknown key `{key}`"))
}

fn advice(nearest: Option<&str>, known: &[String]) -> String {
    let known = known.join(", ");
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? Keys here are: {known}"),
        None => format!("keys here are: {known}"),
    }
}
