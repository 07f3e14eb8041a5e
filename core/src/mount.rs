//! One coherent read of an identity's files.
