//! A value of a document that serde reads, with errors that are values.
//!
//! toml's own deserializer makes a sentence of every error, with the value in it. Here an error keeps what serde tells of it: the kind,
//! the known keys, what is expected; never the value.

use std::fmt;
use std::ops::Range;

use serde::de::value::{CowStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use toml::Spanned;
use toml::de::DeValue;

use super::Problem;

/// A value or a key of a document.
pub(super) struct Node<'de> {
    /// The innermost known key it is beneath.
    pub(super) key: Option<&'static str>,
    /// Keys of lists of tables. People forget the second pair of brackets.
    pub(super) lists: &'static [&'static str],
    /// It, and where it is.
    pub(super) value: Spanned<DeValue<'de>>,
}

impl<'de> Node<'de> {
    /// Shows the value to a visitor. `fields` are the keys known in it; `expected` says what it should be in better words than the visitor's.
    fn show<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        expected: Option<&str>,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let (key, lists, span) = (self.key, self.lists, self.value.span());
        let node = |key, value| Node { key, lists, value };
        let shown = match self.value.into_inner() {
            DeValue::Boolean(value) => visitor.visit_bool(value),
            DeValue::String(text) => visitor.visit_str(&text),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(Mistake::expected(&visitor)),
            },
            // No setting is one.
            DeValue::Float(_) | DeValue::Datetime(_) => Err(Mistake::expected(&visitor)),
            DeValue::Array(list) => {
                visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(|value| node(key, value))))
            }
            DeValue::Table(table) => visitor.visit_map(MapDeserializer::new(table.into_iter().map(|(name, value)| {
                let key = fields.iter().find(|field| *field == name.get_ref()).copied().or(key);
                (node(key, Spanned::new(name.span(), DeValue::String(name.into_inner()))), node(key, value))
            }))),
        };
        shown.map_err(|mistake| mistake.of(key, span, expected))
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.show(&[], None, visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.show(&[], Some("a positive whole number"), visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.show(&[], Some("a string"), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.show(&[], Some("a table"), visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.key.filter(|key| self.value.get_ref().is_table() && self.lists.contains(key)) {
            Some(key) => Err(Mistake { problem: Problem::NotAList(key), span: Some(self.value.span()) }),
            None => self.show(&[], Some("a list"), visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let (key, span) = (self.key, self.value.span());
        if is_spanned(name) {
            return visitor.visit_map(SpannedDeserializer::new(self, span));
        }
        // serde would take the elements of a list for fields.
        if !self.value.get_ref().is_table() {
            return Err(Mistake::expected(&"a table").of(key, span, None));
        }
        self.show(fields, None, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let (key, span) = (self.key, self.value.span());
        let word = match self.value.into_inner() {
            DeValue::String(word) => CowStrDeserializer::new(word).deserialize_enum(name, variants, visitor),
            _ => Err(de::Error::unknown_variant("", variants)),
        };
        word.map_err(|mistake: Mistake| mistake.of(key, span, None))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Mistake> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A problem that gets its place on the way out of the value it is in.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct Mistake {
    problem: Problem,
    span: Option<Range<usize>>,
}

impl Mistake {
    fn new(problem: Problem) -> Self {
        Self { problem, span: None }
    }

    fn expected(expected: &dyn Expected) -> Self {
        Self::new(Problem::Language { key: None, message: format!("expected {expected}") })
    }

    /// The mistake in the value at `span` beneath `key`, unless a value within has it; said in the words of `expected` where there are.
    fn of(self, key: Option<&'static str>, span: Range<usize>, expected: Option<&str>) -> Self {
        if self.span.is_some() {
            return self;
        }
        let problem = match self.problem {
            Problem::Language { message, .. } => {
                let message = expected.map_or(message, |expected| format!("expected {expected}"));
                Problem::Language { key, message }
            }
            other => other,
        };
        Self { problem, span: Some(span) }
    }
}

impl de::Error for Mistake {
    // Only `Deserialize` implementations of ours call it, which quote nothing.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Language { key: None, message: message.to_string() })
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        let variants: Vec<_> = variants.iter().map(|variant| format!("`{variant}`")).collect();
        Self::expected(&variants.join(" or ").as_str())
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::unknown_key(key, known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Problem::Missing(key))
    }
}

impl From<Mistake> for Spanned<Problem> {
    fn from(mistake: Mistake) -> Self {
        Spanned::new(mistake.span.unwrap_or_default(), mistake.problem)
    }
}
