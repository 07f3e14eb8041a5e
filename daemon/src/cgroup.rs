//! Which pod or unit a process belongs to, by its control groups: pure, over the text of `/proc/PID/cgroup`.

use std::sync::Arc;

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A container of the pod with this UID.
    Pod(Arc<str>),
    /// A process of the host, and its unit where it has one: the `.service` directly below `system.slice`.
    Host {
        /// Such as `payments.service`.
        unit: Option<Arc<str>>,
    },
    /// A container that belongs to no pod that can be told.
    Container,
    /// That cannot be told: somebody may have made it look like what it is not.
    Unclear,
}
