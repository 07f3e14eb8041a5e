//! JSON objects as tokens and key sets have them, read strictly.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep objects and arrays may be in one another; the outermost one is the first.
const DEPTH_LIMIT: usize = 16;

/// The one object that this text is. A name that is twice in an object is an error (RFC 7515 §4, RFC 7519 §4): whoever reads it takes the
/// first value, or the last.
pub(in crate::auth) fn object(json: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Unique { depth: DEPTH_LIMIT }.deserialize(&mut reader)?;
    serde_json::from_slice(json)
}

/// Goes through a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Unique {
    depth: usize,
}

impl Unique {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom(format_args!("values are nested more than {DEPTH_LIMIT} deep"));
        self.depth.checked_sub(1).map(|depth| Self { depth }).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (inner, mut names) = (self.deeper()?, HashSet::new());
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a name is twice in one object"));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    }

    #[test]
    fn an_object_is_read_as_it_is() {
        let object = object(br#" {"a":{"b":[1,-2,0.5,null,true,"c"]},"d":"e"} "#).unwrap();
        assert_eq!(Value::Object(object), serde_json::json!({"a": {"b": [1, -2, 0.5, null, true, "c"]}, "d": "e"}));
    }

    #[test]
    fn a_name_that_is_twice_in_an_object_is_an_error_however_it_is_written() {
        for json in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":{"a":1,"c":2,"a":3}}"#, r#"{"b":[{"a":1,"a":1}]}"#]
        {
            assert!(object(json.as_bytes()).is_err(), "{json}");
        }
        assert!(object(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn what_is_deeper_than_the_limit_is_an_error() {
        assert!(object(nested(DEPTH_LIMIT).as_bytes()).is_ok());
        assert!(object(nested(DEPTH_LIMIT + 1).as_bytes()).is_err());
        assert!(object(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_object_and_that_alone_is_an_error() {
        for json in [
            "",
            "1",
            "[]",
            "\"a\"",
            "null",
            "{}{}",
            "{} x",
            "{",
            "{\"a\":}",
            "\u{feff}{}",
            "{'a':1}",
            "{\"a\":NaN}",
            "{\"a\":1,}",
        ] {
            assert!(object(json.as_bytes()).is_err(), "{json}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }
}
