//! New text is written only if it says what the plan says.
//!
//! The tree of the new text must be the old tree with the plan applied to it: every scalar that the
//! plan does not name is spelled as it was, tags, anchors and aliases included. And it must still
//! be a Deployment.

use std::fmt;

use json_patch::PatchOperation;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Map, Value};

use crate::yaml::tree::{Kind, Style};
use crate::yaml::{NodeId, Tree};

/// Why the new text is not written. It would be a defect of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("the plan does not fit the Deployment: {0}")]
    Plan(String),
    #[error("the edited text does not say what was planned, at `{field}`")]
    Differs { field: String },
}

impl VerifyError {
    /// A difference in a part, as one of the whole.
    fn within(mut self, token: impl fmt::Display) -> Self {
        if let Self::Differs { field } = &mut self {
            field.insert_str(0, &format!("/{token}"));
        }
        self
    }
}

/// Begins the list that stands for an untouched node. No list of a Kubernetes object holds it.
const SOURCE: Value = Value::Null;

/// Checks that `new` is `old` with `operations` applied.
pub(crate) fn is_patched(
    old: &Tree<'_>,
    operations: &[PatchOperation],
    new: &Tree<'_>,
) -> Result<(), VerifyError> {
    let (Some(old_root), Some(new_root)) = (old.root(), new.root()) else {
        return Err(differs());
    };
    let mut expected = sources(old, old_root);
    json_patch::patch(&mut expected, operations)
        .map_err(|error| VerifyError::Plan(error.to_string()))?;
    agrees(&expected, new, new_root)
}

/// Checks that a document is a Deployment as the Kubernetes API knows it.
pub(crate) fn is_deployment(
    document: &Value,
) -> Result<(), serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize::<_, Deployment>(document).map(|_| ())
}

/// A node with every scalar in place of its value as it is written.
fn sources(tree: &Tree<'_>, id: NodeId) -> Value {
    let node = tree.node(id);
    if node.anchor.is_some() || node.tag.is_some() {
        return source(tree, id);
    }
    match &node.kind {
        Kind::Sequence { items, .. } => items.iter().map(|item| sources(tree, *item)).collect(),
        Kind::Mapping { entries, .. } => {
            let mut map = Map::new();
            for (key, value) in entries {
                let plain = tree.str(*key).filter(|_| !tree.is_merge_key(*key));
                let Some(name) = plain else {
                    return source(tree, id);
                };
                if map.insert(name.to_owned(), sources(tree, *value)).is_some() {
                    return source(tree, id);
                }
            }
            Value::Object(map)
        }
        Kind::Scalar { .. } | Kind::Alias { .. } => source(tree, id),
    }
}

fn source(tree: &Tree<'_>, id: NodeId) -> Value {
    let node = tree.node(id);
    let mut text = node.tag.clone().unwrap_or_default();
    if node.anchor.is_some() {
        text.push('&');
    }
    text.push_str(tree.source(id));
    // How a block scalar ends is decided by what follows it, too.
    if let Kind::Scalar { value, style: Style::Block } = &node.kind {
        text.push('\u{0}');
        text.push_str(value);
    }
    Value::Array(vec![SOURCE, Value::String(text)])
}

fn agrees(expected: &Value, tree: &Tree<'_>, id: NodeId) -> Result<(), VerifyError> {
    let node = tree.node(id);
    let same = match (expected, &node.kind) {
        (Value::Array(pair), _) if pair.first() == Some(&SOURCE) => source(tree, id) == *expected,
        _ if node.anchor.is_some() || node.tag.is_some() => false,
        (Value::Object(map), Kind::Mapping { entries, .. }) if map.len() == entries.len() => {
            return entries.iter().try_for_each(|(key, value)| {
                let name = tree.str(*key).unwrap_or_default();
                let expected = map.get(name).ok_or_else(differs);
                let agreed = expected.and_then(|expected| agrees(expected, tree, *value));
                agreed.map_err(|error| error.within(name))
            });
        }
        (Value::Array(array), Kind::Sequence { items, .. }) if array.len() == items.len() => {
            return array.iter().zip(items).enumerate().try_for_each(|(i, (value, id))| {
                agrees(value, tree, *id).map_err(|error| error.within(i))
            });
        }
        (Value::Array(_) | Value::Object(_), _) => false,
        (Value::String(text), Kind::Scalar { value, style }) => {
            value == text && (*style == Style::Quoted || is_string(value))
        }
        (scalar, Kind::Scalar { style, .. }) => {
            *style != Style::Quoted && tree.value(id).as_ref() == Ok(scalar)
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(differs()) }
}

fn differs() -> VerifyError {
    VerifyError::Differs { field: String::new() }
}

fn is_string(text: &str) -> bool {
    crate::yaml::value::resolve_plain(text).is_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_of_any_kind_may_be_inserted() {
        let old = Tree::parse("a: b\n").unwrap();
        let add = |value: &str| {
            let operation = json!([{"op": "add", "path": "/c", "value": value}]);
            serde_json::from_value::<Vec<PatchOperation>>(operation).unwrap()
        };
        let new = Tree::parse("a: b\nc: \"\\0b\"\n").unwrap();
        assert_eq!(is_patched(&old, &add("\0b"), &new), Ok(()));
        let differs = |field: &str| Err(VerifyError::Differs { field: field.to_owned() });
        assert_eq!(is_patched(&old, &add("b"), &new), differs("/c"));
        let changed = Tree::parse("a: \"b\"\nc: \"\\0b\"\n").unwrap();
        assert_eq!(is_patched(&old, &add("\0b"), &changed), differs("/a"));
    }
}
