//! Equal content that many identities have on disk, in one allocation.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::certificate::CertificateFacts;
use crate::digest::{Digest, DigestWriter};
use crate::intern::Pool;
use crate::mount::Directories;

/// The values in use of what the files of identities hold.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    bundles: Pool<Digest, Bundle>,
    facts: Pool<Digest, CertificateFacts>,
    /// The directories on the way to the files.
    pub(super) directories: Directories,
}

impl Interner {
    /// The same bundle, in the allocation that others hold.
    pub(super) fn bundle(&self, bundle: &Arc<Bundle>) -> Arc<Bundle> {
        let mut writer = DigestWriter::new("evercert bundle");
        bundle.write(&mut writer);
        self.bundles.share(writer.finish(), bundle)
    }

    /// The same facts, in the allocation that others hold.
    pub(super) fn facts(&self, facts: &Arc<CertificateFacts>) -> Arc<CertificateFacts> {
        self.facts.share(facts.fingerprint, facts)
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::Entity;

    use super::*;
    use crate::test_files::bundle;

    #[test]
    fn equal_bundles_are_one() {
        let (interner, roots) = (Interner::default(), [Entity::root("a"), Entity::root("b")]);
        let [a, again, b] = [&roots[0], &roots[0], &roots[1]].map(|root| interner.bundle(&Arc::new(bundle(&[root]))));
        assert!(Arc::ptr_eq(&a, &again) && a != b);
    }
}
