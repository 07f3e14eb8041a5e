use super::*;

const ID: &str = "spiffe://example.org/api";

fn wanting_id() -> IdentitySpec {
    let mut spec = spec();
    spec.expectations.uris = vec![ID.to_owned()];
    spec
}

fn with(uris: &[&str]) -> impl Fn(&mut CertificateParams) {
    let names: Vec<_> = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    move |leaf| leaf.subject_alt_names.clone_from(&names)
}

#[test]
fn a_leaf_with_one_spiffe_id_that_has_a_path_or_with_other_uris_is_admitted_without_a_word() {
    assert_eq!(judge(&wanting_id(), with(&[ID])).told(), []);
    assert_eq!(judge(&spec(), with(&[ID])).told(), []);
    assert_eq!(judge(&spec(), with(&["https://a.example.org", "https://b.example.org/"])).told(), []);
}

#[test]
fn what_is_no_svid_is_rejected_where_one_is_asked_for_and_a_warning_elsewhere() {
    let long = format!("spiffe://example.org/{}", "a".repeat(2048));
    for (uris, word) in [
        (&["spiffe://example.org/"][..], "whose path is the root"),
        (&["spiffe://example.org"], "nobody in it"),
        (&[ID, "spiffe://example.org/other"], "2 URIs"),
        (&[ID, "https://example.org"], "2 URIs"),
        (&["spiffe://Example.org/api"], "capital letters"),
        (&["SPIFFE://example.org/api"], "capital letters"),
        (&["spiffe://example.org:8443/api"], "a port or a user"),
        (&["spiffe://user@example.org/api"], "a port or a user"),
        (&["spiffe://example.org/api?a=b"], "a query or a fragment"),
        (&["spiffe://example.org/api#a"], "a query or a fragment"),
        (&["spiffe://example.org//api"], "segments that no ID has"),
        (&["spiffe://example.org/api/"], "segments that no ID has"),
        (&[long.as_str()], "longer than 2048"),
    ] {
        let assessment = judge(&spec(), with(uris));
        assessment.admits_with(Check::SpiffeId, Severity::Warn);
        assert!(assessment.findings[0].sentence.contains(word), "{}", assessment.findings[0].sentence);
        let told = judge(&wanting_id(), with(uris)).told();
        assert!(told.contains(&(Check::SpiffeId, Severity::Reject)), "{told:?}");
    }
}

#[test]
fn a_key_usage_that_is_absent_or_says_what_only_a_ca_may_rejects_an_svid() {
    let absent = |leaf: &mut CertificateParams| {
        with(&[ID])(leaf);
        leaf.key_usages.clear();
    };
    judge(&wanting_id(), absent).rejects_credential_for(Check::KeyUsage);
    assert_eq!(judge(&spec(), absent).told(), []);
    let signs = |leaf: &mut CertificateParams| {
        with(&[ID])(leaf);
        leaf.key_usages.push(Ku::KeyCertSign);
    };
    judge(&wanting_id(), signs).rejects_credential_for(Check::LeafAuthority);
    judge(&spec(), signs).admits_with(Check::LeafAuthority, Severity::Warn);
}
