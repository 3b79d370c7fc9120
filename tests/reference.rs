//! `docs/function-config.md` is written from the JSON Schema.
//!
//! `UPDATE_DOCS=1 cargo test --test reference` writes it again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use inject_ephemeral_access_plugin::schema;
use serde_json::Value;

const INTRODUCTION: &str = "\
# The functionConfig

<!-- Written by `UPDATE_DOCS=1 cargo test --test reference` from the JSON Schema. -->

The function takes its own kind, or a ConfigMap with flat keys. A field that is not listed here is an error that names the
nearest one that is. Annotations and labels belong to the orchestrator and are not read. Samples are in
[`fn-config/`](../fn-config), and `inject-ephemeral-access-plugin schema` prints the JSON Schema.

```yaml
apiVersion: fn.ephemeral-access.dev/v1alpha1
kind: EphemeralAccessPlugin
metadata:
  name: change-window   # names the plugin in the record, in results and in errors
spec:
  image: registry.example.com/change-window:1.4.2
```
";

const CONFIG_MAP: &str = "
## As a ConfigMap

`kpt fn eval … -- image=… name=…` makes a ConfigMap. Its `data` takes these keys, each for one field:

| Key | Field |
|---|---|
| `image` | `spec.image` |
| `imagePullPolicy` | `spec.imagePullPolicy` |
| `state` | `spec.state` |
| `delivery` | `spec.delivery` |
| `onConflict` | `spec.onConflict` |
| `namespace` | `spec.target.namespace` |
| `name` | `spec.target.name` |
| `container` | `spec.target.container` |
| `pluginPath` | `spec.install.pluginPath` |
| `mountPath` | `spec.volume.mountPath` |
| `volumeName` | `spec.volume.name` |
| `initContainerName` | `spec.initContainer.name` |
| `mode` | `spec.install.mode` |

The plugin's name is then the ConfigMap's, or, under the name `function-input` that kpt gives, the last part of the
image's path.
";

#[test]
fn the_reference_is_written_from_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/function-config.md");
    let written = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == written,
        "docs/function-config.md is not what the schema says: \
         run `UPDATE_DOCS=1 cargo test --test reference`"
    );
}

fn reference() -> String {
    let schema = schema();
    let mut text = INTRODUCTION.to_owned();
    let spec = &schema["properties"]["spec"];
    object(&schema, "spec", definition(&schema, spec).unwrap().1, &mut text);
    text.push_str(CONFIG_MAP);
    text
}

/// A section for an object, then one for each object of ours in it.
fn object(schema: &Value, path: &str, object: &Value, text: &mut String) {
    let properties = object["properties"].as_object().unwrap();
    writeln!(text, "\n## `{path}`\n\n{}\n", description(object)).unwrap();
    text.push_str("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
    for (name, property) in properties {
        let meaning = meaning(schema, property);
        let (kind, default) = (kind(schema, property), default(property));
        writeln!(text, "| `{name}` | {kind} | {default} | {meaning} |").unwrap();
    }
    for (name, property) in properties {
        if let Some((_, inner)) = definition(schema, property)
            && inner.get("properties").is_some()
            && is_ours(property)
        {
            self::object(schema, &format!("{path}.{name}"), inner, text);
        }
    }
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// A property's own words, and those of the values that it takes.
fn meaning(schema: &Value, property: &Value) -> String {
    let mut meaning = description(property);
    let definition = definition(schema, property);
    let variants = definition.and_then(|(_, definition)| definition["oneOf"].as_array());
    for variant in variants.into_iter().flatten() {
        write!(meaning, "<br>{}: {}", constant(variant), description(variant)).unwrap();
    }
    meaning
}

fn constant(variant: &Value) -> String {
    match variant["const"].as_str().unwrap() {
        "" => "`\"\"`".to_owned(),
        text => format!("`{text}`"),
    }
}

fn kind(schema: &Value, property: &Value) -> String {
    if let Some((name, definition)) = definition(schema, property) {
        let variants = definition["oneOf"].as_array().into_iter().flatten();
        let words: Vec<_> = variants.map(constant).collect();
        return match (words.is_empty(), is_ours(property)) {
            (false, _) => words.join(", "),
            (true, true) => "object".to_owned(),
            (true, false) => format!("Kubernetes {}", name.rsplit('.').next().unwrap()),
        };
    }
    let kind = match &property["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap(),
        kind => kind.as_str().unwrap(),
    };
    match kind {
        "array" => format!("list of {}", self::kind(schema, &property["items"])),
        "object" => "map of strings".to_owned(),
        kind => kind.to_owned(),
    }
}

fn default(property: &Value) -> String {
    match property.get("default") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Object(map)) if !map.is_empty() => "see below".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

/// The definition that a property refers to, with its name.
fn definition<'s>(schema: &'s Value, property: &'s Value) -> Option<(&'s str, &'s Value)> {
    let reference = property["$ref"].as_str().or_else(|| property["anyOf"][0]["$ref"].as_str())?;
    let name = reference.strip_prefix("#/$defs/")?;
    Some((name, &schema["$defs"][name]))
}

fn is_ours(property: &Value) -> bool {
    let reference = property["$ref"].as_str().or_else(|| property["anyOf"][0]["$ref"].as_str());
    reference.is_some_and(|reference| !reference.contains("io.k8s"))
}
