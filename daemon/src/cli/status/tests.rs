//! `--json` and its schema.

use serde_json::{Value, json};

use super::text::tests::full_report;
use super::*;

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/status.schema.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The same, for output that has no field that it does not tell of.
fn strict(schema: Value) -> Value {
    match schema {
        Value::Object(mut fields) => {
            if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
                let named: Vec<_> = properties.keys().map(|name| json!(name)).collect();
                let mut required = fields["required"].as_array().unwrap().clone();
                required.sort_by_key(Value::to_string);
                assert_eq!(required, named, "absent values are null, so every field is there");
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.into_iter().map(|(name, value)| (name, strict(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(strict).collect(),
        other => other,
    }
}

#[test]
fn json_is_what_its_schema_says_and_the_schema_tells_of_every_field() {
    let schema = schema();
    assert_eq!(schema["properties"]["schema"]["const"], SCHEMA);
    let validator = jsonschema::options().should_validate_formats(true).build(&strict(schema)).unwrap();
    let report = full_report();
    let printed = json::pretty(&Versioned { schema: SCHEMA, report: &report });
    let mut printed: Value = serde_json::from_str(&printed).unwrap();
    let errors: Vec<_> = validator.iter_errors(&printed).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for list in ["subscribers", "findings", "retained", "crls", "federated"] {
        assert_ne!(printed["identities"][0][list], json!([]), "the report has one of all that there is");
    }
    for (place, wrong) in [
        ("/identities/0/leaf/not_after", json!("tomorrow")),
        ("/identities/0/leaf/serial", json!("abc")),
        ("/identities/0/subscribers/0/state", json!("asleep")),
        ("/schema", json!(2)),
    ] {
        let right = std::mem::replace(printed.pointer_mut(place).unwrap(), wrong);
        assert!(!validator.is_valid(&printed), "{place}");
        *printed.pointer_mut(place).unwrap() = right;
    }
    assert!(validator.is_valid(&printed));
}
