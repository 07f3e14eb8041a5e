//! The session of a connection.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::certificate;
use evercert_core::path::{PathError, Role};
use rustls_pki_types::CertificateDer;

use crate::tls::generation::Generation;

/// The generation a connection shook hands under, and the chain its peer showed. Both are looked at again
/// when time passes and trust changes.
#[derive(Debug)]
pub(crate) struct Session {
    generation: Arc<Generation>,
    peer: Option<Arc<[CertificateDer<'static>]>>,
    peer_not_after: Option<SystemTime>,
    role: Role,
}

impl Session {
    /// `peer` is the chain the peer showed, leaf first; `role` is the peer's.
    pub(crate) fn new(generation: Arc<Generation>, peer: Option<&[CertificateDer<'_>]>, role: Role) -> Self {
        let leaf = peer.and_then(<[_]>::first);
        Self {
            generation,
            peer_not_after: leaf.and_then(|leaf| certificate::not_after(leaf).ok()),
            peer: peer.map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect()),
            role,
        }
    }

    /// The generation it shook hands under.
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The chain the peer showed, leaf first.
    pub(crate) fn peer(&self) -> Option<&[CertificateDer<'static>]> {
        self.peer.as_deref()
    }

    /// The same, to be kept.
    pub(crate) fn chain(&self) -> Option<Arc<[CertificateDer<'static>]>> {
        self.peer.clone()
    }

    /// The last instant at which the peer's leaf is valid.
    pub(crate) fn peer_not_after(&self) -> Option<SystemTime> {
        self.peer_not_after
    }

    /// The last instant at which the leaf that the peer was shown is valid.
    pub(crate) fn own_not_after(&self) -> Option<SystemTime> {
        self.generation.not_after()
    }

    /// The earlier of both.
    pub(crate) fn not_after(&self) -> Option<SystemTime> {
        [self.peer_not_after, self.own_not_after()].into_iter().flatten().min()
    }

    /// Whether `generation` would accept the peer's path at `now`; names do not change. Nothing is computed where it trusts the same as
    /// the generation of the handshake: that the leaf has expired meanwhile is for [`Session::peer_not_after`] to tell.
    ///
    /// # Errors
    ///
    /// Why the path does not hold.
    pub(crate) fn verify(&self, generation: &Generation, now: SystemTime) -> Result<(), PathError> {
        let same = match (self.generation.trust(), generation.trust()) {
            (Some(before), Some(trust)) => Arc::ptr_eq(before, trust) || before.is_same(trust),
            _ => false,
        };
        if same { Ok(()) } else { self.verify_anew(generation, now) }
    }

    /// As [`Session::verify`], but computed in any case.
    ///
    /// # Errors
    ///
    /// Why the path does not hold.
    pub(crate) fn verify_anew(&self, generation: &Generation, now: SystemTime) -> Result<(), PathError> {
        let Some([leaf, intermediates @ ..]) = self.peer.as_deref() else { return Ok(()) };
        let trust = generation.trust().ok_or(PathError::NoAnchor)?;
        trust.validate(leaf, intermediates, self.role, now)
    }
}
