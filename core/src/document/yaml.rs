//! A document in YAML (1.2.2), as the tree that one in TOML is.
//!
//! It is read strictly: what readers of YAML differ about, or what lets a short text be a long one, is refused instead of guessed. So there
//! are no anchors, aliases, tags, directives or second documents, no key twice, no value that is left out, and no word that one reader
//! takes for a text and another for a number, a date or a truth value.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Problem;

/// How deep lists and tables may be in one another; the outermost one is the first.
const DEPTH_LIMIT: usize = 32;

/// What YAML 1.1 takes for a truth value or for nothing, and YAML 1.2 for a text, or the other way round.
const DOUBTFUL: &[&str] = &["yes", "no", "on", "off", "y", "n", "null", ".inf", "-.inf", "+.inf", ".nan"];

type Value<'a> = Spanned<DeValue<'a>>;

/// Whose form a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Ours: whoever writes one is told what readers would differ about.
    Ours,
    /// Another program's, of which only some is asked for.
    Foreign,
}

/// The tree of a text.
///
/// # Errors
///
/// It is no YAML, or more of it than is read here.
pub(super) fn parse(text: &str, form: Form) -> Result<Value<'_>, Spanned<Problem>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    let mut tree = Tree { form, events: Parser::new_from_str_with_options(text, options) };
    let mut root = None;
    loop {
        match tree.next()? {
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (Event::StreamEnd, _) => break,
            (_, place) if root.is_some() => return Err(Refused::Second.at(place)),
            (event, place) => root = Some(tree.value(event, place, DEPTH_LIMIT)?),
        }
    }
    // As an empty document of TOML is.
    Ok(root.unwrap_or_else(|| Spanned::new(0..0, DeValue::Table(DeTable::new()))))
}

struct Tree<'a> {
    form: Form,
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), Spanned<Problem>> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, place(&span))),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    /// The value that begins with this event. `depth` is how many may still be in one another.
    fn value(&mut self, event: Event<'a>, place: Range<usize>, depth: usize) -> Result<Value<'a>, Spanned<Problem>> {
        let deeper = || depth.checked_sub(1).ok_or_else(|| Refused::TooDeep.at(place.clone()));
        let value = match event {
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(_, 1.., _) | Event::MappingStart(_, 1.., _) => {
                return Err(Refused::Anchor.at(place));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                return Err(Refused::Tag.at(place));
            }
            Event::Scalar(text, style, ..) => self.scalar(text, style).map_err(|refused| refused.at(place.clone()))?,
            Event::SequenceStart(..) => DeValue::Array(self.list(deeper()?)?),
            Event::MappingStart(..) => DeValue::Table(self.table(deeper()?)?),
            // An alias, or what else there may be.
            _ => return Err(Refused::Anchor.at(place)),
        };
        Ok(Spanned::new(place, value))
    }

    fn scalar(&self, text: Cow<'a, str>, style: ScalarStyle) -> Result<DeValue<'a>, Refused> {
        if style != ScalarStyle::Plain {
            return Ok(DeValue::String(text));
        }
        match &*text {
            word if NOTHING.contains(&word) => Err(Refused::Nothing),
            "true" => Ok(DeValue::Boolean(true)),
            "false" => Ok(DeValue::Boolean(false)),
            word if self.form == Form::Ours && is_doubtful(word) => Err(Refused::Doubtful),
            _ => Ok(DeValue::String(text)),
        }
    }

    /// Whether a value is none, in a form in which that is as if its key were not there.
    fn leaves_out(&self, event: &Event<'_>) -> bool {
        self.form == Form::Foreign
            && matches!(event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if NOTHING.contains(&&**text))
    }

    fn list(&mut self, depth: usize) -> Result<DeArray<'a>, Spanned<Problem>> {
        let mut list = DeArray::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(list),
                (event, _) if self.leaves_out(&event) => {}
                (event, place) => list.push(self.value(event, place, depth)?),
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<DeTable<'a>, Spanned<Problem>> {
        let mut table = DeTable::new();
        loop {
            let (event, place) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(table),
                next => next,
            };
            if matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
                return Err(Refused::Key.at(place));
            }
            let DeValue::String(key) = self.value(event, place.clone(), depth)?.into_inner() else {
                return Err(Refused::Key.at(place));
            };
            let (event, at) = self.next()?;
            if self.leaves_out(&event) {
                continue;
            }
            let value = self.value(event, at, depth)?;
            if table.insert(Spanned::new(place.clone(), key), value).is_some() {
                return Err(Refused::Twice.at(place));
            }
        }
    }
}

/// The words for no value.
const NOTHING: [&str; 3] = ["", "~", "null"];

/// Whether readers differ about a word, or take it for a number or a date, of which no setting is one.
fn is_doubtful(word: &str) -> bool {
    let is_truth = |truth: &str| word.eq_ignore_ascii_case(truth);
    let digits = word.trim_start_matches(['+', '-', '.']);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && (["0x", "0o", "0b"].iter().any(|radix| digits.starts_with(radix))
            || digits.bytes().all(|byte| byte.is_ascii_digit() || b"_.:+-eETZ".contains(&byte)));
    is_number || ["true", "false"].iter().chain(DOUBTFUL).any(|truth| is_truth(truth))
}

/// YAML that is not read, and what to write instead.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Anchor,
    Tag,
    Second,
    TooDeep,
    Key,
    Twice,
    Nothing,
    Doubtful,
}

impl Refused {
    fn at(self, place: Range<usize>) -> Spanned<Problem> {
        let message = match self {
            Self::Anchor => "anchors and aliases are not read; write it out",
            Self::Tag => "tags are not read; leave it out",
            Self::Second => "a second document is not read; leave one",
            Self::TooDeep => "it is nested too deep",
            Self::Key => "a key has to be a text; write it in quotes",
            Self::Twice => "duplicate key",
            Self::Nothing => "there is no value; write one, or leave the key out",
            Self::Doubtful => {
                "it may be a text, a number, a date, a truth value or nothing, by who reads it; write a text in quotes, or true or false"
            }
        };
        Spanned::new(place, Problem::Language { key: None, message: message.to_owned() })
    }
}

fn unreadable(error: &ScanError) -> Spanned<Problem> {
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return Refused::TooDeep.at(of(error)),
        ErrorKind::UnknownAnchor => return Refused::Anchor.at(of(error)),
        // Its own words quote it.
        ErrorKind::UnexpectedCharacter { .. } => "unexpected character".to_owned(),
        kind => kind.to_string(),
    };
    Spanned::new(of(error), Problem::Language { key: None, message })
}

fn of(error: &ScanError) -> Range<usize> {
    let start = error.marker().byte_offset().unwrap_or_default();
    start..start
}

fn place(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}
