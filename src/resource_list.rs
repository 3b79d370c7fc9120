//! The ResourceList: where its parts stand, and the same bytes with an item or results changed.
//!
//! The specification is in kustomize's `cmd/config/docs/api-conventions/functions-spec.md`. Two
//! readers find the parts: a line scanner ([`scan`]) for the shape that orchestrators send, and the
//! event parser ([`events`]) for everything else. Where both can read an input they agree; a fuzz
//! target holds them to it.

mod events;

mod scan;

pub(crate) use events::list_parts;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use crate::results::Result as KrmResult;
use crate::yaml::render::Layout;
use crate::yaml::text::{line_start, newline_at, skip_blanks};
use crate::yaml::{Refusal, SyntaxError, TextEdit, Tree};

/// The versions of `config.kubernetes.io` that carry the fields that are read here.
const API_VERSIONS: [&str; 3] =
    ["config.kubernetes.io/v1", "config.kubernetes.io/v1beta1", "config.kubernetes.io/v1alpha1"];

/// Why standard input is not a ResourceList that the function can work on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResourceListError {
    #[error("standard input is empty")]
    Empty,
    #[error("standard input is not UTF-8: the byte at offset {offset} is invalid")]
    NotUtf8 { offset: usize },
    #[error("standard input is not YAML: {0}")]
    Syntax(#[from] SyntaxError),
    #[error("standard input must be a ResourceList, got {actual}")]
    NotResourceList { actual: String },
    #[error("`apiVersion` must be one of {}, got \"{actual}\"", API_VERSIONS.join(", "))]
    ApiVersion { actual: String },
    #[error("`items` must be a list")]
    NoItems,
    #[error("line {line}: the key `{key}` stands twice in the ResourceList")]
    DuplicateKey { line: usize, key: String },
}

impl ResourceListError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotUtf8 { .. } | Self::Syntax(_) | Self::NotResourceList { .. } => {
                "run the program through kustomize or kpt, or patch plain manifests with the `inject` command"
            }
            _ => {
                "the orchestrator sends `apiVersion`, `kind: ResourceList`, `items` and `functionConfig`"
            }
        }
    }
}

/// A part of the input, readable as a document of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) range: Range<usize>,
    /// The column at which the part begins. In its own document, spaces stand before it.
    pub(crate) column: usize,
}

impl Part {
    /// The part as a document. Edits of it leave its first [`Part::column`] bytes alone.
    pub(crate) fn document<'i>(&self, input: &'i str) -> Cow<'i, str> {
        let text = input.get(self.range.clone()).unwrap_or_default();
        if self.column == 0 {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("{:1$}{text}", "", self.column))
    }

    pub(crate) fn text<'i>(&self, input: &'i str) -> &'i str {
        input.get(self.range.clone()).unwrap_or_default()
    }

    /// The part from the line on which its content begins, so that messages name that line. Edits
    /// need nothing of what stands before it.
    pub(crate) fn without_head(self, input: &str) -> Self {
        let text = self.text(input);
        let content = skip_blanks(text, 0, b"");
        match line_start(text, content) {
            start if start > 0 && content < text.len() => {
                Self { range: self.range.start + start..self.range.end, column: 0 }
            }
            _ => self,
        }
    }
}

/// Where the parts of a ResourceList stand.
#[derive(Debug, Clone, PartialEq, Default)]
struct Parts {
    api_version: String,
    kind: String,
    /// None if there is no list of that name.
    items: Option<Vec<Part>>,
    function_config: Option<Part>,
    results: ResultsPlace,
}

/// How results are added.
#[derive(Debug, Clone, PartialEq, Default)]
enum ResultsPlace {
    /// As an edit of the tree.
    #[default]
    InTree,
    /// As lines after the end of the input, which has no `results`.
    AtEnd,
    /// As lines at the end of a section, which holds these.
    In { existing: Vec<Value>, end: usize },
}

/// An input and its parts.
#[derive(Debug)]
pub(crate) struct ResourceList<'i> {
    input: &'i str,
    parts: Parts,
}

impl<'i> ResourceList<'i> {
    /// Finds the parts of `input`, which is taken for a ResourceList if its `kind` says so.
    pub(crate) fn parse(input: &'i [u8]) -> Result<Self, ResourceListError> {
        let input = std::str::from_utf8(input)
            .map_err(|error| ResourceListError::NotUtf8 { offset: error.valid_up_to() })?;
        if input.trim_ascii().is_empty() {
            return Err(ResourceListError::Empty);
        }
        let parts = match scan::parts(input) {
            Some(parts) => parts,
            None => events::parts(input)?,
        };
        Self::new(input, parts)
    }

    fn new(input: &'i str, parts: Parts) -> Result<Self, ResourceListError> {
        if parts.kind != "ResourceList" {
            let actual = match parts.kind.as_str() {
                "" => "no `kind`".to_owned(),
                kind => format!("kind \"{kind}\""),
            };
            return Err(ResourceListError::NotResourceList { actual });
        }
        let without_heads =
            |items: Vec<Part>| items.into_iter().map(|item| item.without_head(input)).collect();
        Ok(Self { input, parts: Parts { items: parts.items.map(without_heads), ..parts } })
    }

    /// What is wrong with a ResourceList that can at least be handed back.
    pub(crate) fn check(&self) -> Result<(), ResourceListError> {
        if !API_VERSIONS.contains(&self.parts.api_version.as_str()) {
            return Err(ResourceListError::ApiVersion { actual: self.parts.api_version.clone() });
        }
        if self.parts.items.is_none() {
            return Err(ResourceListError::NoItems);
        }
        Ok(())
    }

    pub(crate) fn input(&self) -> &'i str {
        self.input
    }

    pub(crate) fn items(&self) -> &[Part] {
        self.parts.items.as_deref().unwrap_or_default()
    }

    pub(crate) fn function_config(&self) -> Option<&Part> {
        self.parts.function_config.as_ref()
    }

    /// The output: the input with one item's document changed and results added.
    ///
    /// Results that stand in the input already are not added again. Without a change and without
    /// results the pieces are the input itself.
    pub(crate) fn output(
        &self,
        change: Option<(&Part, String)>,
        results: &[KrmResult],
    ) -> Result<Vec<Cow<'i, str>>, Refusal> {
        let end = self.input.len();
        let mut edits = self.results_edits(results)?;
        if let Some((part, document)) = change {
            let text = document.get(part.column..).unwrap_or_default().to_owned();
            edits.push((part.range.clone(), text));
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
        let mut at = 0;
        for (range, text) in edits {
            pieces.push(Cow::Borrowed(self.input.get(at..range.start).unwrap_or_default()));
            pieces.push(Cow::Owned(text));
            at = range.end;
        }
        pieces.push(Cow::Borrowed(self.input.get(at..end).unwrap_or_default()));
        Ok(pieces)
    }

    fn results_edits(&self, results: &[KrmResult]) -> Result<Vec<(Range<usize>, String)>, Refusal> {
        let new = results.iter().map(KrmResult::to_value);
        match &self.parts.results {
            _ if results.is_empty() => Ok(Vec::new()),
            ResultsPlace::AtEnd => {
                let new = Value::Array(new.collect());
                let lines = Layout::COMPACT.entry("results", &new, 0);
                // A line break at the end could become part of a block scalar that ends there.
                if !self.input.ends_with('\n') {
                    let newline = newline_at(self.input, self.input.len());
                    return Ok(vec![(0..0, lines.join(newline) + newline)]);
                }
                Ok(vec![self.insert_lines(self.input.len(), &lines)])
            }
            ResultsPlace::In { existing, end } => {
                let new = new.filter(|result| !existing.contains(result));
                let lines: Vec<_> =
                    new.flat_map(|result| Layout::COMPACT.item(&result, 0)).collect();
                let edit = (!lines.is_empty()).then(|| self.insert_lines(*end, &lines));
                Ok(edit.into_iter().collect())
            }
            ResultsPlace::InTree => {
                let tree = Tree::parse_to_depth(self.input, 2)?;
                let existing = events::results(self.input, &tree);
                let new: Vec<Value> = new.filter(|result| !existing.contains(result)).collect();
                if new.is_empty() {
                    return Ok(Vec::new());
                }
                let edits = events::add_results(&tree, new)?;
                Ok(edits.into_iter().map(|edit| self.below_line_break(edit)).collect())
            }
        }
    }

    /// Lines behind the end of a line as lines where the next one begins: the line break may belong
    /// to an item that changes.
    fn below_line_break(&self, edit: TextEdit) -> (Range<usize>, String) {
        let at = edit.range.start;
        let newline = newline_at(self.input, at);
        let ends_line = self.input.get(at..).is_some_and(|rest| rest.starts_with(newline));
        match edit.text.strip_prefix(newline) {
            Some(lines) if edit.range.is_empty() && ends_line => {
                (at + newline.len()..at + newline.len(), format!("{lines}{newline}"))
            }
            _ => (edit.range, edit.text),
        }
    }

    /// Lines where a line begins, or behind the last one.
    fn insert_lines(&self, at: usize, lines: &[String]) -> (Range<usize>, String) {
        let newline = newline_at(self.input, at);
        let mut text = String::new();
        if self.input.get(..at).is_some_and(|before| !before.ends_with('\n')) {
            text.push_str(newline);
        }
        for line in lines {
            text.push_str(line);
            text.push_str(newline);
        }
        (at..at, text)
    }
}

/// Compares the two readers: what the line scanner takes, the event parser must see the same way,
/// if it can read it at all.
///
/// # Errors
///
/// Returns both views if they differ.
pub(crate) fn compare_readers(input: &str) -> Result<(), String> {
    let (Some(scanned), Ok(parsed)) = (scan::parts(input), events::parts(input)) else {
        return Ok(());
    };
    let parsed = Parts { results: scanned.results.clone(), ..parsed };
    if scanned == parsed { Ok(()) } else { Err(format!("{scanned:#?}\n{parsed:#?}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEAD: &str = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n";

    /// The text of the parts as both readers see them; the event parser's if the scanner sees none.
    fn seen(rest: &str) -> (bool, Vec<String>, Option<String>) {
        let input = format!("{HEAD}{rest}");
        compare_readers(&input).unwrap();
        let scanned = scan::parts(&input).is_some();
        let list = ResourceList::parse(input.as_bytes()).unwrap();
        let text = |part: &Part| part.text(&input).to_owned();
        (scanned, list.items().iter().map(text).collect(), list.function_config().map(text))
    }

    fn scanned(rest: &str) -> Vec<String> {
        let (scanned, items, _) = seen(rest);
        assert!(scanned, "left to the event parser: {rest}");
        items
    }

    fn parsed(rest: &str) -> Vec<String> {
        let (scanned, items, _) = seen(rest);
        assert!(!scanned, "taken by the scanner: {rest}");
        items
    }

    #[test]
    fn scans_what_orchestrators_send() {
        assert_eq!(scanned("items:\n- a: b\n- c:\n  - d\n"), [" a: b\n", " c:\n  - d\n"]);
        assert_eq!(scanned("items: # c\n# c\n- a: b\n# d\n\n- c\n"), [" a: b\n# d\n\n", " c\n"]);
        assert_eq!(scanned("items:\r\n- a: |\r\n    - b\r\n"), [" a: |\r\n    - b\r\n"]);
        assert_eq!(scanned("items:\n-\n  a: b\n- {a: \"b\"}"), ["  a: b\n", " {a: \"b\"}"]);
        assert_eq!(scanned("items:\n- a: \"b\n    c\"\n"), [" a: \"b\n    c\"\n"]);
    }

    #[test]
    fn an_item_begins_with_the_line_of_its_first_key() {
        assert_eq!(scanned("items:\n- # c\n\n  # d\n  a: b # e\n"), ["  a: b # e\n"]);
        assert_eq!(scanned("items:\n-\n  {a: b}\n- c:\n    d\n"), ["  {a: b}\n", " c:\n    d\n"]);
        assert_eq!(parsed("items:\n  - # c\n    a: b\n  - c\n"), ["    a: b\n", " c\n"]);
    }

    #[test]
    fn results_at_the_end_are_read_by_lines_too() {
        let input =
            format!("{HEAD}items:\n- a: [\n  b\n  ]\n- c: *x y\nresults:\n- message: \"m\"\n");
        let list = ResourceList::parse(input.as_bytes()).unwrap();
        let place = ResultsPlace::In { existing: vec![json!({"message": "m"})], end: input.len() };
        assert_eq!(list.parts.results, place);
        let result = |message: &str| KrmResult::new(crate::Severity::Info, message);
        let output = list.output(None, &[result("n")]).unwrap().concat();
        assert_eq!(output, format!("{input}- message: \"n\"\n  severity: info\n"));
        let again = ResourceList::parse(output.as_bytes()).unwrap();
        assert_eq!(again.output(None, &[result("n")]).unwrap().concat(), output);
    }

    #[test]
    fn an_explicit_key_without_a_value_ends_where_it_stands() {
        let items = ["- ? k\n", "- ?\n", "- ? k\n  :\n", "- a: # c\n", "-\n", "- # c\n", "- b\n"];
        let expected: Vec<_> = items.iter().map(|item| &item[1..]).collect();
        assert_eq!(scanned(&format!("items:\n{}", items.concat())), expected);
    }

    #[test]
    fn parses_every_other_shape() {
        assert_eq!(parsed("items:\n  - a: b\n  - c: d\n"), [" a: b\n", " c: d\n"]);
        assert_eq!(parsed("items: [{a: b}, {c: d}]\n"), ["{a: b}", "{c: d}"]);
        assert_eq!(parsed("items: []\n"), [""; 0]);
        assert_eq!(parsed("items:\n- a: \"b\n- c\"\n"), [" a: \"b\n- c\"\n"]);
        assert_eq!(parsed("items:\n-\ta\n"), ["\ta\n"]);
        assert_eq!(parsed("items: &a\n- b: c\n"), [" b: c\n"]);
        assert_eq!(parsed("metadata: {}\nitems:\n- b: c\n"), [" b: c\n"]);
    }

    #[test]
    fn finds_the_config_on_either_side_of_the_items() {
        let config = |rest: &str| seen(rest).2;
        let expected = Some("a: b # c\n".to_owned());
        assert_eq!(config("items:\n- x: y\nfunctionConfig:\n  a: b # c\n"), expected);
        assert_eq!(config("functionConfig:\n  a: b # c\nitems:\n- x: y\n"), expected);
        assert_eq!(config("functionConfig: {a: b}\nitems: []\n"), Some("{a: b}".to_owned()));
        assert_eq!(config("functionConfig: ~\nitems:\n- x: y\n"), None);
        assert_eq!(config("items:\n- x: y\n"), None);
    }

    #[test]
    fn says_why_an_input_is_no_list() {
        let error = |input: &str| {
            let list = ResourceList::parse(input.as_bytes());
            list.and_then(|list| list.check()).unwrap_err().to_string()
        };
        let errors = [
            "",
            "# c\n",
            "a: [",
            "- a\n",
            "a: b\n",
            "kind: List\n",
            "kind: ResourceList\nitems: []\n",
            "kind: ResourceList\napiVersion: v1\nitems: []\n",
            "kind: ResourceList\nkind: ResourceList\n",
            "kind: ResourceList\napiVersion: config.kubernetes.io/v1\nitems: {}\n",
            "kind: ResourceList\n---\nkind: ResourceList\n",
        ];
        insta::assert_snapshot!(errors.map(error).join("\n"), @r#"
        standard input is empty
        standard input is empty
        standard input is not YAML: line 1, column 4: unclosed bracket '['
        standard input must be a ResourceList, got something that is no mapping
        standard input must be a ResourceList, got no `kind`
        standard input must be a ResourceList, got kind "List"
        `apiVersion` must be one of config.kubernetes.io/v1, config.kubernetes.io/v1beta1, config.kubernetes.io/v1alpha1, got ""
        `apiVersion` must be one of config.kubernetes.io/v1, config.kubernetes.io/v1beta1, config.kubernetes.io/v1alpha1, got "v1"
        line 2: the key `kind` stands twice in the ResourceList
        `items` must be a list
        standard input is not YAML: line 3: a second document begins
        "#);
        let error = ResourceList::parse(b"kind: \xff").unwrap_err();
        insta::assert_snapshot!(error, @"standard input is not UTF-8: the byte at offset 6 is invalid");
    }

    #[test]
    fn puts_results_where_the_list_has_room_for_them() {
        let result = [KrmResult::new(crate::Severity::Info, "done")];
        let output = |rest: &str| {
            let input = format!("{HEAD}{rest}");
            let list = ResourceList::parse(input.as_bytes()).unwrap();
            let output = list.output(None, &result).unwrap().concat();
            // A second run adds nothing.
            let again = ResourceList::parse(output.as_bytes()).unwrap();
            assert_eq!(again.output(None, &result).unwrap().concat(), output);
            output.replacen(HEAD, "", 1)
        };
        let outputs = [
            "items:\n- a: b\n",
            "items:\n- a: b",
            "items: []\nresults: []\n",
            "items: []\nresults:\n",
            "results:\n- message: other\nitems: []\n",
            "results: # a\n- message: other\n# b\nitems:\n- a: b\n",
            "items: [] # c\n# end\n",
        ];
        insta::assert_snapshot!(outputs.map(output).join("---\n"), @"
        items:
        - a: b
        results:
        - message: done
          severity: info
        ---
        results:
        - message: done
          severity: info
        items:
        - a: b---
        items: []
        results:
        - message: done
          severity: info
        ---
        items: []
        results:
        - message: done
          severity: info
        ---
        results:
        - message: other
        - message: done
          severity: info
        items: []
        ---
        results: # a
        - message: other
        # b
        - message: done
          severity: info
        items:
        - a: b
        ---
        items: [] # c
        results:
        - message: done
          severity: info
        # end
        ");
        let json = "{\"kind\": \"ResourceList\", \"items\": []}";
        let list = ResourceList::parse(json.as_bytes()).unwrap();
        insta::assert_snapshot!(list.output(None, &result).unwrap().concat(), @r#"{"kind": "ResourceList", "items": [], "results": [{"message": "done", "severity": "info"}]}"#);
    }

    #[test]
    fn both_readers_see_the_same_parts() {
        let items = [
            "- a: 'x'\n- b: \"y\"\n",
            "- a: |\n    don't \"\n  b: [c]\n- d\n",
            "- a: \"x\n  y\"\n- b\n",
            "- a: [\"x]\", 'y, [', {b: 'z''}', c: d}]\n- e\n",
            "- a: [b:'c]\n- e\n",
            "- a: |+\n    x\n\n\n# c\n- b\n",
        ];
        for items in items {
            assert_eq!(scanned(&format!("items:\n{items}functionConfig:\n  a: b\n")).len(), 2);
        }
    }

    #[test]
    fn the_scanner_leaves_what_may_be_open_to_the_event_parser() {
        let items = [
            "- a: 'x\n- b: y'\n",
            "- a: |\n    text\n  b: 'x\n- c: y'\n",
            "- a: |\n  b: 'x\n- c: y'\n",
            "- - a: |\n    b: [x,\n- c: y]\n",
            "- a: {b: c,\n- d: |\n    '}\n",
            "- a: [b 'c, 'd]\n- e: f']\n",
        ];
        for items in items {
            assert_eq!(scan::parts(&format!("{HEAD}items:\n{items}")), None, "{items}");
        }
    }
}
