//! Who may have an identity of the node: `allow`, as it is configured.

use std::sync::Arc;

/// The whole list of who may have an identity; the first rule that fits lets a caller in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy(pub(crate) Arc<[Rule]>);

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Whom owner, group, mode and ACL of the key file let read it.
    Readers,
    /// A user, by number or name; a name that nobody has on this node fits nobody.
    User { name: Option<Arc<str>>, uid: Option<u32> },
    /// A group, by number or name.
    Group { name: Option<Arc<str>>, gid: Option<u32> },
    /// A service of the system manager's, such as `payments.service`.
    Unit(Arc<str>),
    /// A pod, by what it is called.
    Pod { namespace: Arc<str>, name: Arc<str> },
}

impl Default for Policy {
    fn default() -> Self {
        Self([Rule::Readers].into())
    }
}
