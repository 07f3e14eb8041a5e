//! What a command prints, and what becomes of that.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use super::{Status, report};

/// The answer did not reach whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}; what was printed is not whole")]
struct NotPrinted(#[source] io::Error);

/// Prints `text` and ends with `status`, or, where it cannot be printed, with the failure of that.
pub(super) fn printed(text: &[u8], status: impl Into<ExitCode>) -> ExitCode {
    let mut stdout = io::stdout();
    ended(stdout.write_all(text).and_then(|()| stdout.flush()), status)
}

/// The end of a command whose output was `written`, and which else would end with `status`.
pub(super) fn ended(written: io::Result<()>, status: impl Into<ExitCode>) -> ExitCode {
    match written {
        // A reader that has seen enough closes the pipe early, which is no error. A full disk is one.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => report(&NotPrinted(error), Status::Failed),
        _ => status.into(),
    }
}
