//! The runtime of a command that waits for something.

use std::io;

/// Nothing can be waited for.
#[derive(Debug, thiserror::Error)]
#[error("this process can have no runtime: {0}")]
pub(super) struct NoRuntime(#[source] io::Error);

/// Runs a command's future on a runtime of its own.
pub(super) fn block_on<T, E: From<NoRuntime>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NoRuntime)?.block_on(future)
}
