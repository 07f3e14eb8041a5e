//! JSON in which every name is once in its object.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays of tokens and key sets may be in one another; the outermost one is the first.
const DEPTH_LIMIT: usize = 16;

/// The one object that this text is. A name that is twice in an object is an error (RFC 7515 §4, RFC 7519 §4): whoever reads it takes the
/// first value, or the last.
pub(in crate::auth) fn object(json: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let object = StrictObject::to_depth(DEPTH_LIMIT).deserialize(&mut reader)?;
    reader.end()?;
    Ok(object)
}

/// Reads an object in which, and in all that is in it, no name is twice.
#[derive(Clone, Copy)]
pub(in crate::auth) struct StrictObject(Strict);

impl StrictObject {
    /// One in which objects and arrays are no deeper in one another than this, itself the first of them.
    pub(in crate::auth) fn to_depth(limit: usize) -> Self {
        Self(Strict { left: limit })
    }
}

impl<'de> DeserializeSeed<'de> for StrictObject {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for StrictObject {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (inner, mut values) = (self.0.deeper()?, Map::new());
        while let Some(name) = map.next_key::<String>()? {
            if values.contains_key(&name) {
                return Err(de::Error::custom("a name is twice in one object"));
            }
            values.insert(name, map.next_value_seed(inner)?);
        }
        Ok(values)
    }
}

/// Reads any value, strictly.
#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom("values are nested too deep");
        self.left.checked_sub(1).map(|left| Self { left }).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        StrictObject(self).visit_map(map).map(Value::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let (inner, mut values) = (self.deeper()?, Vec::new());
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is finite"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
