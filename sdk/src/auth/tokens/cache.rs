//! Tokens that were verified before.

use std::time::SystemTime;

use evercert_core::digest::Digest;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::rules::Verified;
use crate::peer::PeerIdentity;

/// The memory that verified tokens may take, in bytes as [`weight`] estimates it: at most 32,768 tokens.
const CACHE_LIMIT: u64 = 16 * 1024 * 1024;

/// What a token takes without its claims, in bytes.
const LEAST_WEIGHT: u64 = 512;

/// How much larger claims are once they were read, about.
const GROWTH: u64 = 4;

/// The number of locks. Each has its part of the limit, which is more than the largest token takes.
const SHARDS: usize = 16;

/// Verified tokens by their digests, those that are used most. What is found costs a digest and a look into a table.
pub(super) struct Cached(Cache<Digest, Entry, Weight>);

#[derive(Debug, Clone)]
struct Entry {
    verified: Verified,
    /// The keys that it was verified with: with other ones it has to be verified again.
    generation: Digest,
    weight: u64,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Digest, Entry> for Weight {
    fn weight(&self, _: &Digest, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// What a token of this length takes.
fn weight(token: &str) -> u64 {
    LEAST_WEIGHT + GROWTH * token.len() as u64
}

impl Cached {
    #[expect(clippy::expect_used, reason = "the options are constants")]
    pub(super) fn new() -> Self {
        let mut options = OptionsBuilder::new();
        // It asks for a count of what it expects; the table grows with what comes.
        options.shards(SHARDS).weight_capacity(CACHE_LIMIT).estimated_items_capacity(SHARDS);
        let options = options.build().expect("a capacity and a count are set");
        Self(Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }

    /// What this token says, if it was verified with the same keys and is not over.
    pub(super) fn get(&self, token: &str, generation: Digest, now: SystemTime) -> Option<Verified> {
        let digest = Digest::fingerprint(token.as_bytes());
        let entry = self.0.get(&digest)?;
        if entry.generation == generation && now < entry.verified.claims.expires() {
            return Some(entry.verified);
        }
        self.0.remove(&digest);
        None
    }

    pub(super) fn insert(&self, token: &str, generation: Digest, verified: Verified) {
        let entry = Entry { verified, generation, weight: weight(token) };
        self.0.insert(Digest::fingerprint(token.as_bytes()), entry);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Verified {
    /// Whether whoever shows this certificate may use it.
    pub(super) fn is_of(&self, peer: Option<&PeerIdentity>) -> bool {
        self.bound_to.is_none_or(|leaf| peer.is_some_and(|peer| peer.fingerprint() == leaf))
    }
}
