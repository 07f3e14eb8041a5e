//! The state of a daemon that ended, as the next one finds it.

use std::path::Path;

use evercert_core::state_file::StateError;

use crate::inventory::pods;
use crate::web::metrics;

/// What a state directory is believed to say, besides what identities still trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    /// Pods that have a name, or of which it was in doubt.
    pub pods: usize,
    /// Identities of which it is known when they were rotated.
    pub rotations: usize,
}

/// Reads what a daemon with this state directory remembers when it starts.
///
/// # Errors
///
/// A file cannot be read. One that is not believed says nothing.
pub fn remembered(state_directory: &Path) -> Result<Remembered, StateError> {
    let pods = pods::remembered_names(state_directory)?;
    Ok(Remembered { pods, rotations: metrics::remembered_rotations(state_directory)? })
}
