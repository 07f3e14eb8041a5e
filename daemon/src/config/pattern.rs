//! Which directories are identities: a path whose last component may hold wildcards.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use evercert_core::text;

use super::glob::Glob;

/// The default pattern of watched directories. They need not be there.
pub(super) const DEFAULT_DIRECTORIES: &str = "/etc/evercert/certs/*";

/// An absolute path, the last component of which may hold `*` (any characters) and `?` (one character). A wildcard
/// does not match a leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parent: PathBuf,
    last: Glob,
}

/// A text that is no such pattern. Carries nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// It does not start at the root.
    #[error("`directories` holds a relative path; write an absolute one, such as \"/etc/evercert/certs/*\"")]
    Relative,
    /// It ends in the root, `.` or `..`.
    #[error("`directories` holds a path that names no directory; write one such as \"/etc/evercert/certs/*\"")]
    NoName,
    /// A wildcard stands elsewhere than in the last component.
    #[error(
        "`directories` holds a path with a wildcard before its last part; write one entry for each parent, such as \
         \"/etc/evercert/certs/*\""
    )]
    WildcardInParent,
    /// Something stands in it that is a wildcard elsewhere.
    #[error(
        "`directories` holds a path with `[`, `{{` or `**`, which are no wildcards here: `*` stands for any characters of one name, `?` for one; \
         write an entry for each"
    )]
    ForeignWildcard,
    /// It is a path alone, and has none.
    #[error(
        "`directories` holds a path without a wildcard; write it with \"/*\" behind it for the directories in it, or as a table, such as \
         {{ path = \"/etc/evercert/certs/payments\" }}, for itself alone"
    )]
    NoWildcard,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// It is relative, names nothing, or has a wildcard before its last component.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(PatternError::Relative);
        }
        let (Some(parent), Some(Component::Normal(last))) = (path.parent(), path.components().next_back()) else {
            return Err(PatternError::NoName);
        };
        if text.contains(['[', '{']) || text.contains("**") {
            return Err(PatternError::ForeignWildcard);
        }
        if Glob::new(parent.to_string_lossy()).is_wild() {
            return Err(PatternError::WildcardInParent);
        }
        Ok(Self { parent: parent.to_owned(), last: Glob::new(last.to_string_lossy()) })
    }

    /// Whether it is what is watched by default.
    pub(crate) fn is_default(&self) -> bool {
        self.parent.join(self.last.as_str()) == Path::new(DEFAULT_DIRECTORIES)
    }

    /// The directory in which matches are looked for.
    pub(crate) fn parent(&self) -> &Path {
        &self.parent
    }

    /// The one directory it names, where it has no wildcard.
    pub(crate) fn literal(&self) -> Option<PathBuf> {
        (!self.last.is_wild()).then(|| self.parent.join(self.last.as_str()))
    }

    /// Whether `directory` is meant, there or not.
    pub(crate) fn means(&self, directory: &Path) -> bool {
        directory.parent() == Some(&self.parent) && directory.file_name().is_some_and(|name| self.matches(name))
    }

    /// Whether an entry of [`Pattern::parent`] is meant.
    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        let is_hidden = name.first() == Some(&b'.') && !self.last.as_str().starts_with('.');
        !is_hidden && self.last.matches(name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::path(&self.parent.join(self.last.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_matches_as_in_a_shell() {
        for (pattern, yes, no) in [
            ("/x/*", &["a", "a.b"][..], &[".a", "..data"][..]),
            ("/x/*-tls", &["a-tls", "-tls", "a-tls-tls"], &["tls", "a-tlsx"]),
            ("/x/a?c*", &["abc", "abcd"], &["ac", "bbc"]),
            ("/x/.*", &[".a"], &["a"]),
            ("/x/plain", &["plain"], &["plain2", "plai"]),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            yes.iter().for_each(|name| assert!(pattern.matches(OsStr::new(name)), "{pattern:?} {name}"));
            no.iter().for_each(|name| assert!(!pattern.matches(OsStr::new(name)), "{pattern:?} {name}"));
        }
    }
}
