//! The daemon's wiring.
