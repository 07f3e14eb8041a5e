use super::*;
use crate::peer::test_leaf::{leaf, part};

const CN: &[u8] = &[0x55, 4, 3];
const OU: &[u8] = &[0x55, 4, 11];
const O: &[u8] = &[0x55, 4, 10];
const C: &[u8] = &[0x55, 4, 6];
const SERIAL: &[u8] = &[0x55, 4, 5];
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19];
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const T61: u8 = 0x14;
const IA5: u8 = 0x16;
const BMP: u8 = 0x1e;

fn names(names: &[(u8, &[u8])]) -> Option<Vec<String>> {
    of_leaf(&leaf(&[part(&[(CN, UTF8, b"a")])], &[names])).map(Into::into)
}

fn subject(parts: &[Vec<u8>]) -> Option<String> {
    let names = of_leaf(&leaf(parts, &[]))?;
    let [subject] = &*names else { panic!("{names:?}") };
    Some(subject.clone())
}

#[test]
fn uris_count_before_dns_names_and_these_before_the_subject() {
    let (dns, uri, email) =
        ((0x82, &b"a.example.org"[..]), (0x86, &b"spiffe://example.org/a"[..]), (0x81, &b"a@example.org"[..]));
    assert_eq!(names(&[dns, uri]).unwrap(), ["spiffe://example.org/a"]);
    assert_eq!(names(&[uri, uri, dns]).unwrap(), ["spiffe://example.org/a", "spiffe://example.org/a"]);
    assert_eq!(names(&[email, dns]).unwrap(), ["a.example.org"]);
    assert_eq!(names(&[email]).unwrap(), ["CN=a"]);
    assert_eq!(names(&[]).unwrap(), ["CN=a"]);
}

#[test]
fn a_leaf_of_which_a_name_cannot_be_read_has_none() {
    let dns = (0x82, &b"a.example.org"[..]);
    for odd in [(0x82, &b"\xff"[..]), (0x86, b"http://a b/"), (0x86, b":"), (0x87, b"12345"), (0x81, b"\xe9")] {
        assert_eq!(names(&[dns, odd]), None, "{odd:?}");
    }
    assert_eq!(of_leaf(&leaf(&[part(&[(CN, UTF8, b"a")])], &[&[dns], &[dns]])), None);
    assert_eq!(subject(&[part(&[(CN, PRINTABLE, b"a_b")])]), None);
    assert_eq!(subject(&[part(&[(CN, 0x1c, b"\0\0\0a")])]), None);
}

#[test]
fn a_subject_is_told_in_gos_order_with_its_escapes() {
    let all = [
        part(&[(CN, UTF8, b"first")]),
        part(&[(SERIAL, PRINTABLE, b"7")]),
        part(&[(EMAIL_ADDRESS, IA5, b"a@b")]),
        part(&[(DC, IA5, b"example")]),
        part(&[(OU, UTF8, b"x")]),
        part(&[(O, UTF8, b"Example, Inc."), (OU, UTF8, b"y")]),
        part(&[(C, PRINTABLE, b"DE")]),
        part(&[(CN, UTF8, b"last")]),
    ];
    assert_eq!(
        subject(&all).unwrap(),
        "SERIALNUMBER=7,CN=last,OU=x+OU=y,O=Example\\, Inc.,C=DE,0.9.2342.19200300.100.1.25=#13076578616d706c65,\
         1.2.840.113549.1.9.1=#0c03614062"
    );
    for (tag, octets, expected) in [
        (UTF8, &b"#a b "[..], "\\#a b\\ "),
        (UTF8, b"a\n\0", "a\n\0"),
        (T61, b"\xe9", "\u{e9}"),
        (BMP, b"\0a\x20\xac\0\0", "a\u{20ac}"),
    ] {
        assert_eq!(subject(&[part(&[(CN, tag, octets)])]).unwrap(), format!("CN={expected}"));
    }
    assert_eq!(subject(&[part(&[(CN, UTF8, b"")])]).unwrap(), "");
    assert_eq!(subject(&[]).unwrap(), "");
}

#[test]
fn a_uri_is_told_as_go_writes_it() {
    for (uri, expected) in [
        ("spiffe://example.org/ns/a/sa/b", "spiffe://example.org/ns/a/sa/b"),
        ("SPIFFE://Example.org/A", "spiffe://Example.org/A"),
        ("https://a.example.org:8443/p%2fq?r=%zz#s", "https://a.example.org:8443/p%2fq?r=%zz#s"),
        ("urn:a b%", "urn:a b%"),
        ("x:/a b\"", "x:/a%20b%22"),
        ("x://", "x:"),
        ("x:///p", "x:///p"),
        ("x://u:p%20q@h/#", "x://u:p%20q@h/"),
        ("x://[fe80::1%25en0]:1/", "x://[fe80::1%25en0]:1/"),
        ("a%3Ab c", "./a:b%20c"),
        ("//h/p", "//h/p"),
        ("", ""),
        ("*", "*"),
    ] {
        assert_eq!(uri::normal(uri).as_deref(), Some(expected), "{uri}");
    }
    for uri in [
        ":",
        "a:b\n",
        "1a:b",
        "x://h./",
        "x://h..i/",
        "x://a b/",
        "x://h:p/",
        "x:/%",
        "x://%41/",
        "x://[::1/",
        "x://[1.2.3.4]/",
    ] {
        assert_eq!(uri::normal(uri), None, "{uri}");
    }
}
