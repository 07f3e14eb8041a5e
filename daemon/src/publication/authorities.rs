//! What uses a CA: whether it may go is asked of every node before it leaves a bundle, or ends.

mod census;

use std::sync::Arc;

use evercert_core::bundle::Bundle;
use evercert_core::snapshot::Snapshot;

pub(crate) use census::{
    AuthorityCount, AuthorityCounts, AuthorityUse, AuthorityUses, Census, Found, Users, is_of_neighbours, trusted,
};

fn bundles(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Bundle>> {
    let bundles = snapshot.bundles();
    bundles.own.iter().chain(bundles.federated.values())
}

/// The certificates after the leaf.
fn issuers(snapshot: &Snapshot) -> impl Iterator<Item = &[u8]> {
    snapshot.credential().into_iter().flat_map(|credential| credential.chain()).skip(1).map(AsRef::as_ref)
}
