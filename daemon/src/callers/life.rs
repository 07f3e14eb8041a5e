//! Whether a process lives, for those who only want to know that.

use std::sync::Arc;

use super::party::Party;
use super::process::Process;

/// The life of one process, and the party it is charged to. Two are equal that are of one process.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    process: Arc<Process>,
    party: Party,
}

impl Life {
    pub(super) fn new(process: Arc<Process>, party: Party) -> Self {
        Self { process, party }
    }

    /// The party that the process is charged to.
    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self) {
        self.process.ended().cancelled().await;
    }
}

impl PartialEq for Life {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.process, &other.process)
    }
}

impl Eq for Life {}
