//! Who may call what.

pub mod a43;
mod authorizer;
mod builder;
mod caller;
mod callers;
mod compile;
mod condition;
mod decision;
mod descriptors;
mod document;
mod error;
mod list;
mod pattern;
mod question;
mod rule;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;
mod written;

#[doc(inline)]
pub use a43::{A43Decision, A43Policy, AuditCondition, InvalidA43};
pub use authorizer::Authorizer;
pub use builder::{MethodPolicy, PolicyBuilder};
pub use caller::Caller;
pub use decision::{Decision, DryRun};
pub use error::{Fault, InvalidPolicy};
pub use question::Question;
pub use rule::Rule;
pub use snapshot::Policy;

/// The longest document that is read, in bytes.
pub const DOCUMENT_LIMIT: usize = 1024 * 1024;

/// The most rules of a document, each row of its table of methods among them.
pub const RULES_LIMIT: usize = 10_000;

/// The most documents that one includes.
pub const INCLUDES_LIMIT: usize = 16;

/// The longest name of a policy or a rule, in bytes.
pub const NAME_LIMIT: usize = 256;

/// What a policy is called that has no name.
const DEFAULT_NAME: &str = "policy";
