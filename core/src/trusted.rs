//! Everything that is trusted by now.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::bundle::{Bundle, Bundles, Crls};
use crate::overlap::Overlap;
use crate::spiffe::TrustDomain;

/// The last good of everything that trust is made of, each for itself: what is broken keeps nothing else from taking effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// The own bundle, with the CRLs in its file.
    pub(crate) bundle: Option<Arc<Bundle>>,
    /// The anchors that left its file and stay trusted for a while.
    pub(crate) overlap: Overlap,
    /// The CRLs of each file of them.
    pub(crate) crls: BTreeMap<PathBuf, Crls>,
    /// The bundles of federated trust domains.
    pub(crate) federated: BTreeMap<TrustDomain, Arc<Bundle>>,
}

impl Trusted {
    /// The own bundle with all CRLs there are, and with what left its file.
    #[must_use]
    pub fn own(&self) -> Option<Arc<Bundle>> {
        let bundle = self.bundle.as_ref()?;
        if self.crls.is_empty() {
            return Some(self.overlap.merge(bundle));
        }
        let crls = bundle.crls().iter().chain(self.crls.values().flat_map(|crls| crls.iter())).cloned();
        Some(self.overlap.merge(&Arc::new(Bundle::new(bundle.anchors().to_vec(), crls.collect()))))
    }

    /// All bundles, as they are published.
    #[must_use]
    pub fn bundles(&self) -> Bundles {
        Bundles { own: self.own(), federated: self.federated.clone() }
    }
}

impl From<Option<&Arc<Bundle>>> for Trusted {
    fn from(bundle: Option<&Arc<Bundle>>) -> Self {
        Self { bundle: bundle.cloned(), ..Self::default() }
    }
}
