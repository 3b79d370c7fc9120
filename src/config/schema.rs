//! The JSON Schema of the functionConfig, made from its types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{API_VERSION, EphemeralAccessPlugin, KIND};

/// The JSON Schema of the functionConfig's own kind, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<EphemeralAccessPlugin>().to_value();
    let constants = [("/properties/apiVersion", API_VERSION), ("/properties/kind", KIND)];
    for (pointer, constant) in constants {
        if let Some(Value::Object(property)) = schema.pointer_mut(pointer) {
            property.insert("const".to_owned(), constant.into());
        }
    }
    schema
}

/// The names that the schema knows for the children of an object, found by the path to it.
pub(super) fn known_fields(path: &[String]) -> Vec<String> {
    let schema = schema();
    let mut at = resolve(&schema, &schema);
    for step in path {
        let child = match step.parse::<usize>() {
            Ok(_) => at.get("items"),
            Err(_) => at
                .get("properties")
                .and_then(|properties| properties.get(step))
                .or_else(|| at.get("additionalProperties")),
        };
        let Some(child) = child else {
            return Vec::new();
        };
        at = resolve(&schema, child);
    }
    let properties = at.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// Follows `$ref`, also where it stands among alternatives with null.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let reference = |schema: &'s Value| {
        let pointer = schema.get("$ref").and_then(Value::as_str)?.strip_prefix('#')?;
        root.pointer(pointer)
    };
    let any_of = schema.get("anyOf").or_else(|| schema.get("allOf")).and_then(Value::as_array);
    reference(schema).or_else(|| any_of.into_iter().flatten().find_map(reference)).unwrap_or(schema)
}
