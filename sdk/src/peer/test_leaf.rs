//! Leaves of any form, for tests: nobody signed them, and no CA would.

/// DER of this tag.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        _ => {
            der.push(0x80 | u8::try_from(length.len()).unwrap());
            der.extend_from_slice(length);
        }
    }
    der.extend_from_slice(content);
    der
}

/// An attribute of a name: the number of its kind in DER, the tag of its value, and its octets.
pub(crate) type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

/// A part of a name, with these attributes in this order.
pub(crate) fn part(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let attribute = |(kind, tag, octets): &Attribute<'_>| der(0x30, &[der(0x06, kind), der(*tag, octets)].concat());
    der(0x31, &attributes.iter().map(attribute).collect::<Vec<_>>().concat())
}

/// A leaf with a subject of these parts, and for each of `names` an extension with these subject alternative names: the tag and octets
/// of each.
pub(crate) fn leaf(subject: &[Vec<u8>], names: &[&[(u8, &[u8])]]) -> Vec<u8> {
    const ED25519: [u8; 7] = [0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
    let extension = |names: &&[(u8, &[u8])]| {
        let names = names.iter().map(|(tag, octets)| der(*tag, octets)).collect::<Vec<_>>().concat();
        der(0x30, &[der(0x06, &[0x55, 0x1d, 0x11]), der(0x04, &der(0x30, &names))].concat())
    };
    let mut tbs = vec![
        der(0xa0, &[0x02, 1, 2]),
        der(0x02, &[1]),
        ED25519.to_vec(),
        der(0x30, &part(&[(&[0x55, 4, 3], 0x0c, b"root")])),
        der(0x30, b"\x17\x0d250101000000Z\x17\x0d400101000000Z"),
        der(0x30, &subject.concat()),
        der(0x30, &[ED25519.to_vec(), der(0x03, &[0; 33])].concat()),
    ];
    if !names.is_empty() {
        tbs.push(der(0xa3, &der(0x30, &names.iter().map(extension).collect::<Vec<_>>().concat())));
    }
    der(0x30, &[der(0x30, &tbs.concat()), ED25519.to_vec(), der(0x03, &[0; 65])].concat())
}
