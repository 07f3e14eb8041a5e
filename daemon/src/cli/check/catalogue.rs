//! What is checked: the catalogue, as a list and a page for each.

use std::str::FromStr;

use evercert_core::document::nearest;
use evercert_core::finding::Check;
use serde::Serialize;

/// A check, as its name is written on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckName(pub(super) Check);

impl FromStr for CheckName {
    type Err = NoCheck;

    fn from_str(name: &str) -> Result<Self, NoCheck> {
        let known = || Check::ALL.iter().map(|check| check.as_str());
        Check::named(name).map(Self).ok_or_else(|| NoCheck(nearest(name, known())))
    }
}

/// A word that is no check's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no check has this name; {}", .0.map_or_else(|| "evercertd check --list names all".to_owned(), |near| format!("did you mean {near}?")))]
pub(super) struct NoCheck(Option<&'static str>);

/// A line for each check, by name.
pub(super) fn list() -> String {
    sorted().map(|check| format!("{:<24} {:<16} {}\n", check.as_str(), severities(check), check.meaning())).collect()
}

/// A check for programs.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    id: &'static str,
    subject: &'static str,
    severities: Vec<&'static str>,
    /// Whether a rejection by it cannot be softened.
    fatal: bool,
    clause: &'static str,
    meaning: &'static str,
    explanation: &'static str,
}

/// All checks for programs, by name.
pub(super) fn entries() -> Vec<Entry> {
    let entry = |check: Check| Entry {
        id: check.as_str(),
        subject: check.subject().as_str(),
        severities: check.severities().iter().map(|severity| severity.as_str()).collect(),
        fatal: check.is_fatal(),
        clause: check.clause(),
        meaning: check.meaning(),
        explanation: check.explanation(),
    };
    sorted().map(entry).collect()
}

/// The page about a check.
pub(super) fn page(check: Check) -> String {
    let softened = if check.is_fatal() { "; no handshake survives it, so nothing softens it" } else { "" };
    format!(
        "{check}: {}\n{}; {}{softened}\n\n{}\n",
        check.meaning(),
        check.clause(),
        severities(check),
        check.explanation().trim_end()
    )
}

fn sorted() -> impl Iterator<Item = Check> {
    let mut all = Check::ALL.to_vec();
    all.sort_by_key(|check| check.as_str());
    all.into_iter()
}

fn severities(check: Check) -> String {
    check.severities().iter().map(|severity| severity.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_has_a_page() {
        let list = list();
        assert_eq!(list.lines().count(), Check::ALL.len());
        for check in Check::ALL {
            assert!(list.lines().any(|line| line.starts_with(&format!("{check} "))), "{check}");
            assert!(page(*check).contains(check.clause()), "{check}");
        }
    }

    #[test]
    fn a_name_that_is_nearly_a_checks_is_answered_with_that() {
        assert_eq!("expird".parse::<CheckName>().unwrap_err(), NoCheck(Some("expired")));
        assert_eq!("%".parse::<CheckName>().unwrap_err(), NoCheck(None));
    }
}
