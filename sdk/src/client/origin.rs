//! The words by which logs and errors name a connection.

use std::fmt;
use std::sync::Arc;

/// The endpoint of a connection, and the generation it was made with.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) endpoint: Arc<str>,
    pub(super) generation: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with generation {}", self.endpoint, self.generation)
    }
}
