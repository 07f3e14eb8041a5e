//! The prefixes of a text among many.

/// A set of prefixes, each with a value, in which those of a text are found without a look at the others.
pub(super) struct Prefixes<T> {
    /// In their order, no two of them equal.
    all: Box<[Prefix<T>]>,
}

struct Prefix<T> {
    text: Box<str>,
    /// The longest other one that is a prefix of this one: all of its prefixes are found along this way.
    shorter: Option<usize>,
    value: T,
}

impl<T> Prefixes<T> {
    /// Of prefixes with their values, of which no two are equal.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (Box<str>, T)>) -> Self {
        let mut prefixes = prefixes.into_iter().collect::<Vec<_>>();
        prefixes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut all = Vec::<Prefix<T>>::with_capacity(prefixes.len());
        for (text, value) in prefixes {
            let before = all.len().checked_sub(1);
            let mut way = std::iter::successors(before, |nth| all[*nth].shorter);
            let shorter = way.find(|nth| text.starts_with(&*all[*nth].text));
            all.push(Prefix { text, shorter, value });
        }
        Self { all: all.into() }
    }

    /// The values of those that the text begins with, the longest first.
    pub(super) fn of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a T> {
        // Whatever lies between a prefix of the text and the text begins with that prefix too: all of them are on the way of the last
        // one that is not behind the text.
        let behind = self.all.partition_point(|prefix| *prefix.text <= *text);
        std::iter::successors(behind.checked_sub(1), |nth| self.all[*nth].shorter)
            .map(|nth| &self.all[nth])
            .filter(move |prefix| text.starts_with(&*prefix.text))
            .map(|prefix| &prefix.value)
    }
}
