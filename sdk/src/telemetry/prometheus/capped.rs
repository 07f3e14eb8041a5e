//! Values of a label, of which there are only so many.

use std::collections::HashSet;

use parking_lot::RwLock;

/// The longest value that is told apart from others, in bytes: each is kept for good.
const LONGEST: usize = 256;

/// The values seen first; all others are one.
pub(super) struct Capped {
    limit: usize,
    other: &'static str,
    seen: RwLock<HashSet<Box<str>>>,
}

impl Capped {
    pub(super) fn at(limit: usize, other: &'static str) -> Self {
        Self { limit, other, seen: RwLock::default() }
    }

    /// Shows what the value is counted as.
    pub(super) fn with(&self, value: &str, count: impl FnOnce(&str)) {
        count(if self.admits(value) { value } else { self.other });
    }

    fn admits(&self, value: &str) -> bool {
        if self.seen.read().contains(value) {
            return true;
        }
        if value.len() > LONGEST {
            return false;
        }
        let mut seen = self.seen.write();
        seen.contains(value) || (seen.len() < self.limit && seen.insert(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(capped: &Capped, value: &str) -> String {
        let mut shown = String::new();
        capped.with(value, |value| value.clone_into(&mut shown));
        shown
    }

    #[test]
    fn the_first_values_keep_their_names_and_all_others_are_one() {
        let capped = Capped::at(2, "other");
        let long = "x".repeat(LONGEST + 1);
        for (value, expected) in
            [("a", "a"), (long.as_str(), "other"), ("b", "b"), ("c", "other"), ("a", "a"), ("b", "b"), ("d", "other")]
        {
            assert_eq!(shown(&capped, value), expected);
        }
        assert_eq!(capped.seen.read().len(), 2);
    }
}
