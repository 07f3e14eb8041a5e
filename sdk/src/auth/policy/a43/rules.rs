//! A list of rules, and which of them is the first to fit.

use std::collections::{BTreeMap, HashMap};

use super::call::{Call, Caller};
use super::headers::Demand;
use super::pattern::Pattern;
use super::prefixes::Prefixes;

/// The place of a rule in its list.
type Place = usize;

/// The rules of one list. A call meets only those whose paths it may have: a thousand rules for other paths cost it nothing.
pub(super) struct Rules {
    all: Box<[Rule]>,
    /// By a path that is written out.
    exact: HashMap<Box<str>, Vec<Place>>,
    /// By the beginning of a path.
    prefixes: Prefixes<Vec<Place>>,
    /// By what can only be tried, in the order of the rules.
    tried: Box<[(Place, Tried)]>,
}

/// A rule.
pub(super) struct Rule {
    /// The policy's name, an underscore and its own, by which audit events name it (A59).
    pub(super) name: Box<str>,
    /// One of them has to fit the caller; there are none for callers of all kinds.
    pub(super) principals: Box<[Pattern]>,
    /// Each has to be met.
    pub(super) headers: Box<[Demand]>,
    /// Its paths, of which it may have none; it is found by them elsewhere.
    pub(super) paths: Box<[Pattern]>,
}

/// What has to be compared with each path.
enum Tried {
    /// It is for all paths.
    Always,
    Pattern(Pattern),
}

impl Rules {
    /// Of rules in their order.
    pub(super) fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let (mut all, mut tried) = (Vec::new(), Vec::new());
        let mut exact = HashMap::<_, Vec<Place>>::new();
        let mut prefixes = BTreeMap::<_, Vec<Place>>::new();
        for (place, rule) in rules.into_iter().enumerate() {
            if rule.paths.is_empty() {
                tried.push((place, Tried::Always));
            }
            for path in &rule.paths {
                match path.clone() {
                    Pattern::Exact(path) => exact.entry(path).or_default().push(place),
                    Pattern::Prefix(path) => prefixes.entry(path).or_default().push(place),
                    path => tried.push((place, Tried::Pattern(path))),
                }
            }
            all.push(rule);
        }
        Self { all: all.into(), exact, prefixes: Prefixes::new(prefixes), tried: tried.into() }
    }

    /// The rules in their order.
    pub(super) fn all(&self) -> &[Rule] {
        &self.all
    }

    /// How many rules a call of this path is compared with at most.
    #[cfg(test)]
    pub(super) fn met_by(&self, path: &str) -> usize {
        let by_path = self.exact.get(path).into_iter().chain(self.prefixes.of(path));
        by_path.map(Vec::len).sum::<usize>() + self.tried.len()
    }

    /// The first rule that fits the call.
    pub(super) fn first(&self, call: &Call<'_>) -> Option<&Rule> {
        let mut first = self.all.len();
        let exact = self.exact.get(call.path);
        for places in exact.into_iter().chain(self.prefixes.of(call.path)) {
            // One that is not before what was found is of no interest, nor is any that follows it.
            let before = places.iter().take_while(|place| **place < first);
            first = before.copied().find(|place| self.all[*place].fits(call)).unwrap_or(first);
        }
        for (place, tried) in self.tried.iter().take_while(|(place, _)| *place < first) {
            let is_for_path = match tried {
                Tried::Always => true,
                Tried::Pattern(pattern) => pattern.fits(call.path.as_bytes()),
            };
            if is_for_path && self.all[*place].fits(call) {
                first = *place;
                break;
            }
        }
        self.all.get(first)
    }
}

impl Rule {
    /// Whether it fits a call whose path fits.
    fn fits(&self, call: &Call<'_>) -> bool {
        (self.principals.is_empty() || self.principals.iter().any(|pattern| call.caller.is_fitted_by(pattern)))
            && self.headers.iter().all(|demand| demand.is_met(call.headers))
    }
}

impl Rule {
    /// Whether its principals fit callers that have no certificate.
    pub(super) fn fits_anonymous(&self) -> bool {
        self.principals.is_empty() || self.principals.iter().any(|pattern| Caller::Anonymous.is_fitted_by(pattern))
    }
}

impl Caller<'_> {
    /// Whether a pattern of a rule's principals fits it.
    fn is_fitted_by(&self, pattern: &Pattern) -> bool {
        match self {
            Self::Plaintext => false,
            Self::Anonymous => pattern.fits(b""),
            Self::Named(names) => names.iter().any(|name| pattern.fits(name.as_bytes())),
        }
    }
}
