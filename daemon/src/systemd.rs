//! The service manager.
