//! Damage of PEM texts, and how the remains of a block are told.

use zeroize::Zeroizing;

use super::Label;
use super::boundary::KNOWN;
use super::remains::{self, Base64Lines};

/// The fewest dashes beside a keyword or label that are taken for those of a boundary.
const DASHES: usize = 2;

/// The fewest dashes at the front of a line that are taken for those of a boundary whose keyword cannot be read.
const DASHES_ALONE: usize = 4;

/// How many characters at the front of a line are looked at for the remains of a boundary.
const LINE_LIMIT: usize = 4096;

/// Damage of a PEM text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// A block that does not end.
    #[error("the {0} has no END line: the file is cut off; copy it again as a whole")]
    Unterminated(Label),
    /// A block that ends under another label.
    #[error("the {begin} ends as a {end}: a part between them is missing; copy the file again as a whole")]
    Mismatched {
        /// The label of its BEGIN line.
        begin: Label,
        /// The label of its END line.
        end: Label,
    },
    /// A block whose content is no base64.
    #[error("the {0} does not hold base64 alone; copy the file again as it was written")]
    NotBase64(Label),
    /// A block that is encrypted as RFC 1421 does it.
    #[error("the {0} is encrypted; decrypt it")]
    Encrypted(Label),
    /// A block under a label that nothing here comes under.
    #[error("there is a PEM block of an unknown kind; remove it, or correct its label")]
    UnknownLabel,
    /// An END without its BEGIN.
    #[error("there is the END line of a {0} without its BEGIN line; copy the file again as a whole")]
    StrayEnd(Label),
    /// The remains of a boundary.
    #[error("there is almost a BEGIN or END line; write it with five hyphens on both sides")]
    Boundary,
    /// Base64 in no block.
    #[error(
        "there is base64 outside of any PEM block, as of a block that lost its BEGIN line; remove it, or put it between BEGIN and END \
         lines"
    )]
    Base64,
    /// DER in hexadecimal in no block.
    #[error("there is DER in hexadecimal outside of any PEM block; remove it, or write it as PEM")]
    Hex,
    /// Bytes that no text has.
    #[error("there is binary data outside of any PEM block; remove it, or write it as PEM")]
    Binary,
    /// DER in a PEM text.
    #[error("there is binary DER among PEM blocks; remove it, or write it as PEM")]
    Der,
}

/// Damage in a text between blocks: what looks like a part of a block. Answers where the line of it begins.
pub(crate) fn outside(text: &[u8]) -> Option<(usize, Damage)> {
    if text.trim_ascii().is_empty() {
        return None;
    }
    if let Some(place) = text.windows(6).position(is_der) {
        return Some((place, Damage::Der));
    }
    // It may hold a part of a key.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_LIMIT));
    let mut lines = Base64Lines::default();
    let (mut start, mut offset) = (0, 0);
    let mut slashes = false;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().char_indices().map(|(place, char)| (place, plain(char)));
        let invalid = chunk.invalid().iter().enumerate();
        let invalid = invalid.map(|(place, byte)| (chunk.valid().len() + place, plain_byte(*byte)));
        for (place, byte) in valid.chain(invalid) {
            let Some(mut byte) = byte else { continue };
            if slashes && matches!(byte, b'n' | b'r') {
                line.pop();
                byte = b'\n';
            }
            slashes = byte == b'\\';
            if matches!(byte, b'\n' | b'\r') {
                if let Some(damage) = of_line(&line, start, &mut lines) {
                    return Some(damage);
                }
                line.clear();
                start = offset + place + 1;
            } else if line.len() < LINE_LIMIT {
                line.push(byte);
            } else if let Some(damage) = of_line(&line, start, &mut lines) {
                return Some(damage);
            } else {
                // A boundary or a run of base64 that begins before the limit goes on after it.
                let rest = line.len() - remains::LEAST;
                line.drain(..rest);
                line.push(byte);
            }
        }
        offset += chunk.valid().len() + chunk.invalid().len();
    }
    let last = of_line(&line, start, &mut lines);
    last.or_else(|| text.iter().position(is_binary).map(|place| (place, Damage::Binary)))
}

/// A control character that no text has. Padding of NUL and the end of a text in DOS are lawful; so is any letter of another encoding.
fn is_binary(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\0' | b'\t'..=b'\r' | 0x1a)
}

/// A SEQUENCE of 128 bytes or more that begins with another.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81, _, 0x30, ..] | [0x30, 0x82, _, _, 0x30, _])
}

/// A character as ASCII; none where it is not seen. Every dash that is no hyphen becomes `~`.
fn plain(char: char) -> Option<u8> {
    match char {
        '\0' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Some(b'~'),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some(b'\n'),
        char if char.is_ascii() => u8::try_from(char).ok(),
        char if char.is_whitespace() => Some(b' '),
        _ => Some(b'?'),
    }
}

/// The same of a byte that is no UTF-8: a dash in Windows-1252, or anything.
fn plain_byte(byte: u8) -> Option<u8> {
    Some(if matches!(byte, 0x96 | 0x97) { b'~' } else { b'?' })
}

fn of_line(line: &[u8], start: usize, lines: &mut Base64Lines) -> Option<(usize, Damage)> {
    let base64 = lines.take(line, start);
    if has_boundary(line) || is_misspelt(line) {
        Some((start, Damage::Boundary))
    } else if remains::has_start(line) {
        Some((start, Damage::Base64))
    } else if remains::is_hex_of_der(line) {
        Some((start, Damage::Hex))
    } else {
        base64.map(|start| (start, Damage::Base64))
    }
}

fn is_dash(byte: &u8) -> bool {
    matches!(byte, b'-' | b'~' | b'=' | b'_')
}

/// Whether BEGIN or END stands in a line as it stands in a boundary.
fn has_boundary(line: &[u8]) -> bool {
    [b"BEGIN".as_slice(), b"END"].iter().any(|keyword| {
        let places = line.windows(keyword.len()).enumerate();
        let mut places = places.filter(|(_, window)| window.eq_ignore_ascii_case(keyword)).map(|(place, _)| place);
        places.any(|place| {
            is_boundary(&line[..place], &line[place..place + keyword.len()], &line[place + keyword.len()..])
        })
    })
}

fn is_boundary(before: &[u8], keyword: &[u8], after: &[u8]) -> bool {
    if before.last().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let is_upper = keyword.iter().all(u8::is_ascii_uppercase);
    if is_upper && before.ends_with(b"-----") {
        return true;
    }
    let has_dashes_before = before.trim_ascii_end().iter().rev().take_while(|byte| is_dash(byte)).count() >= DASHES;
    let label = KNOWN.iter().filter_map(|known| after_label(after, known)).min_by_key(|rest| rest.len());
    let Some(rest) = label else { return false };
    let rest = rest.trim_ascii_start();
    let has_dashes_after = rest.iter().take_while(|byte| is_dash(byte)).count() >= DASHES;
    let is_alone = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (has_dashes_before || has_dashes_after || is_upper) && is_alone
}

/// The text after a label, whatever its case and its blanks.
fn after_label<'a>(text: &'a [u8], label: &str) -> Option<&'a [u8]> {
    let mut rest = text;
    for byte in label.bytes().filter(|byte| *byte != b' ') {
        match rest.trim_ascii_start() {
            [first, after @ ..] if first.eq_ignore_ascii_case(&byte) => rest = after,
            _ => return None,
        }
    }
    Some(rest)
}

/// Whether a line is a label between dashes, with something else than BEGIN or END before it.
fn is_misspelt(line: &[u8]) -> bool {
    let is_dash = |byte: &&u8| matches!(byte, b'-' | b'~');
    let line = line.trim_ascii();
    let before = line.iter().take_while(is_dash).count();
    let after = line.iter().rev().take_while(is_dash).count();
    let text = line.get(before..line.len() - after).unwrap_or_default().trim_ascii();
    before >= DASHES_ALONE && after >= DASHES && KNOWN.iter().any(|known| text.ends_with(known.as_bytes()))
}
