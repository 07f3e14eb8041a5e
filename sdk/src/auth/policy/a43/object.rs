//! JSON as grpc-go reads it: keys in any case, and a null for what is left out (encoding/json of Go).

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed as _, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::auth::tokens::StrictObject;

/// How deep what a logger is configured by may go: as deep as serde_json reads anything.
const DEPTH_LIMIT: usize = 128;

/// An object of a known form.
pub(super) trait Object: Default {
    /// What it is, for errors.
    const WHAT: &'static str;
    /// The keys it may have, 32 at most.
    const FIELDS: &'static [&'static str];

    /// Takes up the value of one of them.
    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error>;
}

/// An object that is read by its [`Object`].
#[derive(Default)]
pub(super) struct Read<T>(pub(super) T);

impl<'de, T: Object> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let (mut object, mut seen) = (T::default(), 0_u32);
        while let Some(key) = map.next_key::<String>()? {
            let folded = folded(&key);
            let Some(nth) = T::FIELDS.iter().position(|field| **field == folded) else {
                return Err(A::Error::unknown_field(&key, T::FIELDS));
            };
            if seen & 1 << nth != 0 {
                return Err(A::Error::duplicate_field(T::FIELDS[nth]));
            }
            seen |= 1 << nth;
            object.read(T::FIELDS[nth], &mut map)?;
        }
        Ok(object)
    }
}

/// A key as Go compares it: in lower case, where the Kelvin sign and the long s are a k and an s.
fn folded(key: &str) -> String {
    let fold = |char| match char {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        char => char.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

/// The next value, or what stands for a null.
pub(super) fn value<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// The next array, with what stands for a null in place of each.
pub(super) fn array<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<T>, A::Error> {
    let array = map.next_value::<Option<Vec<Option<T>>>>()?.unwrap_or_default();
    Ok(array.into_iter().map(Option::unwrap_or_default).collect())
}

/// An object of any form, in which no key comes twice (protobuf's JSON form of `Struct`).
#[derive(Default)]
pub(super) struct Struct(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for Struct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictObject::to_depth(DEPTH_LIMIT).deserialize(deserializer).map(Self)
    }
}
