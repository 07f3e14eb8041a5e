//! Answers as they go over the wire, encoded once for all who are told the same at the same time.
//!
//! An update may be megabytes large, and a thousand subscribers may be slow to take it. They are sent the same bytes, which live
//! only while they are on their way to somebody, and are wiped then.

use std::sync::{Arc, Weak};

use bytes::{BufMut as _, Bytes};
use evercert_api::v1;
use evercert_core::finding::Finding;
use evercert_core::identity::IdentityId;
use evercert_core::intern::Pool;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;
use prost::Message as _;
use tonic::Status;
use v1::watch_response::Message as Answer;
use zeroize::Zeroizing;

use crate::serve::RESPONSE_LIMIT;

/// The header of a message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// The part of a state that an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The published generation, with its key.
    Full,
    /// The published generation, without its key.
    Digest,
    /// Why nothing is published.
    Pending,
    /// The findings since.
    Findings,
}

/// The answers that are on their way.
#[derive(Default)]
pub(super) struct Parcels {
    on_their_way: Pool<(IdentityId, Kind), Parcel>,
    #[cfg(test)]
    made: std::sync::atomic::AtomicUsize,
}

/// One of them.
struct Parcel {
    /// Its source, which it does not keep alive.
    snapshot: Option<Weak<Snapshot>>,
    findings: Arc<[Finding]>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Parcels {
    /// The answer of this kind that tells of `state`: the one that is on its way to somebody, else what `make` makes.
    ///
    /// # Errors
    ///
    /// `make` fails, or what it makes is larger than an answer may be.
    pub(super) fn of(
        &self,
        state: &IdentityState,
        kind: Kind,
        make: impl FnOnce() -> Result<Answer, Status>,
    ) -> Result<Bytes, Status> {
        let tells_of_it = |parcel: &Parcel| parcel.tells_of(state);
        let parcel = self.on_their_way.get_or_try_make((state.spec.id.clone(), kind), tells_of_it, || {
            let answer = make()?;
            #[cfg(test)]
            self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, Status>(Arc::new(Parcel {
                snapshot: state.snapshot.as_ref().map(Arc::downgrade),
                findings: Arc::clone(&state.findings),
                bytes: encoded(answer)?,
            }))
        })?;
        Ok(Bytes::from_owner(Shared(parcel)))
    }

    /// The number made until now.
    #[cfg(test)]
    pub(super) fn made(&self) -> usize {
        self.made.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The number of parcels.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.on_their_way.living()
    }
}

impl Parcel {
    fn tells_of(&self, state: &IdentityState) -> bool {
        let same_snapshot = match (&self.snapshot, &state.snapshot) {
            (Some(made_from), Some(snapshot)) => std::ptr::eq(made_from.as_ptr(), Arc::as_ptr(snapshot)),
            (None, None) => true,
            _ => false,
        };
        same_snapshot && Arc::ptr_eq(&self.findings, &state.findings)
    }
}

/// The bytes of a parcel where they are.
struct Shared(Arc<Parcel>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// An answer that is told to one subscriber.
///
/// # Errors
///
/// It is larger than an answer may be.
pub(super) fn alone(answer: Answer) -> Result<Bytes, Status> {
    encoded(answer).map(Bytes::from_owner)
}

fn encoded(answer: Answer) -> Result<Zeroizing<Vec<u8>>, Status> {
    let response = v1::WatchResponse { message: Some(answer) };
    let length = response.encoded_len();
    let prefix = u32::try_from(length).ok().filter(|_| length <= RESPONSE_LIMIT).ok_or_else(|| {
        Status::out_of_range(format!("the answer has {length} bytes, and at most {RESPONSE_LIMIT} are sent"))
    })?;
    // No byte of a key is left behind by a vector that grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + length));
    bytes.put_u8(0);
    bytes.put_u32(prefix);
    response.encode_raw(&mut *bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use evercert_core::identity::IdentityId;
    use evercert_core::lifecycle::Lifecycle;
    use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

    use super::*;

    fn state() -> IdentityState {
        let spec = IdentitySpec {
            id: IdentityId::node("x".parse().unwrap()),
            files: FileSet::cert_manager("/nowhere".as_ref()),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        };
        IdentityState::clone(Lifecycle::new(Arc::new(spec)).state())
    }

    fn ask(parcels: &Arc<Parcels>, state: &IdentityState, made: &mut usize) -> Bytes {
        let make = || {
            *made += 1;
            Ok(Answer::Withdrawn(v1::Withdrawn { reason: "r".repeat(600_000) }))
        };
        parcels.of(state, Kind::Full, make).unwrap()
    }

    #[test]
    fn a_thousand_who_are_told_the_same_share_one_buffer_that_goes_with_the_last_of_them() {
        let (parcels, state, mut made) = (Arc::<Parcels>::default(), state(), 0);
        let held: Vec<_> = (0..1024).map(|_| ask(&parcels, &state, &mut made)).collect();
        assert!(held.iter().all(|bytes| bytes.as_ptr() == held[0].as_ptr()));
        assert_eq!((made, parcels.count()), (1, 1));
        drop(held);
        assert_eq!(parcels.count(), 0);
    }

    #[test]
    fn an_answer_that_is_larger_than_is_sent_has_the_status_by_which_such_answers_are_counted() {
        let refused = alone(Answer::Withdrawn(v1::Withdrawn { reason: "r".repeat(RESPONSE_LIMIT) })).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::OutOfRange);
    }

    #[test]
    fn what_is_told_of_another_state_is_made_anew_even_while_the_former_is_on_its_way() {
        let (parcels, mut state, mut made) = (Arc::<Parcels>::default(), state(), 0);
        let former = ask(&parcels, &state, &mut made);
        state.findings = Vec::new().into();
        let latter = ask(&parcels, &state, &mut made);
        drop(former);
        assert_eq!(ask(&parcels, &state, &mut made).as_ptr(), latter.as_ptr());
        assert_eq!((made, parcels.count()), (2, 1));
    }
}
