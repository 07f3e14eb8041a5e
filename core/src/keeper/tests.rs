//! The keeper on a machine whose clock, mounts and limits are a test's to set.
