//! What a command prints, and what becomes of that.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use super::{Status, report};

/// The answer did not reach whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}; what was printed is not whole")]
pub(super) struct NotPrinted(#[source] io::Error);

/// Prints `text`.
///
/// # Errors
///
/// It cannot be written whole. A reader that has seen enough closes the pipe early, which is no error. A full disk is one.
pub(super) fn print(text: &[u8]) -> Result<(), NotPrinted> {
    let mut stdout = io::stdout();
    whole(stdout.write_all(text).and_then(|()| stdout.flush()))
}

/// Prints `text` and ends with `status`, or, where it cannot be printed, with the failure of that.
pub(super) fn printed(text: &[u8], status: impl Into<ExitCode>) -> ExitCode {
    print(text).map_or_else(|error| report(&error, Status::Failed), |()| status.into())
}

/// The end of a command whose output was `written`, and which else would end with `status`.
pub(super) fn ended(written: io::Result<()>, status: impl Into<ExitCode>) -> ExitCode {
    whole(written).map_or_else(|error| report(&error, Status::Failed), |()| status.into())
}

fn whole(written: io::Result<()>) -> Result<(), NotPrinted> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(NotPrinted(error)),
        _ => Ok(()),
    }
}
