//! The wire between evercertd and its callers: `evercert.v1`, and its conversions to and from core's types.
//!
//! The generated code is committed, so that a build needs no protoc; a test holds it against the `.proto` files.

mod codec;
mod convert;
mod pages;

/// The messages and services of `evercert.v1`, generated.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/evercert.v1.rs");
}

pub use convert::{KeyNotInMemory, MalformedUpdate, snapshot_from_update, update_from_snapshot};
pub use pages::whole_status;
