//! Values with the place where they are written: for the errors about them.

use std::path::{Component, Path, PathBuf};

use toml::Spanned;

use super::error::Problem;

/// `problem` where `value` is written.
pub(super) fn at<T>(value: &Spanned<T>, problem: Problem) -> Spanned<Problem> {
    Spanned::new(value.span(), problem)
}

/// A default, which stands nowhere in the file.
pub(super) fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// A path that does not depend on where the daemon was started.
pub(super) fn absolute(path: &Spanned<PathBuf>, key: &'static str) -> Result<PathBuf, Spanned<Problem>> {
    if path.get_ref().is_absolute() { Ok(path.get_ref().clone()) } else { Err(at(path, Problem::RelativePath { key })) }
}

/// The name of one file, where `path` says in which directory.
pub(super) fn beside<'a>(
    value: &'a Spanned<PathBuf>,
    key: &'static str,
    example: &'static str,
) -> Result<&'a Path, Spanned<Problem>> {
    let path = value.get_ref();
    if path.is_absolute() {
        return Err(at(value, Problem::PathAndAbsolute { key }));
    }
    let mut components = path.components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(_)), None) => Ok(path),
        _ => Err(at(value, Problem::NotAFileName { key, example })),
    }
}
