//! All that is wrong with a configuration: what is read goes on after an error, so that one look finds every one.

use toml::Spanned;

use super::error::Problem;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Spanned<Problem>>);

impl Problems {
    /// Notes an error.
    pub(super) fn add(&mut self, problem: Spanned<Problem>) {
        // Two settings that contradict each other may be found by either.
        if !self.0.iter().any(|other| other.span() == problem.span() && other.get_ref() == problem.get_ref()) {
            self.0.push(problem);
        }
    }

    /// The value of what was read, or nothing and the error noted.
    pub(super) fn note<T>(&mut self, read: Result<T, Spanned<Problem>>) -> Option<T> {
        read.map_err(|problem| self.add(problem)).ok()
    }

    /// What was read of each, without those whose error was noted.
    pub(super) fn note_each<T>(&mut self, read: impl IntoIterator<Item = Result<T, Spanned<Problem>>>) -> Vec<T> {
        read.into_iter().filter_map(|read| self.note(read)).collect()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the file.
    pub(super) fn in_order(mut self) -> Vec<Spanned<Problem>> {
        self.0.sort_by_key(|problem| problem.span().start);
        self.0
    }
}
