//! The certificates after the leaf, and the way to an anchor.

use evercert_fixtures::{CustomExtension, odd, pem};

use super::*;

const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

pub(super) fn leaf_not_first() -> Pair {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let swapped = Files::of(&sub, &[&leaf], &[&root]).with_key(leaf.key.serialize_pem());
    pair(&swapped, &Files::of(&leaf, &[&sub], &[&root]))
}

pub(super) fn order() -> Pair {
    let root = Entity::root("root");
    let one = root.sub_ca("one", |_| {});
    let two = one.sub_ca("two", |_| {});
    let leaf = two.leaf();
    pair(&Files::of(&leaf, &[&one, &two], &[&root]), &Files::of(&leaf, &[&two, &one], &[&root]))
}

pub(super) fn root() -> Pair {
    let root = Entity::root("root");
    let leaf = root.leaf();
    pair(&Files::of(&leaf, &[&root], &[&root]), &Files::of(&leaf, &[], &[&root]))
}

pub(super) fn untrusted() -> Pair {
    let (root, other) = (Entity::root("root"), Entity::root("other"));
    let leaf = root.leaf();
    pair(&Files::of(&leaf, &[], &[&other]), &Files::of(&leaf, &[], &[&other, &root]))
}

pub(super) fn weak_signature() -> Pair {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let leaf = sub.leaf();
    let files = Files::of(&leaf, &[&sub], &[&root]);
    let sha_1 = pem("CERTIFICATE", &odd::signed_with(&sub, &root, odd::ECDSA_WITH_SHA_1));
    pair(&files.clone().with_chain(leaf.pem() + &sha_1), &files)
}

pub(super) fn key_identifier() -> Pair {
    let another = CustomExtension::from_oid_content(AUTHORITY_KEY_IDENTIFIER, vec![0x30, 6, 0x80, 4, 1, 2, 3, 4]);
    pair(
        &of_leaf(|leaf| leaf.custom_extensions.push(another)),
        &of_leaf(|leaf| leaf.use_authority_key_identifier_extension = true),
    )
}

pub(super) fn name_constraints() -> Pair {
    let root = Entity::root("root");
    // permitted: DNS:localhost
    let value = [&[0x30, 15, 0xa0, 13, 0x30, 11, 0x82, 9][..], &b"localhost"[..]].concat();
    let constrained = |is_critical| {
        let sub = root.sub_ca("sub", |sub| {
            let mut extension = CustomExtension::from_oid_content(NAME_CONSTRAINTS, value.clone());
            extension.set_criticality(is_critical);
            sub.custom_extensions.push(extension);
        });
        Files::of(&sub.leaf(), &[&sub], &[&root])
    };
    pair(&constrained(false), &constrained(true))
}
