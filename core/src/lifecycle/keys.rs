//! The key is in memory only while somebody wants it.

use std::sync::Arc;

use super::{Check, Finding, IdentityState, Lifecycle, Material};
use crate::finding::Severity;
use crate::snapshot::Snapshot;

impl Lifecycle {
    /// Whether keys stay in memory from now on. Those that are there and are no longer wanted are wiped at once; one that is
    /// wanted from now on comes with the next reading. True if [`Lifecycle::state`] is another one than before.
    #[must_use]
    pub fn keep_keys(&mut self, wanted: bool) -> bool {
        self.keeps_keys = wanted;
        !wanted && self.forget_keys()
    }

    fn forget_keys(&mut self) -> bool {
        self.material.iter_mut().for_each(Material::forget_key);
        if let Some(credential) = self.credential.take_if(|credential| credential.key().is_some()) {
            self.credential = Some(Arc::new(credential.without_key()));
        }
        let snapshot = self.state.snapshot.as_deref();
        let keyed = snapshot.filter(|snapshot| snapshot.credential().is_some_and(|served| served.key().is_some()));
        let bare = keyed.map(|snapshot| Arc::new(snapshot.without_key()));
        let says_so = |finding: &Finding| finding.check == Check::KeyNotInMemory;
        let changed = bare.is_some() || self.state.findings.iter().any(says_so);
        if changed {
            let findings = self.state.findings.iter().filter(|finding| !says_so(finding)).cloned().collect();
            let snapshot = bare.or_else(|| self.state.snapshot.clone());
            self.state = Arc::new(IdentityState { snapshot, findings, ..IdentityState::clone(&self.state) });
        }
        changed
    }

    /// Takes the key of what is served from a reading that holds it.
    pub(super) fn take_key(&mut self, material: &Material) {
        if let Some(served) = self.credential.as_ref().filter(|credential| credential.key().is_none())
            && let Some(whole) = material.with_key(served)
        {
            self.credential = Some(Arc::clone(whole));
        }
    }

    /// The finding about a key that is wanted and cannot be had.
    pub(super) fn lacks_key(&self, snapshot: Option<&Snapshot>, material: &Material) -> Option<Finding> {
        let served = snapshot.filter(|snapshot| self.keeps_keys && !snapshot.is_complete())?.credential()?;
        let sentence = "the key of the served certificate is not in memory and no longer on disk: nobody can be given it \
                        until the files hold a certificate and a key that pass the checks";
        let finding = Finding::new(Check::KeyNotInMemory, Severity::Warn, sentence);
        let file = self.spec.files.credential.as_ref().map(|files| files.key());
        (!material.holds(served)).then(|| match file {
            Some(file) => finding.in_file(file),
            None => finding,
        })
    }
}
