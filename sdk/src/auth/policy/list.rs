//! Lists of texts, as they are written.

use toml::Spanned;

/// Texts, where there are any.
pub(super) type List = Option<Spanned<Vec<Spanned<String>>>>;

/// What is written in Rust, and so nowhere in a file.
pub(super) fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// Adds texts that are written in Rust.
pub(super) fn add<T: Into<String>>(list: &mut List, texts: impl IntoIterator<Item = T>) {
    let texts = texts.into_iter().map(|text| unwritten(text.into()));
    list.get_or_insert_with(|| unwritten(Vec::new())).get_mut().extend(texts);
}
