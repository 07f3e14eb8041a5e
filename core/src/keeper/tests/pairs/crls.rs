//! The certificate revocation lists.

use evercert_fixtures::odd::crl::{CrlParts, delta};
use evercert_fixtures::{DAY, KeyUsagePurpose, pem};

use super::*;

/// Leaf number 7 of a root, beside a list.
fn beside(root: &Entity, list: &[u8]) -> Files {
    Files::of(&root.leaf_number(7), &[], &[root]).with_crl(pem("X509 CRL", list))
}

pub(super) fn revoked() -> Pair {
    let root = Entity::root("root");
    pair(&beside(&root, &root.crl(&[7], now())), &beside(&root, &root.crl(&[8], now())))
}

/// The next of these lists is promised for a day later.
pub(super) fn stale() -> Pair {
    let root = Entity::root("root");
    let of = |age: Duration| beside(&root, &root.crl(&[], now() - age));
    pair(&of(DAY + SECOND), &of(DAY))
}

pub(super) fn issuer() -> Pair {
    let by_one_that_may = |usages: &[KeyUsagePurpose]| {
        let root = Entity::root_with("root", |ca| ca.key_usages = usages.to_vec());
        beside(&root, &CrlParts::revoking(&[8]).signed_by(&root))
    };
    let both = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    pair(&by_one_that_may(&both[..1]), &by_one_that_may(&both))
}

pub(super) fn signature() -> Pair {
    let (root, namesake) = (Entity::root("root"), Entity::root("root"));
    pair(&beside(&root, &namesake.crl(&[8], now())), &beside(&root, &root.crl(&[8], now())))
}

pub(super) fn scope() -> Pair {
    let root = Entity::root("root");
    let list = CrlParts::revoking(&[8]);
    pair(&beside(&root, &list.clone().with(delta()).signed_by(&root)), &beside(&root, &list.signed_by(&root)))
}
