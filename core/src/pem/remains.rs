//! Base64 and hexadecimal outside of blocks: how the remains of a block are told from comments. Nothing of a text is kept, only counts.

use zeroize::Zeroizing;

/// The shortest run of base64 that is taken for the beginning of a structure in DER.
const START: usize = 16;

/// The least base64 that is taken for a part of a block, in one line or in lines of one width: RFC 7468 §2 has lines of 64.
pub(super) const LEAST: usize = 60;

/// The most `=` that base64 ends with (RFC 4648 §4).
const PADDING: usize = 2;

/// The fewest bytes in hexadecimal that are taken for the beginning of a structure in DER.
const HEX: usize = 12;

/// How many characters of a line are looked at for hexadecimal: an offset, and a few bytes with what is between them.
const HEX_LIMIT: usize = 128;

/// Whether a line has a run of base64 that begins as a structure of 128 bytes or more does, or a PEM text.
pub(super) fn has_start(line: &[u8]) -> bool {
    line.split(|byte| !is_base64(*byte)).filter(|run| run.len() >= START).any(|run| {
        let shape = Shape::of(run);
        match run {
            // No word begins like this.
            [b'M', b'I', b'I', ..] => shape.upper && shape.lower,
            [b'M', b'I', b'G' | b'H', _, b'M', ..] | [b'M', b'I', b'G' | b'H', _, b'A', b'g', b'E', ..] => {
                shape.upper && shape.lower
            }
            [b'M', b'I', b'G' | b'H' | b'M', ..] => shape.is_mixed(),
            run => run.starts_with(b"LS0tLS1C") && shape.is_mixed(),
        }
    })
}

/// Whether a line begins as a structure in DER does that is written in hexadecimal, be it a dump with an offset before it.
pub(super) fn is_hex_of_der(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let line = &line[..line.len().min(HEX_LIMIT)];
    let zeros = line.iter().take_while(|byte| **byte == b'0').count();
    let after_offset = line[zeros..].strip_prefix(b":").unwrap_or(&line[zeros..]);
    let is_offset = zeros >= 4 && after_offset.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    let mut rest = if is_offset { after_offset } else { line };
    // They may be of a key.
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEX));
    while bytes.len() < HEX {
        rest = match rest {
            [b'0', b'x' | b'X', after @ ..] | [b'\\', b'x', after @ ..] => after,
            [b' ' | b'\t' | b':' | b',', after @ ..] => after,
            [high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    after
                }
                _ => return false,
            },
            _ => return false,
        };
    }
    // A SEQUENCE of 128 bytes or more, and in it another one, or the version of a key.
    matches!(bytes[..], [0x30, 0x81, _, 0x30, ..] | [0x30, 0x82, _, _, 0x30, ..])
        || matches!(bytes[..], [0x30, 0x81, _, 2, 1, ..] | [0x30, 0x82, _, _, 2, 1, ..])
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Of base64 and of base64url (RFC 4648 §5).
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Consecutive lines of nothing but base64, all of one width but the last.
#[derive(Default)]
pub(super) struct Base64Lines {
    /// The offset of the first.
    start: usize,
    /// The width of each; nought where no line may follow.
    width: usize,
    shape: Shape,
}

impl Base64Lines {
    /// Takes the next line, which begins at an offset. Answers where the lines begin that are a part of a block, if they are.
    pub(super) fn take(&mut self, line: &[u8], start: usize) -> Option<usize> {
        let line = line.trim_ascii();
        if line.is_empty() {
            // Also between a carriage return and a line feed.
            return None;
        }
        let padding = line.iter().rev().take_while(|byte| **byte == b'=').count();
        let content = &line[..line.len() - padding];
        if content.is_empty() || padding > PADDING || !content.iter().all(|byte| is_base64(*byte)) {
            self.width = 0;
            return None;
        }
        let follows = self.width >= line.len();
        if !follows {
            *self = Self { start, width: line.len(), shape: Shape::default() };
        }
        self.shape.extend(content);
        if line.len() < self.width || padding > 0 {
            self.width = 0;
        }
        let is_whole = if padding > 0 { line.len().is_multiple_of(4) } else { line.len() % 4 != 1 };
        // One line alone may as well be a path, or a name of several words.
        let is_name = content.starts_with(b"/") || content.iter().any(|byte| matches!(byte, b'-' | b'_'));
        let is_plausible = follows || (is_whole && !is_name);
        let is_part = self.shape.length >= LEAST && self.shape.is_mixed() && self.shape.is_varied();
        (is_plausible && is_part).then_some(self.start)
    }
}

/// The composition of a run of base64.
#[derive(Default)]
struct Shape {
    length: usize,
    upper: bool,
    lower: bool,
    digit: bool,
    /// It is no hexadecimal.
    beyond_hex: bool,
    /// How often an upper-case letter, a lower-case letter or a digit follows one of another of these kinds.
    changes: usize,
    slashes: usize,
    last: Option<Class>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
}

impl Shape {
    fn of(run: &[u8]) -> Self {
        let mut shape = Self::default();
        shape.extend(run);
        shape
    }

    fn extend(&mut self, run: &[u8]) {
        self.length += run.len();
        for byte in run {
            self.slashes += usize::from(*byte == b'/');
            self.beyond_hex |= !byte.is_ascii_hexdigit();
            let class = match byte {
                b'A'..=b'Z' => Class::Upper,
                b'a'..=b'z' => Class::Lower,
                b'0'..=b'9' => Class::Digit,
                _ => continue,
            };
            self.upper |= class == Class::Upper;
            self.lower |= class == Class::Lower;
            self.digit |= class == Class::Digit;
            self.changes += usize::from(self.last.is_some_and(|last| last != class));
            self.last = Some(class);
        }
    }

    fn is_mixed(&self) -> bool {
        self.upper && self.lower && self.digit && self.beyond_hex
    }

    /// Words, also those of a path and with a capital each, change less: one time in four characters is rare in base64, and so
    /// is a slash in eight.
    fn is_varied(&self) -> bool {
        self.changes * 4 >= self.length && self.slashes * 8 <= self.length
    }
}
