//! Lists of texts, as they are written.

use toml::Spanned;

/// Texts, where there are any.
pub(super) type List = Option<Spanned<Vec<Spanned<String>>>>;

/// What is written in Rust, and so nowhere in a file.
pub(super) fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// Texts that are written in Rust.
pub(super) fn list<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> List {
    Some(unwritten(texts.into_iter().map(|text| unwritten(text.into())).collect()))
}
