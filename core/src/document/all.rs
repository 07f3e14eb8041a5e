//! Every error in how a document is written: serde stops at the first, so it reads again what is left without that.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{Problem, of_value};

/// The most errors of one document that are told.
const PROBLEMS_LIMIT: usize = 100;

/// A document as far as it could be read.
#[derive(Debug)]
pub struct Reading<T> {
    /// What is read of it without the sections and elements of lists in which an error is; absent where even that makes none.
    pub value: Option<T>,
    /// The errors, of which there are at most a hundred, in no order.
    pub problems: Vec<Spanned<Problem>>,
}

/// Reads the settings that are written in a text, and finds all errors in it. `lists` are the keys of lists of tables in it.
#[must_use]
pub fn read_all<T: DeserializeOwned>(text: &str, lists: &'static [&'static str]) -> Reading<T> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let (span, table) = (table.span(), table.into_inner());
    if !errors.is_empty() {
        // The parser's message is of fixed words: it quotes nothing. What it makes of the rest may be anything.
        let problems = errors.iter().take(PROBLEMS_LIMIT).map(|error| {
            let problem = Problem::Language { key: None, message: error.message().to_owned() };
            Spanned::new(error.span().unwrap_or_default(), problem)
        });
        return Reading { value: None, problems: problems.collect() };
    }
    let mut problems: Vec<Spanned<Problem>> = Vec::new();
    // Those tables besides that lack what was taken out of them.
    let mut consequences: Vec<Spanned<Problem>> = Vec::new();
    let read = |table| of_value(Spanned::new(span.clone(), DeValue::Table(table)), lists);
    while problems.len() < PROBLEMS_LIMIT {
        match read(without(without(table.clone(), &problems), &consequences)) {
            Ok(value) if problems.is_empty() => return Reading { value: Some(value), problems },
            Ok(_) => break,
            // A problem of the whole cannot be taken out of it.
            Err(problem) if is_at(&problems, &problem.span()) || is_at(&consequences, &problem.span()) => break,
            Err(problem) => match problem.get_ref() {
                Problem::Missing(key) if has(&table, &problem.span(), key) => consequences.push(problem),
                _ => problems.push(problem),
            },
        }
    }
    Reading { value: read(sound(table, &problems)).ok(), problems }
}

fn is_at(problems: &[Spanned<Problem>], span: &Range<usize>) -> bool {
    problems.iter().any(|problem| problem.span() == *span)
}

/// Whether the table at `span`, within this one, has a key.
fn has(table: &DeTable<'_>, span: &Range<usize>, key: &str) -> bool {
    table.values().any(|value| value_has(value, span, key))
}

fn value_has(value: &Spanned<DeValue<'_>>, span: &Range<usize>, key: &str) -> bool {
    match value.get_ref() {
        DeValue::Table(table) if value.span() == *span => table.keys().any(|name| name.get_ref() == key),
        DeValue::Table(table) => has(table, span, key),
        DeValue::Array(list) => list.iter().any(|value| value_has(value, span, key)),
        _ => false,
    }
}

/// The table without the settings that have a problem.
fn without<'a>(table: DeTable<'a>, problems: &[Spanned<Problem>]) -> DeTable<'a> {
    let is_fine = |span: Range<usize>| !is_at(problems, &span);
    table
        .into_iter()
        .filter(|(key, value)| is_fine(key.span()) && is_fine(value.span()))
        .map(|(key, value)| (key, value_without(value, problems)))
        .collect()
}

fn value_without<'a>(value: Spanned<DeValue<'a>>, problems: &[Spanned<Problem>]) -> Spanned<DeValue<'a>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(without(table, problems)),
        DeValue::Array(list) => {
            let mut rest = DeArray::new();
            let fine = list.into_iter().filter(|value| !is_at(problems, &value.span()));
            fine.for_each(|value| rest.push(value_without(value, problems)));
            DeValue::Array(rest)
        }
        other => other,
    };
    Spanned::new(span, value)
}

/// The table without the sections, and the elements of lists, that hold a problem: what is said of the rest is no consequence of one.
fn sound<'a>(table: DeTable<'a>, problems: &[Spanned<Problem>]) -> DeTable<'a> {
    table
        .into_iter()
        .filter(|(key, _)| !is_at(problems, &key.span()))
        .filter_map(|(key, value)| {
            let span = value.span();
            match value.into_inner() {
                DeValue::Array(list) if !is_at(problems, &span) => {
                    let mut rest = DeArray::new();
                    list.into_iter().filter(|value| !holds(value, problems)).for_each(|value| rest.push(value));
                    Some((key, Spanned::new(span, DeValue::Array(rest))))
                }
                value => {
                    let value = Spanned::new(span, value);
                    (!holds(&value, problems)).then_some((key, value))
                }
            }
        })
        .collect()
}

/// Whether a problem is in a value.
fn holds(value: &Spanned<DeValue<'_>>, problems: &[Spanned<Problem>]) -> bool {
    let is_within = match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().any(|(key, value)| is_at(problems, &key.span()) || holds(value, problems))
        }
        DeValue::Array(list) => list.iter().any(|value| holds(value, problems)),
        _ => false,
    };
    is_within || is_at(problems, &value.span())
}
