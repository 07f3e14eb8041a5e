//! Names and words of others where they become text: one line, without what is not seen, and of bounded length.
//!
//! The content of such a name is the choice of anyone who writes a certificate, names a process or a volume, or reports to the daemon. It
//! must not write lines into a log, move the cursor of a terminal, or turn the direction in which a line is read. Data stays as it is:
//! names are compared, and handed to programs, unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// The longest sentence that holds words of others, in bytes.
pub const SENTENCE_LIMIT: usize = 4096;

/// The longest single name or word of others in a text, in bytes.
pub const WORD_LIMIT: usize = 1024;

/// The longest line that holds words of others, in bytes with its end: what container runtimes keep in one piece.
pub const LINE_LIMIT: usize = 16 * 1024;

/// The mark where a text was cut.
const ELLIPSIS: char = '…';

/// Whether a character is not seen or acts on what shows it: a control of either set, a line or paragraph separator, a mark of direction,
/// or another one that Unicode has no glyph for (Cc, Zl, Zp, most of Cf, and what is to be ignored by default).
#[must_use]
pub fn is_unseen(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_control();
    }
    matches!(
        char,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The text on one line: what is not seen is written out, as `\n` or `\u{202e}`. A second time it changes nothing.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            // Rust's own escapes: `\n`, `\r`, `\t`, `\u{…}`.
            char if is_unseen(char) => plain.extend(char.escape_default()),
            char => plain.push(char),
        }
    }
    Cow::Owned(plain)
}

/// The same for a line, of less than [`LINE_LIMIT`] bytes.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    match plain(text) {
        line if line.len() < LINE_LIMIT => line,
        line => bounded(line, LINE_LIMIT - 1).into(),
    }
}

/// The same for text of several lines, which stay lines.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A JSON text as one that means the same, in whose strings what is not seen is written as `\u202e`. Line breaks between its tokens stay.
#[must_use]
pub fn json(json: &str) -> Cow<'_, str> {
    let is_raw = |char| char != '\n' && is_unseen(char);
    if !json.contains(is_raw) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if is_raw(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(char);
        }
    }
    Cow::Owned(text)
}

/// The text on one line as [`plain`] has it, for one word or name, of at most [`WORD_LIMIT`] bytes.
#[must_use]
pub fn word(text: &str) -> String {
    bounded(plain(cut(text, WORD_LIMIT * 2)), WORD_LIMIT)
}

/// The same for a sentence, of at most [`SENTENCE_LIMIT`] bytes.
#[must_use]
pub fn sentence(text: &str) -> String {
    bounded(plain(cut(text, SENTENCE_LIMIT * 2)), SENTENCE_LIMIT)
}

/// The same for one of several that stand side by side: one that could be taken for more than one is quoted.
#[must_use]
pub fn item(text: &str) -> String {
    let word = word(text);
    let is_ambiguous = word.is_empty() || word.contains([' ', ',', '"', '\'', ';']);
    if is_ambiguous { format!("\"{}\"", word.replace('"', "\\\"")) } else { word }
}

/// The same for a path, or what else a system has as bytes: what is no UTF-8 is written as `\xff`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&plain(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    bounded(Cow::Owned(text), SENTENCE_LIMIT)
}

/// The same for a path.
#[must_use]
pub fn path(path: &Path) -> String {
    bytes(path.as_os_str().as_encoded_bytes())
}

/// The text, cut to `limit` bytes where it is longer, with an ellipsis for what is missing.
#[must_use]
pub fn bounded(text: Cow<'_, str>, limit: usize) -> String {
    if text.len() <= limit {
        return text.into_owned();
    }
    let mut cut = cut(&text, limit.saturating_sub(ELLIPSIS.len_utf8())).to_owned();
    cut.push(ELLIPSIS);
    cut
}

/// The longest start of the text of at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out_and_the_rest_is_left() {
        for (text, expected) in [
            ("payments — ü 日本", "payments — ü 日本"),
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}"),
            ("\u{1b}[2J\u{7f}\u{9b}", "\\u{1b}[2J\\u{7f}\\u{9b}"),
            ("\u{202e}\u{2066}\u{200f}\u{61c}", "\\u{202e}\\u{2066}\\u{200f}\\u{61c}"),
            ("\u{2028}\u{2029}\u{85}\u{feff}\u{e0041}", "\\u{2028}\\u{2029}\\u{85}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(bytes(b"/a\xff\n\xc3"), "/a\\xff\\n\\xc3");
        assert_eq!(plain_lines("a\n\u{1b}b\n"), "a\n\\u{1b}b\n");
    }

    #[test]
    fn what_could_be_taken_for_two_names_is_quoted() {
        assert_eq!(item("a.example.org"), "a.example.org");
        assert_eq!(item("a.example.org, DNS:b.example.org"), "\"a.example.org, DNS:b.example.org\"");
        assert_eq!(item("a\", \"b"), "\"a\\\", \\\"b\"");
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(bounded("äöü".into(), 6), "äöü");
        assert_eq!(bounded("äöüß".into(), 6), "ä…");
        assert_eq!(word(&"x".repeat(1 << 20)).len(), WORD_LIMIT);
    }

    proptest! {
        #[test]
        fn nothing_unseen_is_in_any_of_it(octets in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC*|[\\u{0}-\\u{2100}]*") {
            for text in [bytes(&octets), plain(&text).into_owned(), word(&text), sentence(&text), item(&text)] {
                prop_assert!(!text.contains(is_unseen), "{text:?}");
                prop_assert_eq!(plain(&text), &*text);
            }
        }

        #[test]
        fn json_stays_what_it_means(text in "\\PC*|[\\u{0}-\\u{2100}]*|(?s).{0,40}") {
            let written = serde_json::to_string_pretty(&[&text]).unwrap();
            let escaped = json(&written);
            prop_assert!(!escaped.replace('\n', "").contains(is_unseen));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
        }

        #[test]
        fn every_control_and_every_mark_of_direction_is_unseen(char in any::<char>()) {
            let acts = char.is_control()
                || matches!(u32::from(char), 0x202a..=0x202e | 0x2066..=0x2069 | 0x200e | 0x200f | 0x61c | 0x2028 | 0x2029 | 0xfeff);
            prop_assert!(!acts || is_unseen(char));
        }
    }
}
