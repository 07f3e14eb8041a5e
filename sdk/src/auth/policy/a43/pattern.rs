//! What a text is compared with.

use std::fmt;

use crate::auth::exemption::Exempt;

/// A pattern of A43's: `*`, a prefix, a suffix or the whole text. It has no escapes, and no star but the first or the last character
/// is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::auth::policy) enum Pattern {
    /// `*`: any text that is not empty and of one line, as the expression `.+` has it.
    Anything,
    /// `a*`.
    Prefix(Box<str>),
    /// `*a`.
    Suffix(Box<str>),
    /// Everything else, the empty pattern too.
    Exact(Box<str>),
}

impl Pattern {
    /// Reads a pattern. Where both the first and the last character are stars, the last counts.
    pub(super) fn of(text: &str) -> Self {
        if text == "*" {
            Self::Anything
        } else if let Some(prefix) = text.strip_suffix('*') {
            Self::Prefix(prefix.into())
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Suffix(suffix.into())
        } else {
            Self::Exact(text.into())
        }
    }

    /// Whether it fits all of the text, byte by byte.
    pub(in crate::auth::policy) fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Anything => !text.is_empty() && !text.contains(&b'\n'),
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Self::Exact(exact) => text == exact.as_bytes(),
        }
    }

    /// Whether it may stand for a path of this service, and not for all paths there are.
    pub(in crate::auth::policy) fn may_fit(&self, service: &Exempt) -> bool {
        let has = |fits: &dyn Fn(&str) -> bool| service.paths.iter().any(|path| fits(path));
        match self {
            Self::Anything => false,
            Self::Prefix(prefix) if matches!(&**prefix, "" | "/") => false,
            Self::Prefix(prefix) => has(&|path| path.starts_with(&**prefix)),
            Self::Suffix(suffix) => has(&|path| path.ends_with(&**suffix)),
            Self::Exact(exact) => has(&|path| path == &**exact),
        }
    }
}

/// As it is written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}
