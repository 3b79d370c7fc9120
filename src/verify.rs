//! New text is written only if it says what the plan says.
//!
//! The tree of the new text must be the old tree with the plan applied to it: every scalar that the
//! plan does not name is spelled as it was, tags, anchors and aliases included. And it must still
//! be a Deployment.

use json_patch::PatchOperation;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Map, Value};

use crate::yaml::tree::{Kind, Style};
use crate::yaml::{NodeId, Tree};

/// Why the new text is not written. It would be a defect of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("the edited text is not YAML: {0}")]
    Syntax(#[from] crate::yaml::SyntaxError),
    #[error("the plan does not fit the Deployment: {0}")]
    Plan(String),
    #[error("the edited text does not say what was planned, at `{field}`")]
    Differs { field: String },
}

/// Marks the source of an untouched node, which no value that is inserted can look like.
const SOURCE: &str = "\u{0}source";

/// Checks that `new` is `old` with `operations` applied.
pub(crate) fn is_patched(
    old: &str,
    operations: &[PatchOperation],
    new: &str,
) -> Result<(), VerifyError> {
    let (old, new) = (Tree::parse(old)?, Tree::parse(new)?);
    let (Some(old_root), Some(new_root)) = (old.root(), new.root()) else {
        return Err(VerifyError::Differs { field: String::new() });
    };
    let mut expected = sources(&old, old_root);
    json_patch::patch(&mut expected, operations)
        .map_err(|error| VerifyError::Plan(error.to_string()))?;
    agrees(&expected, &new, new_root, "")
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
    Value::Object([(SOURCE.to_owned(), Value::from(text))].into_iter().collect())
}

fn agrees(expected: &Value, tree: &Tree<'_>, id: NodeId, path: &str) -> Result<(), VerifyError> {
    let differs = || Err(VerifyError::Differs { field: path.to_owned() });
    let node = tree.node(id);
    match (expected, &node.kind) {
        (Value::Object(map), _) if map.contains_key(SOURCE) => {
            if source(tree, id) == *expected {
                Ok(())
            } else {
                differs()
            }
        }
        _ if node.anchor.is_some() || node.tag.is_some() => differs(),
        (Value::Object(map), Kind::Mapping { entries, .. }) if map.len() == entries.len() => {
            entries.iter().try_for_each(|(key, value)| {
                let name = tree.str(*key).unwrap_or_default();
                let path = format!("{path}/{name}");
                match map.get(name) {
                    Some(expected) => agrees(expected, tree, *value, &path),
                    None => Err(VerifyError::Differs { field: path }),
                }
            })
        }
        (Value::Array(array), Kind::Sequence { items, .. }) if array.len() == items.len() => array
            .iter()
            .zip(items)
            .enumerate()
            .try_for_each(|(i, (value, id))| agrees(value, tree, *id, &format!("{path}/{i}"))),
        (Value::Array(_) | Value::Object(_), _) => differs(),
        (scalar, Kind::Scalar { value, style }) => {
            let same = match scalar {
                Value::String(text) => {
                    value == text && (*style == Style::Quoted || is_string(value))
                }
                other => *style != Style::Quoted && tree.value(id).as_ref() == Ok(other),
            };
            if same { Ok(()) } else { differs() }
        }
        _ => differs(),
    }
}

fn is_string(text: &str) -> bool {
    crate::yaml::value::resolve_plain(text).is_string()
}
