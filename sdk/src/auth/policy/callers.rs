//! Those whom a rule is about, as they are written.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use toml::Spanned;

use super::caller::{Caller, Proven, Who};
use super::list::unwritten;

/// The word for callers who prove nothing.
pub(super) const ANYONE: &str = "anyone";

/// The word for those who prove anything.
pub(super) const AUTHENTICATED: &str = "authenticated";

/// Those whom a rule is about: each of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(pub(super) Vec<Spanned<Caller>>);

impl<'de> Deserialize<'de> for Callers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Callers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of roles, a table of what a caller has to prove, \"authenticated\" or \"anyone\"")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Callers, E> {
                let caller = match word {
                    ANYONE => Caller::anyone(),
                    AUTHENTICATED => Caller::authenticated(),
                    _ => return Err(E::invalid_value(Unexpected::Str(""), &self)),
                };
                Ok(Callers(vec![unwritten(caller)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Callers, A::Error> {
                let (mut callers, mut roles) = (Vec::new(), Vec::new());
                while let Some(element) = seq.next_element::<Spanned<Element>>()? {
                    let span = element.span();
                    match element.into_inner() {
                        Element::Role(role) => roles.push(Spanned::new(span, role)),
                        Element::Caller(proven) => callers.push(Spanned::new(span, Caller(Who::Proven(proven)))),
                    }
                }
                if let (Some(first), Some(last)) = (roles.first(), roles.last()) {
                    let span = first.span().start..last.span().end;
                    let roles = Some(Spanned::new(span.clone(), roles));
                    let proven = Proven { roles, ..Proven::default() };
                    callers.insert(0, Spanned::new(span, Caller(Who::Proven(Box::new(proven)))));
                }
                Ok(Callers(callers))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Callers, A::Error> {
                let proven = Proven::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Callers(vec![unwritten(Caller(Who::Proven(Box::new(proven))))]))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// One of a list of callers.
enum Element {
    Role(String),
    Caller(Box<Proven>),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a role, or a table of what a caller has to prove")
            }

            fn visit_str<E: de::Error>(self, role: &str) -> Result<Element, E> {
                Ok(Element::Role(role.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
                Ok(Element::Caller(Box::new(Proven::deserialize(MapAccessDeserializer::new(map))?)))
            }
        }

        deserializer.deserialize_any(Written)
    }
}
