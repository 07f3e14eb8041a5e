//! The roots by which a client verifies servers.

use std::fmt;
use std::sync::Arc;

use evercert_core::path::PathValidator;
#[cfg(any(feature = "native-roots", feature = "webpki-roots"))]
use {evercert_core::bundle::Bundle, evercert_core::path::PathError, rustls_pki_types::CertificateDer};

/// The most roots that the platform may have: systems come with some 150.
#[cfg(feature = "native-roots")]
const MOST_ROOTS: usize = 1024;

/// The number of problems that an error tells of.
#[cfg(feature = "native-roots")]
const MOST_TOLD: usize = 4;

/// The roots by which a client verifies servers: those of its identity's bundle, unless it is told otherwise, those of public CAs, or
/// both. A cheap clone.
///
/// A server under a public CA is verified by its name alone: whoever may have such a certificate for a name may write any SPIFFE ID into
/// it, so one that shows a SPIFFE ID is not accepted, and roots of public CAs do not go with
/// [`ServerVerification::SpiffeIds`](super::ServerVerification::SpiffeIds). Beside a bundle they are asked about a server that the bundle
/// says nothing of. Then each public CA vouches for the names of internal servers too: better have a channel for each kind.
///
/// An internal certificate tells whoever sees it internal names. So where servers are verified by public CAs alone none is presented,
/// unless [`OwnCertificate::Presented`](super::OwnCertificate::Presented) is set.
///
/// Revocation lists of public CAs are not fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots(Kind);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bundle,
    #[cfg_attr(not(any(feature = "native-roots", feature = "webpki-roots")), expect(dead_code, reason = "by features"))]
    Public { roots: Public, beside_bundle: bool },
}

/// Roots of public CAs, as they were read.
#[derive(Clone)]
pub(super) struct Public(pub(super) Arc<PathValidator>);

impl Roots {
    /// Those of the identity's bundle.
    #[must_use]
    pub fn bundle() -> Self {
        Self::default()
    }

    /// Mozilla's, as they were when this version of the crate `webpki-root-certs` was published.
    ///
    /// # Panics
    ///
    /// Never: the list has roots that can be used.
    #[cfg(feature = "webpki-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "webpki-roots")))]
    #[must_use]
    pub fn mozilla() -> Self {
        use std::sync::LazyLock;

        use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

        #[expect(clippy::expect_used, reason = "a list that is compiled in, and tested")]
        static MOZILLA: LazyLock<Public> =
            LazyLock::new(|| Public::load(TLS_SERVER_ROOT_CERTS.to_vec()).expect("Mozilla's roots"));
        Self::public(MOZILLA.clone())
    }

    /// The platform's: those of the file and the directory that the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else
    /// those of the system. They are read now, and not again: keep the value, and clone it for other endpoints.
    ///
    /// # Errors
    ///
    /// There are none that can be read and used, or more than 1,024.
    #[cfg(feature = "native-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "native-roots")))]
    pub fn platform() -> Result<Self, InvalidRoots> {
        let found = rustls_native_certs::load_native_certs();
        let problems: Vec<_> = found.errors.iter().take(MOST_TOLD).map(ToString::to_string).collect();
        let problems = evercert_core::text::sentence(&problems.join("; "));
        if found.certs.is_empty() {
            let because = if problems.is_empty() { String::new() } else { format!(": {problems}") };
            return Err(InvalidRoots::None { because });
        }
        if found.certs.len() > MOST_ROOTS {
            return Err(InvalidRoots::TooMany { count: found.certs.len(), limit: MOST_ROOTS });
        }
        if !found.errors.is_empty() {
            tracing::warn!(roots = found.certs.len(), %problems, "some of the platform's roots cannot be read");
        }
        Public::load(found.certs).map(Self::public).map_err(InvalidRoots::Unusable)
    }

    /// These and those of the identity's bundle.
    #[must_use]
    pub fn and_bundle(self) -> Self {
        match self.0 {
            Kind::Bundle => self,
            Kind::Public { roots, .. } => Self(Kind::Public { roots, beside_bundle: true }),
        }
    }

    #[cfg(any(feature = "native-roots", feature = "webpki-roots"))]
    fn public(roots: Public) -> Self {
        Self(Kind::Public { roots, beside_bundle: false })
    }

    pub(super) fn has_bundle(&self) -> bool {
        matches!(self.0, Kind::Bundle | Kind::Public { beside_bundle: true, .. })
    }

    /// Those of public CAs.
    pub(super) fn of_public(&self) -> Option<&Public> {
        match &self.0 {
            Kind::Bundle => None,
            Kind::Public { roots, .. } => Some(roots),
        }
    }
}

impl Public {
    #[cfg(any(feature = "native-roots", feature = "webpki-roots"))]
    fn load(roots: Vec<CertificateDer<'static>>) -> Result<Self, PathError> {
        Ok(Self(Arc::new(PathValidator::new(&Bundle::new(roots, Vec::new()))?)))
    }
}

/// Read once, they are the same as long as they are the same value.
impl PartialEq for Public {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Public {}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public").finish_non_exhaustive()
    }
}

/// Why the platform's roots cannot be used.
#[cfg(feature = "native-roots")]
#[cfg_attr(docsrs, doc(cfg(feature = "native-roots")))]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoots {
    /// There are none.
    #[error(
        "the platform has no roots of public CAs that can be read{because}; install its package of them (ca-certificates), or name a file \
         with SSL_CERT_FILE"
    )]
    None {
        /// Why, if that is known.
        because: String,
    },
    /// There are too many.
    #[error(
        "the platform has {count} roots of public CAs, and no more than {limit} are taken; SSL_CERT_FILE can name a file with fewer"
    )]
    TooMany {
        /// The number of them.
        count: usize,
        /// The most that are taken.
        limit: usize,
    },
    /// None of them can be used.
    #[error("the platform's roots of public CAs cannot be used: {0}")]
    Unusable(#[source] PathError),
}

#[cfg(all(test, feature = "webpki-roots"))]
mod tests {
    use super::*;

    #[test]
    fn each_of_mozillas_roots_can_be_used() {
        let roots = Roots::mozilla();
        let Some(Public(validator)) = roots.of_public() else { panic!("no public roots") };
        assert!(validator.unusable_anchors().is_empty(), "{:?}", validator.unusable_anchors());
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() > 50);
        assert_eq!(roots, Roots::mozilla());
        assert_ne!(roots, Roots::mozilla().and_bundle());
        assert_eq!(Roots::bundle().and_bundle(), Roots::default());
    }
}
