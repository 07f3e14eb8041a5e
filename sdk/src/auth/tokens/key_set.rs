//! The keys of one issuer as of one moment.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use evercert_core::digest::Digest;
use evercert_core::text;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::algorithm::Algorithm;
use super::json;
use super::key::{Key, KeyUse, UnusableKey};
use crate::auth::followed::FileError;
use crate::telemetry::TokenFailure;

/// The largest set of keys that is read, in bytes, from a file or from an issuer.
pub(super) const KEYS_LIMIT: usize = 1024 * 1024;

/// The greatest number of keys in a set.
const COUNT_LIMIT: usize = 256;

/// Keys, by their names or without.
pub(super) struct KeySet {
    named: HashMap<String, Key>,
    nameless: Vec<Key>,
    names: Names,
    generation: Digest,
    left_out: Vec<LeftOut>,
}

/// A key that cannot be used.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    place: KeyPlace,
    why: UnusableKey,
}

/// Which key of a set it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPlace {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Where it is in the array, from 0.
    pub index: usize,
    /// Its `kid`; empty where it has none.
    pub kid: String,
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, index, kid } = self;
        match kid.as_str() {
            "" => write!(f, "line {line}, key {index} counted from 0"),
            kid => write!(f, "line {line}, key {index} counted from 0, of the kid {kid}"),
        }
    }
}

/// Whether the names of keys say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The keys have them: a token with a `kid` is by that key or by none.
    Known,
    /// The one key came without: a token may give it whatever name.
    Unknown,
}

impl KeySet {
    /// The keys of a JWK set (RFC 7517 §5) that are for this. Those that cannot be used are left out, of which [`KeySet::tell`] tells.
    pub(super) fn of_jwks(jwks: &[u8], wanted: KeyUse) -> Result<Self, KeysProblem> {
        let set = json::object(jwks)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeysProblem::NotASet)?;
        if keys.len() > COUNT_LIMIT {
            return Err(KeysProblem::TooMany { count: keys.len() });
        }
        let (mut named, mut nameless, mut left_out) = (HashMap::new(), Vec::new(), Vec::new());
        let mut digested = Vec::new();
        let lines = LazyCell::new(|| lines(jwks));
        let place = |index: usize, key: &Value| KeyPlace {
            line: lines.get(index).copied().unwrap_or(1),
            index,
            kid: text::word(key.get("kid").and_then(Value::as_str).unwrap_or_default()),
        };
        for (index, value) in keys.iter().enumerate() {
            match value.as_object().ok_or(UnusableKey::Malformed).and_then(|jwk| Key::of_jwk(jwk, wanted)) {
                Ok((kid, key)) => {
                    digest(&mut digested, kid.as_deref(), &key);
                    match kid {
                        Some(kid) if named.contains_key(&kid) => {
                            return Err(KeysProblem::Twice { second: place(index, value) });
                        }
                        Some(kid) => _ = named.insert(kid, key),
                        None => nameless.push(key),
                    }
                }
                // A set for several uses is nothing to tell of.
                Err(UnusableKey::OtherUse) => {}
                Err(why) => left_out.push(LeftOut { place: place(index, value), why }),
            }
        }
        if named.is_empty() && nameless.is_empty() {
            let none = |LeftOut { place, why }| KeysProblem::NoneUsable { last: place, why };
            return Err(left_out.pop().map_or(KeysProblem::Empty { wanted }, none));
        }
        Ok(Self { named, nameless, names: Names::Known, generation: Digest::fingerprint(&digested), left_out })
    }

    /// The one key of a PEM file.
    pub(super) fn of_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, KeysProblem> {
        let key = Key::of_pem(pem, algorithm).map_err(KeysProblem::Unusable)?;
        let mut digested = Vec::new();
        digest(&mut digested, None, &key);
        Ok(Self {
            named: HashMap::new(),
            nameless: vec![key],
            names: Names::Unknown,
            generation: Digest::fingerprint(&digested),
            left_out: Vec::new(),
        })
    }

    /// Tells of the keys that were left out, unless those before it were told of already.
    pub(super) fn tell(&self, of: impl fmt::Display, before: Option<&Self>) {
        if before.is_some_and(|before| before.left_out == self.left_out) {
            return;
        }
        for LeftOut { place: KeyPlace { line, index, kid }, why } in &self.left_out {
            tracing::warn!(%of, line, index, kid, %why, "a key is left out: tokens by it are refused");
        }
    }

    /// Equal generations hold equal keys.
    pub(super) fn generation(&self) -> Digest {
        self.generation
    }

    /// The key that a header means: that of its `kid`, or else the only one for its algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenFailure> {
        let key = match kid {
            Some(kid) if self.names == Names::Known => self.named.get(kid),
            _ => {
                let mut fitting = self.named.values().chain(&self.nameless).filter(|key| key.algorithm() == algorithm);
                match (fitting.next(), fitting.next()) {
                    (key, None) => key,
                    _ => None,
                }
            }
        };
        let key = key.ok_or(TokenFailure::UnknownKey)?;
        if key.algorithm() == algorithm { Ok(key) } else { Err(TokenFailure::WrongAlgorithm) }
    }
}

/// The line, from 1, that each key of a set begins on.
fn lines(jwks: &[u8]) -> Vec<usize> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let Ok(Set { keys }) = serde_json::from_slice(jwks) else { return Vec::new() };
    let (mut line, mut passed) = (1, 0);
    let line_of = |key: &&RawValue| {
        // It is a part of the text.
        let begin = key.get().as_ptr().addr() - jwks.as_ptr().addr();
        line += jwks[passed..begin].iter().filter(|byte| **byte == b'\n').count();
        passed = begin;
        line
    };
    keys.iter().map(line_of).collect()
}

/// One key as part of what the generation is the digest of.
fn digest(digested: &mut Vec<u8>, kid: Option<&str>, key: &Key) {
    for part in [kid.map_or("-", |_| "+"), kid.unwrap_or_default(), key.algorithm().as_str()] {
        digested.extend((part.len() as u64).to_be_bytes());
        digested.extend(part.as_bytes());
    }
    digested.extend(key.fingerprint().as_bytes());
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("named", &self.named.len())
            .field("nameless", &self.nameless.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in it are no keys that tokens can be verified with.
    #[error("{}: {problem}", text::path(.path))]
    #[non_exhaustive]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: KeysProblem,
    },
}

/// What is wrong with a set of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysProblem {
    /// It is no JSON.
    #[error("line {line}, column {column}: this is no JSON")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is no JSON that can be taken in one way only.
    #[error(
        "line {line}, column {column}: this is no JSON object, is nested too deep, or has a name twice in one object"
    )]
    NotStrict {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is no JWK set.
    #[error("it has no array `keys`, which a JWK set is (RFC 7517 §5)")]
    NotASet,
    /// It has more keys than are read.
    #[error("it has {count} keys, which is more than the {COUNT_LIMIT} that are read")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two keys have one name.
    #[error(
        "{second}: a key before it has that kid too, so a token by one of them could be taken for the other's: give each its own"
    )]
    #[non_exhaustive]
    Twice {
        /// The second one of them.
        second: KeyPlace,
    },
    /// There is none for this use.
    #[error("it has no key for {}", wanted.name())]
    Empty {
        /// What keys are wanted for.
        wanted: KeyUse,
    },
    /// There is none that can be used.
    #[error("none of its keys can be used; the last one is on {last}: {why}")]
    #[non_exhaustive]
    NoneUsable {
        /// The last one.
        last: KeyPlace,
        /// Why it cannot.
        why: UnusableKey,
    },
    /// Its one key cannot be used.
    #[error("its key cannot be used: {0}")]
    Unusable(UnusableKey),
}

impl From<serde_json::Error> for KeysProblem {
    /// Without the error's own words, which repeat what is there.
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        if error.is_data() { Self::NotStrict { line, column } } else { Self::NotJson { line, column } }
    }
}
