//! One JSON Patch operation, one text edit.
//!
//! Text outside of an edit is never written again, so comments, order, quoting and line ends stay
//! as they are. Whatever cannot be edited with certainty is refused with its line.
//!
//! | operation | edit |
//! |---|---|
//! | `add …/-`, block | new lines after the last item and the deeper comments that follow it |
//! | `add …/-`, flow | `, {…}` right after the last item |
//! | `add` a key | at the end of the mapping, at its column |
//! | `replace` null, `[]`, `{}` by a collection | block text on the next lines |
//! | `replace` a scalar | its range |
//! | `remove` | whole lines; in flow one comma |

use std::ops::Range;

use json_patch::PatchOperation;

use super::field_path;
use super::place::Place;
use super::refusal::Refusal;
use super::text::{line_at, lone_carriage_return};
use super::tree::{Kind, Tree};

/// An operation on a text, and how a value put back is spelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Splice {
    pub(crate) operation: PatchOperation,
    /// The exact text between a key's colon and the end of its value, for `replace` by an empty
    /// value: what stood there before a collection took its place.
    pub(crate) spelling: Option<String>,
}

impl Splice {
    pub(crate) fn new(operation: PatchOperation) -> Self {
        Self { operation, spelling: None }
    }

    /// The tree's text after the operation.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] if the place does not exist or cannot be edited with certainty.
    pub(crate) fn apply(&self, tree: &Tree<'_>) -> Result<String, Refusal> {
        Self::apply_all([self].into_iter(), tree)
    }

    /// The tree's text after operations that do not move each other's places.
    ///
    /// # Errors
    ///
    /// As [`Splice::apply`].
    pub(crate) fn apply_all<'s>(
        splices: impl Iterator<Item = &'s Self>,
        tree: &Tree<'_>,
    ) -> Result<String, Refusal> {
        check_line_breaks(tree.text())?;
        let mut edits = Vec::new();
        for splice in splices {
            edits.extend(splice.edits(tree)?);
        }
        // Edits at one place stay in the order of their operations.
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        check_end(tree, &edits)?;
        Ok(TextEdit::apply(tree.text(), &edits))
    }

    /// The edits of the operation, for a tree that may be collapsed below the place.
    pub(crate) fn edits(&self, tree: &Tree<'_>) -> Result<Vec<TextEdit>, Refusal> {
        let pointer = self.operation.path();
        let Some((parent, last)) = pointer.split_back() else {
            return Err(Refusal::NotFound { field: field_path(pointer) });
        };
        let place = Place::locate(tree, parent)?;
        let token = last.decoded();
        match &self.operation {
            PatchOperation::Add(add) => match &tree.node(place.node).kind {
                Kind::Sequence { items, .. }
                    if token == "-" || token.parse() == Ok(items.len()) =>
                {
                    place.push(&add.value)
                }
                Kind::Sequence { .. } => Err(Refusal::NotFound { field: field_path(pointer) }),
                _ if tree.get(place.node, &token).is_some() => {
                    place.replace(&token, &add.value, None)
                }
                _ => place.insert(&token, &add.value),
            },
            PatchOperation::Replace(replace) => {
                place.replace(&token, &replace.value, self.spelling.as_deref())
            }
            PatchOperation::Remove(_) => place.remove(&token),
            _ => Err(Refusal::NotFound { field: field_path(pointer) }),
        }
    }
}

/// New text for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextEdit {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

impl TextEdit {
    pub(super) fn insert(at: usize, text: String) -> Self {
        Self { range: at..at, text }
    }

    pub(super) fn delete(range: Range<usize>) -> Self {
        Self { range, text: String::new() }
    }

    /// `text` with all `edits`, which are in order and do not overlap.
    pub(crate) fn apply(text: &str, edits: &[Self]) -> String {
        let mut edited = String::with_capacity(text.len() + 1024);
        let mut at = 0;
        for edit in edits {
            edited.push_str(text.get(at..edit.range.start).unwrap_or_default());
            edited.push_str(&edit.text);
            at = edit.range.end;
        }
        edited.push_str(text.get(at..).unwrap_or_default());
        edited
    }
}

/// Some YAML readers take a lone carriage return for a line break; columns are unsure then.
fn check_line_breaks(text: &str) -> Result<(), Refusal> {
    let lone = lone_carriage_return(text);
    lone.map_or(Ok(()), |at| Err(Refusal::CarriageReturn { line: line_at(text, at) }))
}

/// Nothing can be added to a text that a block scalar ends without a line break: the scalar would
/// get one.
pub(crate) fn check_end(tree: &Tree<'_>, edits: &[TextEdit]) -> Result<(), Refusal> {
    let text = tree.text();
    let adds = |edit: &TextEdit| edit.range.start == text.len() && !edit.text.is_empty();
    if edits.iter().any(adds) && !text.ends_with('\n') && tree.ends_in_block_scalar() {
        return Err(Refusal::NoLineBreak { line: line_at(text, text.len()) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn applied(splice: &Splice, text: &str) -> Result<String, Refusal> {
        check_line_breaks(text)?;
        splice.apply(&Tree::parse(text)?)
    }

    /// The text after operations in JSON Patch's own form, or why not.
    fn edited(text: &str, operations: Value) -> String {
        let operations: Vec<PatchOperation> =
            serde_json::from_value(operations).unwrap_or_default();
        let mut text = text.to_owned();
        for operation in operations {
            match applied(&Splice::new(operation), &text) {
                Ok(edited) => text = edited,
                Err(refusal) => return refusal.to_string(),
            }
        }
        text
    }

    /// Adding and removing again gives the same bytes.
    fn assert_inverse(text: &str, add: Value, remove: Value) {
        let added = edited(text, json!([add]));
        assert_ne!(added, text);
        assert_eq!(edited(&added, json!([remove])), text, "after {added}");
    }

    #[test]
    fn appends_items_below_deeper_comments() {
        let text = "a:\n- x: 1 # one\n  # deeper\n# same column\nb: 2\n";
        insta::assert_snapshot!(
            edited(text, json!([{"op": "add", "path": "/a/-", "value": {"name": "n", "y": []}}])),
            @r#"
        a:
        - x: 1 # one
          # deeper
        - name: "n"
          "y": []
        # same column
        b: 2
        "#
        );
    }

    #[test]
    fn appends_after_the_blank_lines_of_a_keep_scalar() {
        let add = json!({"op": "add", "path": "/a/-", "value": "n"});
        let texts = [
            "a:\n- |+\n  x\n\n\nb: 1",
            "a:\n  - |+\n\n\n",
            "a:\n- >-\n  x\n\n# c\n",
            "a:\n- |\n\nb: |\n",
            "a:\r\n- |+\r\n  x\r\n\r\n\r\n",
            "a:\r\n- |+\r\n\r\n  \r\nb: 1\r\n",
        ];
        let all: Vec<_> = texts.iter().map(|text| edited(text, json!([add]))).collect();
        insta::assert_debug_snapshot!(all, @r#"
        [
            "a:\n- |+\n  x\n\n\n- \"n\"\nb: 1",
            "a:\n  - |+\n\n\n  - \"n\"\n",
            "a:\n- >-\n  x\n- \"n\"\n\n# c\n",
            "a:\n- |\n- \"n\"\n\nb: |\n",
            "a:\r\n- |+\r\n  x\r\n\r\n\r\n- \"n\"\r\n",
            "a:\r\n- |+\r\n\r\n  \r\n- \"n\"\r\nb: 1\r\n",
        ]
        "#);
        for text in texts {
            assert_inverse(text, add.clone(), json!({"op": "remove", "path": "/a/1"}));
        }
    }

    #[test]
    fn adds_to_every_layout_and_takes_away_again() {
        let item = |path: &str| json!({"op": "add", "path": path, "value": {"name": "plugins"}});
        let cases = [
            ("a:\n- x\n", "/a/-", "/a/1"),
            ("a:\r\n  - x # c\r\nb: 1\r\n", "/a/-", "/a/1"),
            ("a:\n- x", "/a/-", "/a/1"),
            ("a: [x, y,]\n", "/a/-", "/a/2"),
            ("{\"a\": [{\"b\": {}}]}", "/a/-", "/a/1"),
            ("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n", "/a/c", "/a/c"),
            ("a:\n    b: 1 # c\n    # deeper\n", "/a/c", "/a/c"),
            ("a:\n    b: 1 # c\n      # deeper\nd: {}\n", "/a/c", "/a/c"),
            ("a:\n- b: |\n    text\n\n\nz: 1", "/a/0/c", "/a/0/c"),
            ("a: &x\n- 1\nb:\n  c: *x\n", "/b/d", "/b/d"),
            ("? a\n: b\nc:\n  d: e\n", "/c/f", "/c/f"),
        ];
        for (text, add, remove) in cases {
            assert_inverse(text, item(add), json!({"op": "remove", "path": remove}));
        }
    }

    #[test]
    fn puts_a_collection_where_nothing_was() {
        let replace = |value| json!([{"op": "replace", "path": "/a/b", "value": value}]);
        let item = json!([{"name": "n", "m": {"k": "v"}}]);
        let texts = [
            "a:\n  b: [] # none\n  c: 1",
            "a:\n  b:\n  c: 1",
            "a:\n  b: ~\n",
            "a:\n  b: # none\n    # still none\n  c: 1",
            "a:\n  b: [ # keep\n  ]\n",
            "a:\n  b: # keep\n    []\n",
            "a: {b: [], c: 1}",
        ];
        let all: Vec<_> = texts.iter().map(|text| edited(text, replace(item.clone()))).collect();
        insta::assert_snapshot!(all.join("\n---\n"));
    }

    #[test]
    fn spells_what_is_put_back() {
        for (spelling, rest) in
            [(" []", " # none\n"), ("   null", "\n"), ("", " # c\n"), ("", "\n")]
        {
            let text = format!("a:{spelling}{rest}b: 1\n");
            let filled = edited(&text, json!([{"op": "add", "path": "/a", "value": [{"x": "y"}]}]));
            let operation =
                serde_json::from_value(json!({"op": "replace", "path": "/a", "value": null}));
            let Ok(operation) = operation else { panic!("not an operation") };
            let splice = Splice { operation, spelling: Some(spelling.to_owned()) };
            assert_eq!(applied(&splice, &filled), Ok(text));
        }
    }

    #[test]
    fn replaces_scalars_where_they_stand() {
        let replace = |text: &str, value| {
            edited(
                text,
                json!([{"op": "replace", "path": "/a/0", "value": {}}, {"op": "replace", "path": "/b", "value": value}]),
            )
        };
        let all = [
            replace("a: [x]\nb: old # c\n", json!("new")),
            replace("a:\n- x\nb:\n  'old'\n", json!(7)),
            replace("a: [\"x\"]\nb: \"o\n  ld\"\nc: 1", json!("yes")),
            replace("a: [x]\nb: | # c\n  text\n  more\n\nc: 1", json!("new")),
            replace("a: [x]\nb:\nc: 1", json!(false)),
        ];
        insta::assert_snapshot!(all.join("\n---\n"));
    }

    #[test]
    fn removes_the_only_child_but_keeps_the_collection() {
        let remove = |text: &str, path: &str| edited(text, json!([{"op": "remove", "path": path}]));
        insta::assert_debug_snapshot!([
            remove("a: # c\n- x: 1\n  y: 2\nb: 1\n", "/a/0"),
            remove("a:\n  b: 1\n", "/a/b"),
            remove("a: {b: 1}", "/a/b"),
            remove("a: [x,]", "/a/0"),
            remove("a: [x, y]", "/a/0"),
            remove("a:\n- b: 1 # gone\n  # gone too\n  c: 2\n", "/a/0/b"),
        ], @r#"
        [
            "a: [] # c\nb: 1\n",
            "a: {}\n",
            "a: {}",
            "a: []",
            "a: [y]",
            "a:\n- c: 2\n",
        ]
        "#);
    }

    #[test]
    fn refuses_what_it_cannot_be_sure_of() {
        let add = |text: &str| edited(text, json!([{"op": "add", "path": "/a/b/-", "value": "n"}]));
        let all = [
            add("a: &x\n  b: [1]\n"),
            add("a:\n  b: *y\n"),
            add("z: &x {b: [1]}\na: *x\n"),
            add("a:\n  <<: {c: 1}\n  b: [1]\n"),
            add("a:\n  b: [1]\n  b: [2]\n"),
            add("a:\n  b: !!set [1]\n"),
            add("a:\n  [k]: 1\n  b: [1]\n"),
            add("a:\n  b: text\n"),
            add("a: 1\r\n"),
            add("a: 1\rb: 2\n"),
            add("a: [\n"),
            add("? a\n: b:\n  - 1\n"),
            add("a:\n  b: [1]\n---\nc: d\n"),
            edited("a: [x # c\n]", json!([{"op": "remove", "path": "/a/7"}])),
            edited("a: [x # c\n, y]", json!([{"op": "remove", "path": "/a/1"}])),
            edited("- - x\n  - y\n", json!([{"op": "remove", "path": "/0/0"}])),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
