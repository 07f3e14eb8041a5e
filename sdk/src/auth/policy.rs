//! Who may call what.

mod question;

pub use question::Question;
