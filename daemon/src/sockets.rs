//! The daemon's Unix sockets.
