//! A subject as Go writes it (`pkix.Name.String`): nearly RFC 2253's form.

use std::fmt::Write as _;

use x509_parser::asn1_rs::Tag;
use x509_parser::x509::X509Name;

/// The attributes that have a name, in the order of the text. They are under 2.5.4, by their last number.
const NAMED: [(u8, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (11, "OU"),
    (10, "O"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (7, "L"),
    (8, "ST"),
    (6, "C"),
];

/// What the number of every attribute in [`NAMED`] begins with, in DER: 2.5.4.
const ATTRIBUTES: [u8; 2] = [0x55, 4];

/// The text of a subject: what has a name, the values of one kind joined by `+` and the kinds in one order whatever theirs is, and then
/// what has none, the last first. Of common names and serial numbers the last one counts. `None` if Go would not read a value.
pub(super) fn text(subject: &X509Name<'_>) -> Option<String> {
    let mut named: [Vec<String>; NAMED.len()] = Default::default();
    let mut others = Vec::new();
    for attribute in subject.iter_attributes() {
        let value = value(attribute.attr_value().tag(), attribute.attr_value().data)?;
        let kind = attribute.attr_type().as_bytes();
        let number = kind.strip_prefix(&ATTRIBUTES).and_then(|rest| <[u8; 1]>::try_from(rest).ok());
        let dotted = dotted(kind)?;
        match number.and_then(|[number]| NAMED.iter().position(|(named, _)| *named == number)) {
            Some(nth) => named[nth].push(value),
            None => others.push(format!("{dotted}=#{}", hexadecimal(&value))),
        }
    }
    let mut parts = Vec::new();
    for ((_, name), mut values) in NAMED.iter().zip(named) {
        if matches!(*name, "CN" | "SERIALNUMBER") {
            values = values.pop().filter(|value| !value.is_empty()).into_iter().collect();
        }
        if !values.is_empty() {
            let values = values.iter().map(|value| format!("{name}={}", escaped(value))).collect::<Vec<_>>();
            parts.push(values.join("+"));
        }
    }
    parts.extend(others.into_iter().rev());
    Some(parts.join(","))
}

/// The text of a value, if it is of a type and form that Go reads.
fn value(tag: Tag, octets: &[u8]) -> Option<String> {
    let is_of = |is_allowed: fn(&u8) -> bool| octets.iter().all(is_allowed);
    match tag {
        // Latin-1, as most of the world takes it.
        Tag::T61String => return Some(octets.iter().copied().map(char::from).collect()),
        Tag::BmpString => return basic_multilingual(octets),
        Tag::PrintableString if is_of(|byte| is_printable(*byte) || matches!(byte, b'*' | b'&')) => {}
        Tag::Ia5String if is_of(u8::is_ascii) => {}
        Tag::NumericString if is_of(|byte| byte.is_ascii_digit() || *byte == b' ') => {}
        Tag::Utf8String => {}
        _ => return None,
    }
    String::from_utf8(octets.to_vec()).ok()
}

/// UCS-2, of which a zero at the end is no part.
fn basic_multilingual(octets: &[u8]) -> Option<String> {
    let (pairs, []) = octets.as_chunks::<2>() else { return None };
    let pairs = pairs.strip_suffix(&[[0, 0]]).unwrap_or(pairs);
    let is_no_character = |point| matches!(point, 0xfffe | 0xffff | 0xfdd0..=0xfdef);
    pairs
        .iter()
        .map(|pair| Some(u16::from_be_bytes(*pair)).filter(|point| !is_no_character(*point)))
        .map(|point| char::from_u32(point?.into()))
        .collect()
}

/// Whether a PrintableString may hold it (X.680 §41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// A value as DER in hexadecimal: a PrintableString if it can be one, else a UTF8String, whatever it was.
fn hexadecimal(value: &str) -> String {
    let tag = if value.bytes().all(is_printable) { Tag::PrintableString } else { Tag::Utf8String };
    let mut der = vec![tag.0.to_be_bytes()[3]];
    match value.len().to_be_bytes() {
        [0, 0, 0, 0, 0, 0, 0, short @ 0..=0x7f] => der.push(short),
        length => {
            let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            der.push(0x80 | length.len().to_be_bytes()[7]);
            der.extend_from_slice(length);
        }
    }
    der.extend_from_slice(value.as_bytes());
    der.iter().fold(String::with_capacity(2 * der.len()), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// The number of an attribute's kind, with dots; `None` for one that Go would not read.
fn dotted(kind: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut rest = kind;
    while !rest.is_empty() {
        let length = 1 + rest.iter().position(|byte| byte & 0x80 == 0)?;
        let (number, after) = rest.split_at(length);
        rest = after;
        if number[0] == 0x80 || length > 5 {
            return None;
        }
        let number = number.iter().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
        numbers.push(i32::try_from(number).ok()?);
    }
    let (first, rest) = numbers.split_first()?;
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - 40 * root);
    rest.iter().for_each(|number| _ = write!(text, ".{number}"));
    Some(text)
}

/// A value with RFC 2253's escapes, which leave alone what is not seen.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (at, char) in value.char_indices() {
        let is_escaped = match char {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == value.len() - 1,
            '#' => at == 0,
            _ => false,
        };
        escaped.extend(is_escaped.then_some('\\'));
        escaped.push(char);
    }
    escaped
}
