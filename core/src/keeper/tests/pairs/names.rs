//! The names of the leaf.

use evercert_fixtures::SanType;

use super::*;

fn for_dns(name: &str) -> Files {
    let name = SanType::DnsName(name.try_into().unwrap());
    of_leaf(|leaf| leaf.subject_alt_names = vec![name])
}

fn for_uri(uri: &str) -> Files {
    let uri = SanType::URI(uri.try_into().unwrap());
    of_leaf(|leaf| leaf.subject_alt_names = vec![uri])
}

pub(super) fn none() -> Pair {
    pair(&of_leaf(|leaf| leaf.subject_alt_names.clear()), &good())
}

pub(super) fn unusable() -> Pair {
    pair(&for_dns("api.example.org."), &for_dns("api.example.org"))
}

pub(super) fn spiffe_id() -> Pair {
    pair(&for_uri("spiffe://example.org/"), &for_uri("spiffe://example.org/api"))
}

pub(super) fn missing() -> Pair {
    let wanting_it = |spec: &mut IdentitySpec| spec.expectations.dns_names = vec!["api.example.org".to_owned()];
    pair_for(wanting_it, &for_dns("www.example.org"), &for_dns("api.example.org"))
}
