//! What methods are called where they are counted.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::exemption::HEALTH;
use super::method::Method;
use crate::telemetry::OTHER_METHOD;

/// The most methods that are learnt of by calls to them.
const MOST_METHODS: usize = 1024;

/// The methods that are counted by name: callers could make up any number of others. They are those that were named at start, and those
/// that a call has reached a handler of.
#[derive(Debug, Clone)]
pub(super) struct MethodNames(Arc<ArcSwap<HashSet<Arc<str>>>>);

impl MethodNames {
    pub(super) fn new<'a>(named: impl IntoIterator<Item = &'a str>) -> Self {
        let all = named.into_iter().chain(HEALTH).map(Arc::from).collect();
        Self(Arc::new(ArcSwap::from_pointee(all)))
    }

    /// Shows the name of the method at this path.
    pub(super) fn with<R>(&self, path: &str, show: impl FnOnce(&str) -> R) -> R {
        match self.0.load().get(path) {
            Some(name) => show(name),
            None => show(OTHER_METHOD),
        }
    }

    /// A handler has answered a call to this path.
    pub(super) fn learn(&self, path: &str) {
        let all = self.0.load();
        if all.contains(path) || all.len() >= MOST_METHODS || Method::of_path(path).is_none() {
            return;
        }
        self.0.rcu(|all| {
            let mut all = HashSet::clone(all);
            if all.len() < MOST_METHODS {
                all.insert(Arc::from(path));
            }
            all
        });
    }
}

impl Default for MethodNames {
    fn default() -> Self {
        Self::new([])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(names: &MethodNames, path: &str) -> String {
        names.with(path, str::to_owned)
    }

    #[test]
    fn a_method_has_its_name_once_it_was_named_or_reached_and_all_others_are_one() {
        let names = MethodNames::new(["/a.B/C"]);
        assert_eq!(name(&names, "/a.B/C"), "/a.B/C");
        assert_eq!(name(&names, "/a.B/D"), OTHER_METHOD);
        names.learn("/a.B/D");
        assert_eq!(name(&names, "/a.B/D"), "/a.B/D");
        names.learn("/a.B//D");
        assert_eq!(name(&names, "/a.B//D"), OTHER_METHOD);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let names = MethodNames::default();
        for method in 0..2 * MOST_METHODS {
            names.learn(&format!("/a.B/M{method}"));
        }
        assert_eq!(names.0.load().len(), MOST_METHODS);
    }
}
