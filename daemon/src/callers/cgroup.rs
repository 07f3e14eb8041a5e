//! Which pod or unit a process belongs to, by its control groups: pure, over the text of `/proc/PID/cgroup`.
//!
//! ```text
//! /kubepods[/burstable|/besteffort]/pod<uid>/<container>
//! /kubepods.slice[/kubepods-burstable.slice]/kubepods[-burstable]-pod<uid>.slice/cri-containerd-<container>.scope
//! ```
//!
//! A path counts only as a whole, from its first component to its last: whoever may make groups of its own, a container or a
//! login session, can make anything below what it was given. Looking for a pod somewhere in a path would believe it.

mod kubepods;

use std::sync::Arc;

/// The longest text that is looked at, in bytes. Some twenty hierarchies with paths of a few hundred bytes are usual.
const TEXT_LIMIT: usize = 64 * 1024;

/// The kernel's suffix to the path of a group that was removed.
const REMOVED: &str = " (deleted)";

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
    /// Unknown: somebody may have made it look like what it is not.
    Unclear,
}

/// Where the process belongs whose `/proc/PID/cgroup` holds `text`. `prefixes` are what may stand before `kubepods`, such as
/// `/docker/*`; `*` stands for the ID of a container. Anyone who may make groups below one of them may pass for any pod.
///
/// Every hierarchy has a line. One that knows the pod is enough, as not every hierarchy has groups for it; but no two may name
/// different pods, and none may be unclear.
#[must_use]
pub fn origin(text: &str, prefixes: &[String]) -> Origin {
    if text.is_empty() || text.len() > TEXT_LIMIT {
        return Origin::Unclear;
    }
    let (mut pod, mut is_container, mut units) = (None, false, Vec::new());
    for line in text.lines() {
        let Some(line) = Line::parse(line) else { return Origin::Unclear };
        match line.origin(prefixes) {
            LineOrigin::Unclear => return Origin::Unclear,
            LineOrigin::Pod(uid) if pod.as_ref().is_some_and(|known| *known != uid) => return Origin::Unclear,
            LineOrigin::Pod(uid) => pod = Some(uid),
            LineOrigin::Container => is_container = true,
            LineOrigin::Host(unit) if line.tells_the_unit() => units.push(unit),
            LineOrigin::Host(_) => {}
        }
    }
    match pod {
        Some(uid) => Origin::Pod(uid.into()),
        None if is_container => Origin::Container,
        None => {
            let unit = units.first().copied().flatten().filter(|unit| units.iter().all(|other| *other == Some(unit)));
            Origin::Host { unit: unit.map(Arc::from) }
        }
    }
}

/// One line: a hierarchy, and the path of the process in it.
#[derive(Clone, Copy)]
struct Line<'a> {
    controllers: &'a str,
    path: &'a str,
}

/// The origin that one line tells.
enum LineOrigin<'a> {
    Pod(String),
    Container,
    /// With the unit where the path is that of one.
    Host(Option<&'a str>),
    Unclear,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && path.starts_with('/') && !path.ends_with(REMOVED)).then_some(Self { controllers, path })
    }

    fn origin(self, prefixes: &[String]) -> LineOrigin<'a> {
        let mut path = self.path;
        // Paths outside the root of this process's own cgroup namespace show with these in front.
        while let Some(rest) = path.strip_prefix("/..").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            path = rest;
        }
        let is_from_outside = path.len() < self.path.len();
        let components = match path.strip_prefix('/') {
            None | Some("") => Vec::new(),
            Some(path) => path.split('/').collect(),
        };
        if components.iter().any(|component| matches!(*component, "" | "." | "..")) {
            return LineOrigin::Unclear;
        }
        if let Some(uid) = kubepods::pod(&components, is_from_outside, prefixes) {
            return LineOrigin::Pod(uid);
        }
        if components.iter().any(|component| kubepods::is_like_a_pods(component)) {
            return LineOrigin::Unclear;
        }
        if components.iter().any(|component| kubepods::is_a_containers(component)) {
            return LineOrigin::Container;
        }
        match components.as_slice() {
            // The system manager puts an underscore before a name that could be one of the kernel's files.
            ["system.slice", service, ..] if service.ends_with(".service") => {
                LineOrigin::Host(Some(service.strip_prefix('_').unwrap_or(service)))
            }
            _ => LineOrigin::Host(None),
        }
    }

    /// Whether the system manager keeps its units in this hierarchy, and has put the process somewhere in it.
    fn tells_the_unit(self) -> bool {
        matches!(self.controllers, "" | "name=systemd") && self.path != "/"
    }
}

#[cfg(test)]
mod tests;
