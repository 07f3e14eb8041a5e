//! The times, each to the second.

use evercert_fixtures::DAY;

use super::*;
use crate::spec::CredentialFiles;

fn lives(from: SystemTime, to: SystemTime) -> impl FnOnce(&mut CertificateParams) {
    move |certificate| (certificate.not_before, certificate.not_after) = (from.into(), to.into())
}

pub(super) fn expired() -> Pair {
    let ends = |at: SystemTime| of_leaf(lives(now() - DAY, at));
    pair(&ends(now() - SECOND), &ends(now()))
}

pub(super) fn not_yet_valid() -> Pair {
    let begins = |at: SystemTime| of_leaf(lives(at, now() + DAY));
    pair(&begins(now() + SECOND), &begins(now()))
}

pub(super) fn reversed() -> Pair {
    let ends = |at: SystemTime| of_leaf(lives(now(), at));
    pair(&ends(now()), &ends(now() + SECOND))
}

pub(super) fn long() -> Pair {
    let lives_for = |span: Duration| of_leaf(lives(now(), now() + span));
    pair(&lives_for(398 * DAY + SECOND), &lives_for(398 * DAY))
}

/// Renewal is due when a third of the lifetime is left, and overdue an hour later.
pub(super) fn renewal() -> Pair {
    let issued = |at: SystemTime| of_leaf(lives(at, at + 90 * DAY));
    let overdue = now() - 60 * DAY - HOUR;
    pair(&issued(overdue), &issued(overdue + SECOND))
}

/// Of two leaves one was issued a second before the other.
pub(super) fn rolled_back() -> Pair {
    let root = Entity::root("root");
    let issued = |at: SystemTime| Files::of(&root.leaf_with(lives(at, now() + 20 * DAY)), &[], &[&root]);
    let (older, newer) = (issued(now() - DAY), issued(now() - DAY + SECOND));
    let told = |first: &Files, second: &Files| Kept::of(first, anything).swap(second).told();
    Pair { tripped: told(&newer, &older), spared: told(&older, &newer) }
}

pub(super) fn issuer_first() -> Pair {
    let root = Entity::root("root");
    let of_issuer_that_ends = |at: SystemTime| {
        let sub = root.sub_ca("sub", |sub| sub.not_after = at.into());
        Files::of(&sub.leaf_with(lives(now(), now() + 30 * DAY)), &[&sub], &[&root])
    };
    let end = now() + 30 * DAY;
    pair(&of_issuer_that_ends(end - SECOND), &of_issuer_that_ends(end))
}

/// Of two anchors one ends, and no leaf tells which of them is needed.
pub(super) fn anchor() -> Pair {
    let trusts_alone = |spec: &mut IdentitySpec| spec.files.credential = None;
    let beside_one_that_ends = |at: SystemTime| {
        let root = Entity::root("root");
        let old = Entity::root_with("old", |ca| ca.not_after = at.into());
        Files::of(&root.leaf(), &[], &[&root, &old])
    };
    pair_for(trusts_alone, &beside_one_that_ends(now() - SECOND), &beside_one_that_ends(now()))
}

/// The kubelet renews certificates in projected volumes, and in no others.
pub(super) fn not_refreshed() -> Pair {
    let root = Entity::root("root");
    let leaf = root.leaf_with(lives(now() - 2 * DAY, now() - DAY));
    let bundle = evercert_fixtures::Files::new().with("all.pem", leaf.key.serialize_pem() + &leaf.pem());
    let told = |plugin: &str| {
        let node = tempfile::tempdir().unwrap();
        let volume = node.path().join(format!("pods/7c11/volumes/kubernetes.io~{plugin}/tls"));
        let _ = PlainDirectory::at(&volume, &bundle);
        let mut spec = spec("a", &volume);
        spec.id = IdentityId::pod("7c11", "tls".parse().unwrap());
        spec.files.credential = Some(CredentialFiles::Combined(volume.join("all.pem")));
        judged(&spec)
    };
    Pair { tripped: told("projected"), spared: told("secret") }
}
