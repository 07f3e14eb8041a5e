//! Swaps server and client certificates and trust roots live inside tonic, without dropping a connection.

pub mod settings;
pub mod source;
