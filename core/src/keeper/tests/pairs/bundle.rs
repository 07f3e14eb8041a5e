//! The anchors, and the trust in what is served.

use evercert_fixtures::{BasicConstraints, IsCa};

use super::*;

pub(super) fn none() -> Pair {
    let files = good();
    pair(&Files { bundle: None, ..files.clone() }, &files)
}

pub(super) fn empty() -> Pair {
    let files = good();
    pair(&files.clone().with_bundle(""), &files)
}

pub(super) fn unusable() -> Pair {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let leaf = root.leaf();
    pair(&Files::of(&leaf, &[], &[&root, &leaf]), &Files::of(&leaf, &[], &[&root, &other]))
}

pub(super) fn constraint() -> Pair {
    let with_room_for = |intermediates| {
        let root = Entity::root_with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(intermediates)));
        let sub = root.sub_ca("sub", |_| {});
        Files::of(&sub.leaf(), &[&sub], &[&root])
    };
    pair(&with_room_for(0), &with_room_for(1))
}

/// The bundle is exchanged while the leaf stays.
pub(super) fn own_leaf() -> Pair {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let leaf = root.leaf();
    let told = |anchors: &[&Entity]| {
        let kept = Kept::of(&Files::of(&leaf, &[], &[&root]), dedicated);
        kept.swap(&Files::of(&leaf, &[], anchors)).told()
    };
    Pair { tripped: told(&[&other]), spared: told(&[&other, &root]) }
}

/// The issuer is exchanged, and with it what is beside the leaf.
pub(super) fn overlap() -> Pair {
    let (old, new) = (Entity::root("old"), Entity::root("new"));
    let told = |anchors: &[&Entity]| {
        let kept = Kept::of(&Files::of(&old.leaf(), &[], &[&old]), anything);
        kept.swap(&Files::of(&new.leaf(), &[], anchors)).told()
    };
    Pair { tripped: told(&[&new]), spared: told(&[&new, &old]) }
}
