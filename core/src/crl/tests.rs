use evercert_fixtures::odd::crl::{CrlParts, delta, distribution_point, entry, extension, full_name, reason};
use evercert_fixtures::odd::element;
use evercert_fixtures::{Entity, HOUR, now};
use proptest::prelude::*;

use super::*;

/// An extension that nobody knows.
const UNKNOWN: &[u8] = &[0x2a, 3, 4, 5];

fn read(parts: &CrlParts) -> Result<Crl, CrlError> {
    Crl::from_der(&parts.signed_by(&Entity::root("root")))
}

#[test]
fn a_list_of_version_1_or_without_a_next_update_is_a_list() {
    let first = CrlParts { version: None, ..CrlParts::revoking(&[7]) };
    let endless = CrlParts { next_update: None, ..CrlParts::revoking(&[7]) };
    for (parts, next_update) in [(first, Some(now() + HOUR)), (endless, None)] {
        let crl = read(&parts).unwrap();
        assert!(crl.revokes(&[7]) && crl.revokes(&[0, 7]) && !crl.revokes(&[8]));
        assert_eq!((crl.revoked(), crl.next_update(), crl.this_update()), (1, next_update, now() - HOUR));
    }
    assert_eq!(read(&CrlParts { version: Some(2), ..CrlParts::default() }).unwrap_err(), CrlError::Version);
}

#[test]
fn what_has_to_be_understood_for_a_list_to_be_used_and_is_not_is_named() {
    let with = |extension| read(&CrlParts::revoking(&[7]).with(extension)).map(|crl| crl.revoked());
    assert_eq!(with(extension(UNKNOWN, true, &[5, 0])), Err(CrlError::CriticalExtension("1.2.3.4.5".to_owned())));
    assert_eq!(with(extension(UNKNOWN, false, &[5, 0])), Ok(1));
    let of_entry = |extension| {
        let parts = CrlParts { entries: vec![entry(6, &[]), entry(7, &[extension])], ..CrlParts::default() };
        read(&parts).map(|crl| crl.revoked())
    };
    let (serial, oid) = ("07".to_owned(), "1.2.3.4.5".to_owned());
    let unknown = CrlError::CriticalEntryExtension { serial: serial.clone(), oid };
    assert_eq!(of_entry(extension(UNKNOWN, true, &[5, 0])), Err(unknown));
    assert_eq!(of_entry(extension(UNKNOWN, false, &[5, 0])), Ok(2));
    assert_eq!(of_entry(reason(7)), Err(CrlError::Reason { serial, reason: 7 }));
    assert_eq!(of_entry(reason(1)), Ok(2));
    let other = of_entry(extension(&[0x55, 0x1d, 29], true, &element(0x30, &[]))).unwrap_err();
    assert!(matches!(other, CrlError::CriticalEntryExtension { .. }), "in a list that is not indirect: {other}");
    let attributes = distribution_point(&[element(0x85, &[0xff])]);
    assert_eq!(with(attributes), Err(CrlError::AttributeCertificates));
}

#[test]
fn a_list_is_read_to_its_last_entry_or_not_at_all() {
    for odd in [element(0x30, &[2, 1, 7]), element(4, &[7]), element(0x30, &[4, 1, 7]), vec![0x30, 9, 2, 1]] {
        let parts = CrlParts { entries: vec![entry(6, &[]), odd, entry(8, &[])], ..CrlParts::default() };
        assert!(matches!(read(&parts), Err(CrlError::Malformed(_))), "{parts:?}", parts = parts.entries);
    }
    let der = CrlParts::revoking(&[7]).signed_by(&Entity::root("root"));
    for length in 0..der.len() {
        assert!(Crl::from_der(&der[..length].to_vec().into()).is_err());
    }
    let trailing = [&der, &b"\n\n"[..]].concat().into();
    assert_eq!(Crl::from_der(&trailing).unwrap_err(), CrlError::SomethingFollows);
}

#[test]
fn a_number_that_breaks_the_rules_orders_lists_and_one_that_is_none_is_passed_over() {
    let number = |value: &[u8]| {
        let parts = CrlParts::revoking(&[7]).with(extension(&[0x55, 0x1d, 20], false, value));
        read(&parts).unwrap().number().map(<[u8]>::to_vec)
    };
    assert_eq!(number(&[2, 2, 0, 9]), Some(vec![9]));
    assert_eq!(number(&element(2, &[0x7f; 30])), Some(vec![0x7f; 30]));
    assert_eq!(number(&[4, 1, 9]), None);
    assert_eq!(number(&[]), None);
}

#[test]
fn a_delta_revokes_what_it_adds_and_not_what_it_takes_back() {
    let entries = vec![entry(6, &[reason(1)]), entry(7, &[reason(8)])];
    let crl = read(&CrlParts { entries: entries.clone(), ..CrlParts::default() }.with(delta())).unwrap();
    assert!(crl.scope().is_delta && crl.revokes(&[6]) && !crl.revokes(&[7]));
    assert_eq!((crl.revoked(), crl.taken_back()), (1, 1));
    let complete = read(&CrlParts { entries, ..CrlParts::default() }).unwrap();
    assert_eq!((complete.revoked(), complete.taken_back()), (2, 0));
}

#[test]
fn an_indirect_list_revokes_its_own_issuers_certificates_alone() {
    let another = extension(&[0x55, 0x1d, 29], true, &element(0x30, &[]));
    let entries = vec![entry(6, &[]), entry(7, &[another]), entry(8, &[])];
    let indirect = distribution_point(&[full_name("http://crl.example.org/x"), element(0x84, &[0xff])]);
    let crl = read(&CrlParts { entries, ..CrlParts::default() }.with(indirect)).unwrap();
    assert!(crl.revokes(&[6]) && !crl.revokes(&[7]) && !crl.revokes(&[8]), "8 is of the issuer that 7 names");
    assert_eq!((crl.revoked(), crl.of_others()), (1, 2));
}

#[test]
fn an_entry_of_an_indirect_list_that_names_the_lists_own_issuer_is_about_it() {
    let root = Entity::root("root");
    let (der, other) = (root.der(), Entity::root("other").der());
    let names = |der: &[u8]| {
        let subject = crate::certificate::parse(der).unwrap().subject().as_raw().to_vec();
        extension(&[0x55, 0x1d, 29], true, &element(0x30, &element(0xa4, &subject)))
    };
    let entries = vec![entry(5, &[names(&other)]), entry(6, &[]), entry(7, &[names(&der)]), entry(8, &[])];
    let indirect = distribution_point(&[full_name("http://crl.example.org/x"), element(0x84, &[0xff])]);
    let crl = Crl::from_der(&CrlParts { entries, ..CrlParts::default() }.with(indirect).signed_by(&root)).unwrap();
    let revoked = [5, 6, 7, 8].map(|serial| crl.revokes(&[serial]));
    assert_eq!((revoked, crl.of_others()), ([false, false, true, true], 2));
}

#[test]
fn a_date_that_says_nothing_of_who_is_revoked_is_no_reason_to_refuse_a_list() {
    let date = element(0x17, b"500101000000Z");
    let entries = vec![element(0x30, &[element(2, &[7]), date].concat())];
    assert!(read(&CrlParts { entries, ..CrlParts::default() }).unwrap().revokes(&[7]));
}

#[test]
fn an_extension_that_is_there_twice_is_named() {
    let number = extension(&[0x55, 0x1d, 20], false, &[2, 1, 9]);
    let doubled = read(&CrlParts::revoking(&[7]).with(number.clone()).with(number)).unwrap_err();
    assert_eq!(doubled, CrlError::DoubledExtension("2.5.29.20".to_owned()));
}

#[test]
fn a_list_is_for_whom_its_distribution_point_says() {
    let covers = |fields: &[Vec<u8>]| {
        let crl = read(&CrlParts::revoking(&[7]).with(distribution_point(fields))).unwrap();
        (crl.covers(false), crl.covers(true))
    };
    assert_eq!(covers(&[]), (true, true));
    assert_eq!(covers(&[element(0x81, &[0xff])]), (true, false));
    assert_eq!(covers(&[element(0x82, &[0xff])]), (false, true));
    assert_eq!(covers(&[full_name("http://crl.example.org/x"), element(0x83, &[5, 0x40])]), (true, true));
    let both = distribution_point(&[element(0x81, &[0xff]), element(0x82, &[0xff])]);
    assert!(matches!(read(&CrlParts::default().with(both)), Err(CrlError::Malformed(_))));
}

#[test]
fn no_error_is_told_by_the_name_of_a_variant() {
    for parts in [
        CrlParts::default().with(extension(UNKNOWN, true, &[])),
        CrlParts { version: Some(7), ..CrlParts::default() },
        CrlParts { entries: vec![vec![5, 0]], ..CrlParts::default() },
    ] {
        let sentence = read(&parts).unwrap_err().to_string();
        assert!(sentence.split(' ').count() > 4 && !sentence.contains('('), "{sentence}");
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_list_it_is_read_whole_or_not_at_all(at in 0_usize..400, to: u8, cut in 0_usize..400) {
        let parts = CrlParts { entries: (1..9).map(|n| entry(n, &[reason(1)])).collect(), ..CrlParts::default() };
        let mut der = parts.with(distribution_point(&[element(0x81, &[0xff])])).signed_by(&Entity::root("root")).to_vec();
        let (at, cut) = (at % der.len(), cut % der.len());
        der[at] = to;
        if let Ok(crl) = Crl::from_der(&der.clone().into()) {
            prop_assert_eq!(crl.revoked() + crl.taken_back() + crl.of_others(), 8);
        }
        der.truncate(cut);
        prop_assert!(Crl::from_der(&der.into()).is_err());
    }
}

#[test]
fn the_newer_list_is_the_later_one_and_of_one_second_that_of_the_greater_number() {
    let age = |hours, number: Option<&'static str>| Age::new(now() + hours * HOUR, number.map(str::as_bytes));
    let ascending =
        [age(0, Some("99")), age(1, None), age(1, Some("9")), age(1, Some("10")), age(1, Some("11")), age(2, None)];
    assert!(ascending.is_sorted_by(|older, newer| older < newer), "{ascending:?}");
    assert_eq!(age(1, Some("9")), age(1, Some("9")));
}
