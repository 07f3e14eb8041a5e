//! Where the keys come from.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::digest::Digest;
use evercert_core::text;

use super::algorithm::Algorithm;
use super::fetched::Fetched;
use super::key::KeyUse;
use super::key_set::{InvalidKeys, KEYS_LIMIT, KeySet};
use crate::auth::followed::{Files, FollowError, Followed};
use crate::telemetry::{FileKind, Recorder, TokenFailure};

/// The keys of an issuer, now and from now on.
#[derive(Debug)]
pub(super) enum Keys {
    /// A file's, as it was read well the last time.
    File(Followed<KeySet>),
    /// Those that the issuer gives to whoever asks.
    Issuer(Fetched),
}

/// What a file of keys holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A JWK set (RFC 7517 §5).
    Jwks(KeyUse),
    /// One public key as PEM, for this algorithm.
    Pem(Algorithm),
}

impl Keys {
    pub(super) fn of_file(path: &Path, form: Form) -> Result<Self, FollowError<InvalidKeys>> {
        let read = move |files: &mut Files, path: &Path| {
            let content = files.read(path, KEYS_LIMIT)?;
            let keys = match form {
                Form::Jwks(wanted) => KeySet::of_jwks(&content, wanted),
                Form::Pem(algorithm) => KeySet::of_pem(&content, algorithm),
            };
            keys.map_err(|problem| InvalidKeys::Content { path: path.to_owned(), problem })
        };
        let of = text::path(path);
        let used = move |keys: &KeySet| keys.tell(&of, None);
        Ok(Self::File(Followed::open(FileKind::Keys, path, read, used)?))
    }

    /// Which keys there are at `now`; `None` where there are none.
    pub(super) fn generation(&self, now: SystemTime) -> Option<Digest> {
        match self {
            Self::File(file) => Some(file.current().generation()),
            Self::Issuer(fetched) => fetched.generation(now),
        }
    }

    /// What `check` makes of the keys of `now`, with their generation. It is told the time, which is later than `now` where keys were waited for.
    pub(super) async fn with<T>(
        &self,
        now: SystemTime,
        check: impl Fn(&KeySet, SystemTime) -> Result<T, TokenFailure>,
    ) -> Result<(T, Digest), TokenFailure> {
        match self {
            Self::File(file) => {
                let keys = file.current();
                Ok((check(&keys, now)?, keys.generation()))
            }
            Self::Issuer(fetched) => fetched.with(now, check).await,
        }
    }

    pub(super) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        match self {
            Self::File(file) => file.record_to(recorder),
            Self::Issuer(fetched) => fetched.record_to(recorder),
        }
    }
}
