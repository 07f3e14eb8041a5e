//! Rust's words and marks, without its comments, strings and characters (The Rust Reference, "Lexical structure").

/// A word, or a mark: one character, but `::`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// The tokens of `source`.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), source, 1);
    while !rest.is_empty() {
        let (length, is_token) = next(rest);
        let (text, after) = rest.split_at(length);
        if is_token {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// How long what `rest` begins with is, in bytes, and whether it is a token.
fn next(rest: &str) -> (usize, bool) {
    let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
    let quoted = &rest[word..];
    let is_prefix = ["b", "c", "br", "cr", "r"].contains(&&rest[..word]);
    match rest.as_bytes()[0] {
        _ if is_prefix && rest[..word].ends_with('r') && quoted.starts_with(['"', '#']) => (word + raw(quoted), false),
        _ if is_prefix && quoted.starts_with('"') => (word + string(quoted, '"'), false),
        _ if &rest[..word] == "b" && quoted.starts_with('\'') => (word + string(quoted, '\''), false),
        _ if word > 0 => (word, true),
        b'"' => (string(rest, '"'), false),
        b'\'' => (quote(rest), false),
        b'/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        b'/' if rest.starts_with("/*") => (comment(rest), false),
        b':' if rest.starts_with("::") => (2, true),
        _ => {
            let first = rest.chars().next().unwrap_or_default();
            (first.len_utf8(), !first.is_whitespace())
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a string or character, to its closing quote.
fn string(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of a character, or of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let (first, second) = (chars.next(), chars.next());
    match (first, second) {
        (Some((_, '\\')), _) | (_, Some((_, '\''))) => string(text, '\''),
        _ => 1 + text[1..].find(|c: char| !is_of_word(c)).unwrap_or(text.len() - 1),
    }
}

/// The length of a raw string behind its `r`, or of the `#` of a raw identifier.
fn raw(text: &str) -> usize {
    let hashes = text.len() - text.trim_start_matches('#').len();
    if !text[hashes..].starts_with('"') {
        return hashes;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[hashes + 1..].find(&end).map_or(text.len(), |at| hashes + 1 + at + end.len())
}

/// The length of a comment with what comments are within it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[test]
fn words_and_marks_are_told_from_what_is_said_in_comments_and_strings() {
    let source = "a::b /* c /* d */ e */ 'x' '\\'' '\"' &'static f // g\n\"h \\\" i\" r#\"j \" k\"# b\"l\" br\"m\" b'n' c\"o\" r#p { q!(\"{}\") }";
    let found: Vec<_> = tokens(source).iter().map(|token| (token.text, token.line)).collect();
    let first = ["a", "::", "b", "&", "f"].map(|text| (text, 1));
    let second = ["p", "{", "q", "!", "(", ")", "}"].map(|text| (text, 2));
    assert_eq!(found, [&first[..], &second[..]].concat());
}
