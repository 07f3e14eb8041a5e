//! The leaf: what it may be used for, and whether peers can read it.

use evercert_fixtures::{
    BasicConstraints, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, KeyUsagePurpose as Ku, odd, pem,
};

use super::*;
use crate::spec::Usage;

fn wanting(usages: &'static [Usage]) -> impl Fn(&mut IdentitySpec) {
    move |spec| spec.expectations.usages = usages.to_vec()
}

/// A leaf whose certificate was changed in its DER.
fn altered(change: impl FnOnce(&mut Vec<odd::Element>)) -> Files {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let chain = pem("CERTIFICATE", &odd::altered(&leaf, &root, change));
    Files::of(&leaf, &[], &[&root]).with_chain(chain)
}

pub(super) fn unloadable() -> Pair {
    pair(&altered(odd::extension(odd::UNKNOWN_CRITICAL)), &altered(odd::extension(odd::UNKNOWN)))
}

pub(super) fn serial_number() -> Pair {
    pair(&altered(odd::serial(&[0])), &altered(odd::serial(&[1])))
}

pub(super) fn extended_key_usage() -> Pair {
    let of = |usages: &[Eku]| of_leaf(|leaf| leaf.extended_key_usages = usages.to_vec());
    let both = [Eku::ServerAuth, Eku::ClientAuth];
    pair_for(wanting(&[Usage::ServerAuth, Usage::ClientAuth]), &of(&both[..1]), &of(&both))
}

pub(super) fn key_usage() -> Pair {
    let of = |usages: &[Ku]| of_leaf(|leaf| leaf.key_usages = usages.to_vec());
    pair(&of(&[Ku::KeyEncipherment]), &of(&[Ku::KeyEncipherment, Ku::DigitalSignature]))
}

pub(super) fn client_auth_ending() -> Pair {
    let of_root_of = |organisation: &str| {
        let root = Entity::root_with("R10", |ca| ca.distinguished_name.push(DnType::OrganizationName, organisation));
        Files::of(&root.leaf(), &[], &[&root])
    };
    pair_for(wanting(&[Usage::ClientAuth]), &of_root_of("Let's Encrypt"), &of_root_of("Example"))
}

pub(super) fn ca() -> Pair {
    pair(
        &of_leaf(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        &of_leaf(|leaf| leaf.is_ca = IsCa::ExplicitNoCa),
    )
}

pub(super) fn authority() -> Pair {
    pair(&of_leaf(|leaf| leaf.key_usages.push(Ku::KeyCertSign)), &good())
}

/// cert-manager gives all of its temporary certificates one number.
pub(super) fn temporary() -> Pair {
    let root = Entity::root("cert-manager.local");
    let of = |serial| Files::of(&root.leaf_number(serial), &[], &[&root]);
    pair(&of(1_234_567_890), &of(1_234_567_891))
}
