//! Hints that files may have changed.
