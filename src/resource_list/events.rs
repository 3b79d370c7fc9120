//! The event parser's view: any YAML or JSON that is a ResourceList.

use std::collections::HashSet;

use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::{Part, Parts, ResourceListError, ResultsPlace};
use crate::yaml::splice::{TextEdit, check_end};
use crate::yaml::text::{comment_lines, line_start, next_dash, next_line, skip_blanks};
use crate::yaml::tree::Kind;
use crate::yaml::{NodeId, Refusal, Splice, Tree};

/// The parts of `input`, which must be one document.
pub(super) fn parts(input: &str) -> Result<Parts, ResourceListError> {
    let tree = Tree::parse_to_depth(input, 2)?;
    let Some(root) = tree.root() else {
        return Err(ResourceListError::Empty);
    };
    if !matches!(tree.node(root).kind, Kind::Mapping { .. }) {
        let actual = "something that is no mapping".to_owned();
        return Err(ResourceListError::NotResourceList { actual });
    }
    check_keys(&tree, root)?;
    let word = |key| tree.get(root, key).and_then(|id| tree.str(id)).unwrap_or_default().to_owned();
    Ok(Parts {
        api_version: word("apiVersion"),
        kind: word("kind"),
        items: list(&tree, root, "items"),
        function_config: tree
            .get(root, "functionConfig")
            .and_then(|value| value_part(&tree, value, 0)),
        results: ResultsPlace::InTree,
    })
}

fn check_keys(tree: &Tree<'_>, root: NodeId) -> Result<(), ResourceListError> {
    let mut seen = HashSet::new();
    for (key, _) in tree.entries(root) {
        if let Some(name) = tree.str(*key)
            && !seen.insert(name)
        {
            let (line, key) = (tree.line(*key), name.to_owned());
            return Err(ResourceListError::DuplicateKey { line, key });
        }
    }
    Ok(())
}

/// A value as a document; none for a scalar.
///
/// `offset` is where the tree's text begins in the input.
pub(super) fn value_part(tree: &Tree<'_>, value: NodeId, offset: usize) -> Option<Part> {
    let node = tree.node(value);
    let text = tree.text();
    let (range, column) = match node.kind {
        Kind::Mapping { flow: true, .. } => (node.range.clone(), 0),
        Kind::Mapping { .. } => {
            let start = node.range.start;
            (start..after_comments(text, node.range.end), start - line_start(text, start))
        }
        _ => return None,
    };
    Some(Part { range: range.start + offset..range.end + offset, column })
}

/// The objects of a document that is a `List`, or of another kind that ends so.
pub(crate) fn list_parts(tree: &Tree<'_>) -> Option<Vec<Part>> {
    let root = tree.root()?;
    let kind = tree.str(tree.get(root, "kind")?)?;
    if kind.ends_with("List") { list(tree, root, "items") } else { None }
}

/// The results that stand in a ResourceList already.
pub(super) fn results(input: &str, tree: &Tree<'_>) -> Vec<Value> {
    let parts = tree.root().and_then(|root| list(tree, root, "results")).unwrap_or_default();
    let value = |part: Part| {
        let document = part.document(input);
        let tree = Tree::parse(&document).ok()?;
        tree.value(tree.root()?).ok()
    };
    parts.into_iter().filter_map(value).collect()
}

/// The edits that add results.
pub(super) fn add_results(tree: &Tree<'_>, new: Vec<Value>) -> Result<Vec<TextEdit>, Refusal> {
    let existing = tree.root().and_then(|root| tree.get(root, "results"));
    let operations = match existing.map(|id| tree.items(id).is_empty()) {
        None => json!([{"op": "add", "path": "/results", "value": new}]),
        Some(true) => json!([{"op": "replace", "path": "/results", "value": new}]),
        Some(false) => {
            new.iter().map(|r| json!({"op": "add", "path": "/results/-", "value": r})).collect()
        }
    };
    let operations: Vec<PatchOperation> = serde_json::from_value(operations).unwrap_or_default();
    let mut edits = Vec::new();
    for operation in operations {
        edits.extend(Splice::new(operation).edits(tree)?);
    }
    check_end(tree, &edits)?;
    Ok(edits)
}

/// The parts of a list of the ResourceList.
fn list(tree: &Tree<'_>, root: NodeId, name: &str) -> Option<Vec<Part>> {
    let text = tree.text();
    let (key, list) = tree.entries(root).iter().find(|(key, _)| tree.str(*key) == Some(name))?;
    match &tree.node(*list).kind {
        Kind::Sequence { flow: false, items } => {
            let mut at = skip_blanks(text, tree.node(*key).range.end, b"") + 1;
            let mut parts = Vec::with_capacity(items.len());
            for item in items {
                let dash = next_dash(text, skip_properties(text, at))?;
                let end = after_comments(text, tree.node(*item).range.end.max(dash + 1));
                parts
                    .push(Part { range: dash + 1..end, column: dash + 1 - line_start(text, dash) });
                at = tree.node(*item).range.end.max(dash + 1);
            }
            Some(parts)
        }
        Kind::Sequence { flow: true, items } => {
            let mut at = tree.node(*list).range.start + 1;
            let mut parts = Vec::with_capacity(items.len());
            for item in items {
                let range = &tree.node(*item).range;
                parts.push(Part {
                    range: skip_blanks(text, at, b",").min(range.start)..range.end,
                    column: 0,
                });
                at = range.end;
            }
            Some(parts)
        }
        _ => None,
    }
}

/// Passes over an anchor or tag of the list itself.
fn skip_properties(text: &str, from: usize) -> usize {
    let mut at = skip_blanks(text, from, b"");
    while matches!(text.as_bytes().get(at), Some(b'&' | b'!')) {
        let rest = text.get(at..).unwrap_or_default();
        at += rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        at = skip_blanks(text, at, b"");
    }
    at
}

/// The start of the first line after `end` that is neither blank nor a comment.
fn after_comments(text: &str, end: usize) -> usize {
    let last = comment_lines(text, end).last().map_or(end, |line| line.end);
    next_line(text, last).unwrap_or(text.len())
}
