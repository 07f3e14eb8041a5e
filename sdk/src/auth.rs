//! Who calls, and what they may do: authentication and authorisation of gRPC calls.

mod claims;
#[cfg_attr(not(test), expect(dead_code, reason = "tokens and policies follow files"))]
mod followed;
mod method;
pub mod policy;
mod principal;

pub use claims::Claims;
pub use followed::{FileError, FollowError};
pub use method::Method;
#[doc(inline)]
pub use policy::Question;
pub use principal::Principal;
