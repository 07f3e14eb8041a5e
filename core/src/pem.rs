//! PEM (RFC 7468), read so that no byte of a key is left behind: every buffer that may hold one is wiped.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// The longest label that is quoted in an error.
const LABEL_LIMIT: usize = 64;

/// One block.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Why a text is no PEM. Carries nothing of a block's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A block that does not end.
    #[error("the PEM block {0:?} has no END line: the file is cut off")]
    Unterminated(String),
    /// A block that ends under another label.
    #[error("the PEM block {begin:?} ends as {end:?}")]
    Mismatched {
        /// The label of its BEGIN line.
        begin: String,
        /// The label of its END line.
        end: String,
    },
    /// A block whose content is no base64.
    #[error("the PEM block {0:?} does not hold base64")]
    NotBase64(String),
    /// A block that is encrypted as RFC 1421 does it.
    #[error("the PEM block {0:?} is encrypted")]
    Encrypted(String),
}

/// Whether there is a block at all; without one the bytes may be DER.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| line.starts_with(BEGIN))
}

/// The blocks, in their order. Text around and between them is passed over.
pub(crate) fn blocks(bytes: &[u8]) -> impl Iterator<Item = Result<Block, PemError>> {
    let mut lines = lines(bytes);
    // Room for the longest possible content from the start: a buffer that grows would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(bytes.len()));
    std::iter::from_fn(move || {
        let begin = lines.find(|line| line.starts_with(BEGIN))?;
        content.clear();
        Some(match boundary(begin, BEGIN) {
            Some(label) => block(label, &mut lines, &mut content),
            None => Err(PemError::Unterminated(label(&begin[BEGIN.len()..]))),
        })
    })
}

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";

fn block<'a>(
    label: String,
    lines: &mut impl Iterator<Item = &'a [u8]>,
    content: &mut Vec<u8>,
) -> Result<Block, PemError> {
    let mut encrypted = false;
    for line in lines {
        if let Some(end) = boundary(line, END) {
            if end != label {
                return Err(PemError::Mismatched { begin: label, end });
            }
            if encrypted {
                return Err(PemError::Encrypted(label));
            }
            let der = decode(content).ok_or_else(|| PemError::NotBase64(label.clone()))?;
            return Ok(Block { label, der });
        }
        if line.starts_with(BEGIN) {
            return Err(PemError::Unterminated(label));
        }
        if line.contains(&b':') {
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else {
            content.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    Err(PemError::Unterminated(label))
}

fn decode(base64: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut der = Zeroizing::new(vec![0; base64.len() / 4 * 3]);
    let length = Base64::decode(base64, &mut der).ok()?.len();
    der.truncate(length);
    Some(der)
}

/// The label of a boundary line.
fn boundary(line: &[u8], start: &[u8]) -> Option<String> {
    line.strip_prefix(start)?.strip_prefix(b" ")?.strip_suffix(b"-----").map(label)
}

fn label(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(LABEL_LIMIT)]).trim().to_owned()
}

/// The lines, whatever ends them, without white space at their end; a byte order mark at the front is passed over.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Vec<u8>)>, PemError> {
        blocks(text.as_bytes()).map(|block| block.map(|block| (block.label, block.der.to_vec()))).collect()
    }

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = "subject=/CN=x\n-----BEGIN A-----\nAQID\n-----END A-----\nand\n-----BEGIN B C-----\nBA==\n-----END B C-----\n.";
        let expected = vec![("A".to_owned(), vec![1, 2, 3]), ("B C".to_owned(), vec![4])];
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(read(&text.replace('\n', "\r\n")), Ok(expected.clone()));
        assert_eq!(read(&text.replace('\n', " \t\n")), Ok(expected.clone()));
        assert_eq!(read(&format!("\u{feff}{}", &text[14..])), Ok(expected));
        assert_eq!(read("no block here: -----BEGIN A-----\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_block_may_be_empty_or_have_headers() {
        assert_eq!(read("-----BEGIN A-----\n-----END A-----"), Ok(vec![("A".to_owned(), Vec::new())]));
        assert_eq!(read("-----BEGIN A-----\nX: y\n\nAQID\n-----END A-----"), Ok(vec![("A".to_owned(), vec![1, 2, 3])]));
    }

    #[test]
    fn a_block_that_is_cut_off_is_an_error() {
        let cut = Err(PemError::Unterminated("A".to_owned()));
        for text in ["-----BEGIN A-----\nAQID\n", "-----BEGIN A-----\nAQID\n-----END A--", "-----BEGIN A-----\nAQ"] {
            assert_eq!(read(text), cut, "{text}");
        }
        assert_eq!(read("-----BEGIN A"), cut);
        assert_eq!(read("-----BEGIN A-----\nAQID\n-----BEGIN A-----\nAQID\n-----END A-----\n"), cut);
    }

    #[test]
    fn a_block_that_is_damaged_is_an_error() {
        let damaged = Err(PemError::NotBase64("A".to_owned()));
        for content in ["AQI", "AQ!D", "AQID=", "=", "AQIDBA="] {
            assert_eq!(read(&format!("-----BEGIN A-----\n{content}\n-----END A-----\n")), damaged, "{content}");
        }
        let error = read("-----BEGIN A-----\nAQID\n-----END B-----\n");
        assert_eq!(error, Err(PemError::Mismatched { begin: "A".to_owned(), end: "B".to_owned() }));
    }

    #[test]
    fn an_encrypted_block_says_so() {
        let text = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END A-----\n";
        assert_eq!(read(text), Err(PemError::Encrypted("A".to_owned())));
    }
}
