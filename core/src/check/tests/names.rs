//! The names of the leaf, which must be no authority.

use evercert_fixtures::{BasicConstraints, odd, pem};

use super::*;

fn named(names: &[&str]) -> impl Fn(&mut CertificateParams) {
    let names: Vec<_> = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    move |leaf| leaf.subject_alt_names.clone_from(&names)
}

fn wanting_dns(name: &str) -> IdentitySpec {
    let mut spec = spec();
    spec.expectations.dns_names = vec![name.to_owned()];
    spec
}

#[test]
fn a_leaf_that_is_a_ca_is_rejected() {
    judge(&spec(), |leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
        .rejects_credential_for(Check::LeafIsCa);
}

#[test]
fn a_leaf_that_may_sign_or_constrains_names_is_a_warning() {
    for usage in [Ku::KeyCertSign, Ku::CrlSign] {
        let signs = |leaf: &mut CertificateParams| leaf.key_usages.push(usage);
        let assessment = judge(&spec(), signs);
        assessment.admits_with(Check::LeafAuthority, Severity::Warn);
        assert!(!assessment.findings[0].sentence.contains("X509-SVID"));
        let assessment = judge(&spec(), |leaf| {
            signs(leaf);
            leaf.subject_alt_names = vec![SanType::URI("spiffe://example.org/api".try_into().unwrap())];
        });
        assessment.admits_with(Check::LeafAuthority, Severity::Warn);
        assert!(assessment.findings[0].sentence.contains("X509-SVID"));
    }
    // permitted: DNS:localhost
    let constraints = vec![0x30, 15, 0xa0, 13, 0x30, 11, 0x82, 9, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't'];
    let constrains = |leaf: &mut CertificateParams| {
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], constraints));
    };
    judge(&spec(), constrains).admits_with(Check::LeafAuthority, Severity::Warn);
}

#[test]
fn a_leaf_without_names_is_rejected_for_servers_and_a_warning_for_clients() {
    let nameless = |leaf: &mut CertificateParams| leaf.subject_alt_names.clear();
    judge(&wanting(&[Usage::ServerAuth]), nameless).rejects_credential_for(Check::NoSan);
    judge(&wanting(&[Usage::ClientAuth]), nameless).admits_with(Check::NoSan, Severity::Warn);
    judge(&spec(), nameless).admits_with(Check::NoSan, Severity::Warn);
}

#[test]
fn configured_names_must_be_among_the_leafs() {
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    let named = |leaf: &mut CertificateParams| {
        leaf.subject_alt_names = vec![
            SanType::DnsName("API.example.org".try_into().unwrap()),
            SanType::IpAddress(address),
            SanType::URI("spiffe://example.org/api".try_into().unwrap()),
        ];
    };
    let mut spec = spec();
    spec.expectations.dns_names = vec!["api.Example.org".to_owned()];
    spec.expectations.ip_addresses = vec![address];
    spec.expectations.uris = vec!["spiffe://example.org/api".to_owned()];
    assert_eq!(judge(&spec, named).told(), []);

    for change in [
        (|e| e.dns_names.push("www.example.org".to_owned())) as fn(&mut crate::spec::Expectations),
        |e| e.ip_addresses.push("192.0.2.1".parse().unwrap()),
        |e| e.uris.push("spiffe://example.org/API".to_owned()),
    ] {
        let mut spec = spec.clone();
        change(&mut spec.expectations);
        judge(&spec, named).rejects_credential_for(Check::NameMissing);
    }
}

#[test]
fn a_wildcard_covers_one_whole_label() {
    let mut spec = spec();
    let mut covers = |presented: &str, wanted: &str| {
        spec.expectations.dns_names = vec![wanted.to_owned()];
        let name = SanType::DnsName(presented.try_into().unwrap());
        judge(&spec, |leaf| leaf.subject_alt_names = vec![name]).admits()
    };
    assert!(covers("*.example.org", "api.example.org"));
    assert!(covers("*.example.org", "API.EXAMPLE.org."));
    assert!(covers("api.example.org", "api.example.org."));
    assert!(covers("*.example.org", "*.example.org"));
    assert!(!covers("*.example.org", "example.org"));
    assert!(!covers("*.example.org", "a.b.example.org"));
    assert!(!covers("*.example.org", ".example.org"));
    assert!(!covers("*.b.example.org", "*.example.org"));
    assert!(!covers("api.example.org", "*.example.org"));
    assert!(!covers("a*.example.org", "api.example.org"));
    assert!(!covers("*.org", "example.org"));
}

#[test]
fn a_configured_name_that_the_leaf_has_in_an_odd_form_is_told_with_it() {
    let refused = |wanted: IdentitySpec, presented: &str, word: &str| {
        let assessment = judge(&wanted, named(&[presented, "localhost"]));
        assessment.rejects_credential_for(Check::NameMissing);
        assert!(assessment.findings[0].sentence.contains(word), "{}", assessment.findings[0].sentence);
    };
    refused(wanting_dns("api.example.org"), "api.example.org.", "ends in a dot");
    refused(wanting_dns("192.0.2.1"), "192.0.2.1", "an IP address in the place of a DNS name");
    let mut address = spec();
    address.expectations.ip_addresses = vec!["192.0.2.1".parse().unwrap()];
    refused(address, "192.0.2.1", "an IP address in the place of a DNS name");
    refused(wanting_dns("api.example.org"), "www.example.org", "is not for the DNS name");
}

#[test]
fn names_that_nobody_can_ask_for_are_a_warning_where_there_is_no_other_and_else_worth_a_word() {
    for (odd, word) in [
        ("api.example.org.", "ends in a dot"),
        ("192.0.2.1", "in the place of a DNS name"),
        ("an example", "a blank"),
        ("https://example.org", "a URL"),
        ("example.org:443", "a port"),
        ("a\0b", "a NUL"),
        ("a*.example.org", "a wildcard"),
        ("-.example.org", "no valid DNS name"),
    ] {
        judge(&spec(), named(&[odd])).admits_with(Check::NameUnusable, Severity::Warn);
        let assessment = judge(&spec(), named(&["localhost", odd]));
        assessment.admits_with(Check::NameUnusable, Severity::Info);
        assert!(assessment.findings[0].sentence.contains(word), "{}", assessment.findings[0].sentence);
    }
    let beside = |leaf: &mut CertificateParams| {
        named(&["192.0.2.1"])(leaf);
        leaf.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
    };
    assert_eq!(judge(&spec(), beside).told(), []);
}

#[test]
fn a_leaf_without_names_is_told_once_where_names_are_configured() {
    let nameless = |leaf: &mut CertificateParams| leaf.subject_alt_names.clear();
    let wanted = |usage| {
        let mut spec = wanting_dns("api.example.org");
        spec.expectations.usages = vec![usage];
        spec
    };
    judge(&wanted(Usage::ServerAuth), nameless).rejects_credential_for(Check::NoSan);
    judge(&wanted(Usage::ClientAuth), nameless).rejects_credential_for(Check::NameMissing);
}

#[test]
fn names_that_go_refuses_a_leaf_for_are_a_warning() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let judge = |critical: bool, names: &[u8]| {
        let value = [&[0x30, u8::try_from(names.len()).unwrap()], names].concat();
        let der = odd::altered(&leaf, &root, odd::value_of(odd::SUBJECT_ALT_NAME, critical, &value));
        judge_files(&spec(), &Files::of(&leaf, &[], &[&root]).with_chain(pem("CERTIFICATE", &der)))
    };
    let good = [0x82, 1, b'a'];
    for (odd, word) in [
        (&[0x87, 5, 1, 2, 3, 4, 5][..], "an IP address of 5 octets"),
        (&[0x82, 3, b'e', 0xc3, 0xa9], "which is not in ASCII"),
        (&[0x82, 2, b'e', 0xe9], "a name that is not in ASCII"),
        (&[0x86, 5, b'x', b':', b'/', 0xc3, 0xa9], "which is not in ASCII"),
    ] {
        let assessment = judge(false, &[odd, &good].concat());
        assessment.admits_with(Check::NameUnusable, Severity::Warn);
        assert!(assessment.findings[0].sentence.contains(word), "{}", assessment.findings[0].sentence);
    }
    assert_eq!(judge(true, &good).told(), []);
    let nameless = (Check::NoSan, Severity::Warn);
    assert_eq!(judge(true, &[]).told(), [nameless, (Check::NameUnusable, Severity::Warn)]);
    assert_eq!(judge(false, &[]).told(), [nameless]);
}
