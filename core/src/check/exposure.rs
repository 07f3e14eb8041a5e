//! A key that every user of the host can read is no secret there.

use std::path::Path;

use super::Case;
use super::findings::Findings;
use crate::finding::{Check, Finding, Severity};
use crate::mount::KeyAccess;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    if let Some(finding) = case.readers.and_then(|readers| exposed(case.files.key(), readers)) {
        findings.add(finding);
    }
}

/// The finding about a key in a file that everybody can read.
pub(super) fn exposed(file: &Path, readers: &KeyAccess) -> Option<Finding> {
    let mode = readers.access.mode;
    if !let_everybody_read(readers) {
        return None;
    }
    let sentence = format!(
        "every user of this host can read the private key in {}, whose mode is {mode:04o}; chmod it to 0600, or to 0640 with the group \
         (chgrp) of those who are to have the key, and have it replaced if somebody else may have read it",
        file.display()
    );
    let finding = Finding::new(Check::KeyWorldReadable, Severity::Warn, sentence).in_file(file);
    Some(finding.found(format_args!("{mode:04o}")).expected("0640 or less"))
}

/// Whether the permissions are an operator's (a kubelet gives every file of a volume mode 0644, and it is the pod that keeps others
/// out), the file lets others read, and every directory on the way to it lets them search. Where there is an ACL, its entry for others
/// is these bits of the mode (acl(5)).
fn let_everybody_read(readers: &KeyAccess) -> bool {
    let lets_search = || readers.route.directories().all(|directory| directory.access().mode & 0o001 != 0);
    !readers.is_kubelets && readers.access.mode & 0o004 != 0 && readers.route.is_whole() && lets_search()
}
