//! The pod that this process is in, by what it can know of itself. It is said to a daemon that cannot see the process, and is no proof of
//! anything.

use std::sync::Arc;

use evercert_core::identity::is_pod_uid;

/// Where the kernel lists the mounts of this process.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The files that the kubelet mounts into every container, from the pod's own directory.
const FROM_THE_KUBELET: [&str; 2] = ["/etc/hosts", "/dev/termination-log"];

/// The UID of the pod, where it can be told.
pub(super) fn own_uid() -> Option<Arc<str>> {
    let mounts = std::fs::read_to_string(MOUNTINFO).ok()?;
    uid(&mounts).map(Arc::from)
}

/// The UID in the path that a file of the kubelet's was mounted from, by the text of [`MOUNTINFO`].
fn uid(mounts: &str) -> Option<&str> {
    let of = |file: &&str| {
        let mut lines = mounts.lines().map(|line| line.split(' '));
        let root = lines.find_map(|mut fields| {
            // The fourth field is the mounted part of its file system, the fifth where it is mounted (proc(5)).
            let root = fields.nth(3)?;
            (fields.next()? == *file).then_some(root)
        })?;
        let mut parts = root.split('/').skip_while(|part| *part != "pods").skip(1);
        parts.next().filter(|part| is_pod_uid(part))
    };
    FROM_THE_KUBELET.iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";

    fn mounted(root: &str, place: &str) -> String {
        format!("400 300 8:1 {root} {place} rw,relatime - ext4 /dev/sda1 rw\n")
    }

    #[test]
    fn the_pod_is_told_by_where_its_hosts_file_or_its_last_words_were_mounted_from() {
        let others = mounted("/var/lib/kubelet/pods/ffffffff-b29f-11e7-9350-020968147796/volumes/x", "/mnt");
        let hosts = mounted(&format!("/lib/kubelet/pods/{UID}/etc-hosts"), "/etc/hosts");
        let log = mounted(&format!("/var/lib/kubelet/pods/{UID}/containers/app/1a2b"), "/dev/termination-log");
        for mounts in [others.clone() + &hosts, others.clone() + &log, hosts + &others] {
            assert_eq!(uid(&mounts), Some(UID), "{mounts}");
        }
    }

    #[test]
    fn what_is_no_uid_or_mounted_elsewhere_tells_no_pod() {
        for (root, place) in [
            ("/etc/hosts", "/etc/hosts"),
            ("/var/lib/docker/containers/1a2b/hosts", "/etc/hosts"),
            ("/srv/pods/../etc-hosts", "/etc/hosts"),
            ("/srv/pods", "/etc/hosts"),
            ("/var/lib/kubelet/pods/2c48913c-b29f-11e7-9350-020968147796/volumes/x", "/tls"),
        ] {
            assert_eq!(uid(&mounted(root, place)), None, "{root} {place}");
        }
        assert_eq!(uid(""), None);
        assert_eq!(uid("broken"), None);
    }
}
