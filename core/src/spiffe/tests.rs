use evercert_fixtures::odd::element;
use evercert_fixtures::{CustomExtension, Entity, SanType};
use proptest::prelude::*;

use super::*;

fn id(uri: &str) -> Option<SpiffeId> {
    uri.parse().ok()
}

#[test]
fn a_spiffe_id_is_taken_apart_into_trust_domain_and_path() {
    let whole = id("spiffe://example.org/ns/my-app/sa/Greeter_1").unwrap();
    assert_eq!((whole.trust_domain().as_str(), whole.path()), ("example.org", "/ns/my-app/sa/Greeter_1"));
    let bare = id("spiffe://example.org").unwrap();
    assert_eq!((bare.trust_domain().as_str(), bare.path()), ("example.org", ""));
}

#[test]
fn what_the_standard_forbids_is_no_spiffe_id() {
    for bad in [
        "",
        "spiffe:",
        "spiffe:/example.org/a",
        "spiffe://",
        "spiffe:///a",
        "SPIFFE://example.org/a",
        "https://example.org/a",
        "spiffe://Example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://example.org:/a",
        "spiffe://user@example.org/a",
        "spiffe://@example.org/a",
        "spiffe://[::1]/a",
        "spiffe://exämple.org/a",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org/a//b",
        "spiffe://example.org//a",
        "spiffe://example.org/./a",
        "spiffe://example.org/../a",
        "spiffe://example.org/a/..",
        "spiffe://example.org?b",
        "spiffe://example.org#b",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a b",
        "spiffe://example.org/a\0",
        "spiffe://example.org/a\n",
        "spiffe://example.org/ä",
        "spiffe://example.org/%61",
        " spiffe://example.org/a",
    ] {
        assert_eq!(id(bad), None, "{bad}");
    }
}

#[test]
fn ids_and_trust_domains_are_bounded_in_length() {
    let of_length =
        |length: usize| format!("spiffe://example.org/{}", "x".repeat(length - "spiffe://example.org/".len()));
    assert!(id(&of_length(SPIFFE_ID_LIMIT)).is_some() && id(&of_length(SPIFFE_ID_LIMIT + 1)).is_none());
    let name = |length| "x".repeat(length);
    assert!(name(TRUST_DOMAIN_LIMIT).parse::<TrustDomain>().is_ok());
    assert!(name(TRUST_DOMAIN_LIMIT + 1).parse::<TrustDomain>().is_err() && name(0).parse::<TrustDomain>().is_err());
    assert!(id(&format!("spiffe://{}/a", name(TRUST_DOMAIN_LIMIT))).is_some());
    assert!(id(&format!("spiffe://{}/a", name(TRUST_DOMAIN_LIMIT + 1))).is_none());
    let InvalidSpiffeId(repeated) = name(100_000).parse::<SpiffeId>().unwrap_err();
    assert_eq!(repeated.len(), NAMED_IN_ERRORS);
}

fn leaf_of(uris: &[&str]) -> Vec<u8> {
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    Entity::self_signed(|leaf| leaf.subject_alt_names.extend(uris)).der().to_vec()
}

/// A leaf whose subject alternative names are these elements.
fn leaf_with_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, value)| element(*tag, value)).collect();
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], element(0x30, &names));
    let leaf = Entity::root("root").leaf_with(|leaf| {
        leaf.subject_alt_names.clear();
        leaf.custom_extensions.push(extension);
    });
    leaf.der().to_vec()
}

#[test]
fn a_leaf_has_an_id_if_its_only_uri_is_one_with_a_path() {
    let one = leaf_of(&["spiffe://example.org/a"]);
    assert_eq!(SpiffeId::of_leaf(&one), id("spiffe://example.org/a"));
    assert_eq!(TrustDomain::claimed_by(&one), "example.org".parse().ok());
    for none in [&[][..], &["https://example.org/a"], &["spiffe://example.org/a", "spiffe://example.org/a"]] {
        let leaf = leaf_of(none);
        assert_eq!((SpiffeId::of_leaf(&leaf), TrustDomain::claimed_by(&leaf)), (None, None), "{none:?}");
    }
}

#[test]
fn an_id_without_a_path_is_no_leafs_but_says_whose_bundle_would_have_to_vouch_for_it() {
    let bare = leaf_of(&["spiffe://example.org"]);
    assert_eq!((SpiffeId::of_leaf(&bare), TrustDomain::claimed_by(&bare)), (None, "example.org".parse().ok()));
}

#[test]
fn a_second_uri_that_is_no_text_leaves_no_id() {
    let (uri, dns) = (0x86, 0x82);
    let id_alone = leaf_with_names(&[(dns, b"a.example.org"), (uri, b"spiffe://example.org/a")]);
    assert_eq!(SpiffeId::of_leaf(&id_alone), id("spiffe://example.org/a"));
    let two = leaf_with_names(&[(uri, b"spiffe://example.org/a"), (uri, b"\xff\xfe")]);
    assert_eq!((SpiffeId::of_leaf(&two), TrustDomain::claimed_by(&two)), (None, None));
    assert_eq!(SpiffeId::of_leaf(&leaf_with_names(&[(uri, b"spiffe://example.org/\xff")])), None);
}

#[test]
fn what_is_no_certificate_has_no_id() {
    for der in [&b""[..], b"\x30", b"\x30\x80", &[0xff; 64]] {
        assert_eq!(SpiffeId::of_leaf(der), None);
    }
}

fn segment() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._-]{1,24}".prop_filter("dots alone", |segment| !matches!(segment.as_str(), "." | ".."))
}

proptest! {
    #[test]
    fn every_id_by_the_rules_is_read_and_given_back(
        name in "[a-z0-9._-]{1,255}",
        segments in prop::collection::vec(segment(), 0..20),
    ) {
        let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        let uri = format!("spiffe://{name}{path}");
        let read: SpiffeId = uri.parse().unwrap();
        prop_assert_eq!((read.trust_domain().as_str(), read.path(), read.as_str()), (&*name, &*path, &*uri));
    }

    #[test]
    fn what_is_read_keeps_the_rules(uri in "spiffe://[ -~ä]{0,40}|[ -~]{0,40}|spiffe://[a-z.:@]{0,4}(/[a-z.%]{0,3}){0,4}") {
        if let Ok(id) = uri.parse::<SpiffeId>() {
            let rebuilt = format!("{SCHEME}{}{}", id.trust_domain(), id.path());
            prop_assert_eq!(&rebuilt, &uri);
            prop_assert!(id.trust_domain().as_str().parse::<TrustDomain>().is_ok());
            prop_assert!(uri.is_ascii() && !uri.ends_with('/') && !uri.contains(['?', '#', '%', '@', ' ']));
            prop_assert!(id.path().split('/').skip(1).all(|segment| !matches!(segment, "" | "." | "..")));
        }
    }

    #[test]
    fn one_forbidden_character_anywhere_after_the_scheme_leaves_no_id(
        name in "[a-z0-9._-]{1,20}",
        path in "(/[a-z0-9]{1,8}){1,4}",
        forbidden in "[^a-zA-Z0-9._/-]",
        at in any::<prop::sample::Index>(),
    ) {
        let mut rest = format!("{name}{path}");
        rest.insert_str(at.index(rest.len() + 1), &forbidden);
        rest.insert_str(0, SCHEME);
        prop_assert!(rest.parse::<SpiffeId>().is_err());
    }

    #[test]
    fn no_bytes_make_a_reader_of_leaves_panic(
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        static LEAF: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| leaf_of(&["spiffe://example.org/a"]));
        let mut damaged = LEAF.clone();
        let at = at.index(damaged.len());
        damaged[at] = octet;
        _ = SpiffeId::of_leaf(&damaged);
        damaged.truncate(length.index(damaged.len()));
        _ = SpiffeId::of_leaf(&damaged);
    }
}
