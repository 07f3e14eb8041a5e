//! PEM (RFC 7468), read so that no byte of a key is left behind: every buffer that may hold one is wiped.
//!
//! A boundary is found wherever it stands, in a line of its own or not: what lost its line breaks on the way is read all the same.
//! Text that looks like a part of a block and is none is damage: a certificate that is not recognised must not be missing in silence.
//! Nothing of a text is ever quoted but labels that are known.

mod boundary;
mod damage;
mod remains;

use std::fmt;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use boundary::{Boundary, Side};

pub(crate) use damage::{Damage, outside};

/// One block.
pub(crate) struct Block {
    /// One of the labels that are known.
    pub(crate) label: &'static str,
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// The line of its BEGIN, counted from 1.
    pub(crate) line: usize,
}

/// A text that is no PEM, or not only. Carries nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("in line {line}, {damage}")]
pub(crate) struct PemError {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The damage.
    pub(crate) damage: Damage,
}

/// A label as it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) Option<&'static str>);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(label) => write!(f, "PEM block \"{label}\""),
            None => f.write_str("PEM block of an unknown kind"),
        }
    }
}

/// Whether there is a boundary at all.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    boundary::find(bytes, 0).is_some()
}

/// The labels of the blocks that begin in a text, known or not, whatever is in them.
pub(crate) fn labels(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let next = |after: usize| boundary::find(bytes, after);
    let boundaries = std::iter::successors(next(0), move |boundary| next(boundary.end));
    boundaries.filter(|boundary| boundary.side == Side::Begin).map(|boundary| boundary.raw)
}

/// The blocks, in their order. Text around and between them is passed over unless it looks like the remains of another one.
pub(crate) fn blocks(bytes: &[u8]) -> impl Iterator<Item = Result<Block, PemError>> {
    let mut offset = Some(0);
    // Counted on from the last error: there may be as many as there are blocks.
    let mut lines = LineCounter::of(bytes);
    std::iter::from_fn(move || {
        let start = offset?;
        let mut at = |place: usize, damage| PemError { line: lines.at(place), damage };
        let begin = boundary::find(bytes, start);
        let end = begin.as_ref().map_or(bytes.len(), |begin| begin.start);
        // Nothing after damage is worth its own word.
        offset = None;
        if let Some((place, damage)) = outside(&bytes[start..end]) {
            return Some(Err(at(start + place, damage)));
        }
        let begin = begin?;
        if begin.side == Side::End {
            return Some(Err(at(begin.start, Damage::StrayEnd(Label(begin.label)))));
        }
        match block(bytes, &begin) {
            Ok((label, der, end)) => {
                offset = Some(end);
                Some(Ok(Block { label, der, line: lines.at(begin.start) }))
            }
            Err((damage, end)) => {
                if let Damage::Encrypted(_) = damage {
                    offset = Some(end);
                }
                Some(Err(at(begin.start, damage)))
            }
        }
    })
}

/// The label of a block, its decoded content, and the offset of its end.
type BlockContent = (&'static str, Zeroizing<Vec<u8>>, usize);

fn block(bytes: &[u8], begin: &Boundary<'_>) -> Result<BlockContent, (Damage, usize)> {
    let label = Label(begin.label);
    let end = boundary::find(bytes, begin.end).filter(|end| end.side == Side::End);
    let end = end.ok_or((Damage::Unterminated(label), bytes.len()))?;
    if end.raw != begin.raw {
        return Err((Damage::Mismatched { begin: label, end: Label(end.label) }, end.end));
    }
    let known = begin.label.ok_or((Damage::UnknownLabel, end.end))?;
    let content = match headers(boundary::without_dashes(&bytes[begin.end..end.start])) {
        Headers::Encrypted => return Err((Damage::Encrypted(label), end.end)),
        Headers::End(content) => content,
    };
    if known.starts_with("PGP ") {
        // Its base64 ends with a checksum (RFC 9580 §6.1), and nothing here reads it.
        return Ok((known, Zeroizing::default(), end.end));
    }
    let der = base64(content).ok_or((Damage::NotBase64(label), end.end))?;
    Ok((known, der, end.end))
}

/// The headers that may precede the base64 of a block (RFC 1421 §4.4).
enum Headers<'a> {
    /// They say that the content is encrypted.
    Encrypted,
    /// The content after them.
    End(&'a [u8]),
}

fn headers(content: &[u8]) -> Headers<'_> {
    let contains = |part: &[u8]| content.windows(part.len()).any(|window| window == part);
    // Also where the line breaks are lost, and with them the ends of the headers.
    if contains(b"Proc-Type:") && contains(b"ENCRYPTED") {
        return Headers::Encrypted;
    }
    let mut rest = content;
    loop {
        let line = rest.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        let is_blank = line.trim_ascii().is_empty() && line.len() < rest.len();
        if !is_header(line) && !is_blank {
            return Headers::End(rest);
        }
        rest = rest.get(line.len() + 1..).unwrap_or_default();
    }
}

/// A name of letters, digits and hyphens, and a colon.
fn is_header(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
    let name = &line[..colon];
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// Decodes base64 among white space, and among line breaks that were written as `\n`. Nothing else may be between.
pub(crate) fn base64(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: a buffer that grows would leave copies behind.
    let mut base64 = Zeroizing::new(Vec::with_capacity(content.len()));
    let mut rest = content;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => {
                let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
                match rest.get(slashes)? {
                    b'n' | b'r' | b't' => rest = &rest[slashes + 1..],
                    _ => return None,
                }
            }
            byte if byte.is_ascii_whitespace() || *byte == b'\x0b' => {}
            byte => base64.push(*byte),
        }
    }
    let mut der = Zeroizing::new(vec![0; base64.len() / 4 * 3]);
    let length = Base64::decode(&*base64, &mut der).ok()?.len();
    der.truncate(length);
    Some(der)
}

/// The line of an offset, counted from 1, whatever ends lines.
pub(crate) fn line(bytes: &[u8], offset: usize) -> usize {
    LineCounter::of(bytes).at(offset)
}

/// Counts the lines of a text once.
struct LineCounter<'a> {
    bytes: &'a [u8],
    ends: u8,
    /// The offset up to which they are counted, and the line there.
    counted: (usize, usize),
}

impl<'a> LineCounter<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let ends = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
        Self { bytes, ends, counted: (0, 1) }
    }

    /// The line of an offset, which is none before the last that was asked for.
    fn at(&mut self, offset: usize) -> usize {
        let (from, line) = self.counted;
        let ends = self.bytes[from..offset].iter().filter(|byte| **byte == self.ends).count();
        self.counted = (offset, line + ends);
        line + ends
    }
}

#[cfg(test)]
mod tests;
