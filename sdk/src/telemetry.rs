//! What the SDK counts, for whoever wants it counted: one small trait.

use std::time::Duration;

use tonic::Code;

/// Takes note of what happens, from wherever it does: calls and handshakes wait for it, so it must neither block nor wait.
///
/// It is one method, so that a recorder which passes on to another one cannot forget a kind of event.
pub trait Recorder: Send + Sync + 'static {
    /// Something happened.
    fn record(&self, event: &Event<'_>);
}

/// Something worth counting. What it says of methods is bounded by what a server serves: all others are one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A call ended, its stream included.
    #[non_exhaustive]
    Call {
        /// `/package.Service/Method`, or [`OTHER_METHOD`].
        method: &'a str,
        /// Its status.
        code: Code,
        /// The time from its headers to its end.
        duration: Duration,
    },
    /// A call was turned away before its handler.
    #[non_exhaustive]
    Denied {
        /// `/package.Service/Method`, or [`OTHER_METHOD`].
        method: &'a str,
        /// The status it got.
        code: Code,
    },
    /// A file that is followed was read again.
    #[non_exhaustive]
    Reloaded {
        /// What it holds.
        file: FileKind,
        /// Whether it is used; otherwise what was read before stays.
        is_used: bool,
    },
}

/// What a method is called that a server does not have: callers could make up as many as they like.
pub const OTHER_METHOD: &str = "other";

/// What a file that is followed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// Keys that tokens are verified with.
    Keys,
    /// A policy, with the documents that it names.
    Policy,
    /// A client's token.
    Token,
}

impl FileKind {
    /// Its label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Policy => "policy",
            Self::Token => "token",
        }
    }
}
