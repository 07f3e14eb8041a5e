//! Who may call what.

pub mod a43;
mod question;

#[doc(inline)]
pub use a43::{A43Decision, A43Policy, InvalidA43};
pub use question::Question;
