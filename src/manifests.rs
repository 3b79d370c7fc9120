//! Plain manifests: the same change without a ResourceList.
//!
//! A file holds documents parted by `---`, each an object or a `List` of objects, in YAML or JSON.

use std::borrow::Cow;
use std::ops::Range;

use crate::config::{Config, ConfigError};
use crate::finding::Finding;
use crate::resource_list::{Part, list_parts};
use crate::results::Severity;
use crate::yaml::Tree;
use crate::yaml::text::{line_at, line_end, line_start, next_line, skip_blanks};
use crate::yaml::tree::Kind;
use crate::{change_target, findings_of_config};

/// The text of manifests, and where their objects stand.
#[derive(Debug)]
pub struct Manifests<'i> {
    text: &'i str,
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    part: Part,
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// New text, if there is any, and what was done and left alone.
#[derive(Debug)]
pub struct Outcome<'i> {
    /// The manifests as they are to be, in pieces; none after an error.
    pub stdout: Option<Vec<Cow<'i, str>>>,
    /// What was found and done.
    pub findings: Vec<Finding>,
    /// What became of each object, for people.
    pub report: Vec<String>,
}

/// Injects what a functionConfig, or just an image, asks for.
///
/// `config` is the text of the functionConfig; without it, `image` is injected with all defaults.
#[must_use]
pub fn inject<'i>(
    manifests: &Manifests<'i>,
    config: Option<&str>,
    image: Option<&str>,
) -> Outcome<'i> {
    let config = match (config, image) {
        (Some(file), _) => config_of_file(file),
        (None, image) => Config::from_image(image.unwrap_or_default())
            .map_err(|errors| findings_of_config(&errors, "")),
    };
    manifests.change(config)
}

/// Removes what a record names, or with a functionConfig what that names.
#[must_use]
pub fn uninject<'i>(manifests: &Manifests<'i>, config: Option<&str>) -> Outcome<'i> {
    let config = match config {
        None => Ok(Config::removal()),
        Some(file) => config_of_file(file).map(Config::absent),
    };
    manifests.change(config)
}

impl<'i> Manifests<'i> {
    /// Finds the objects of a file's text.
    ///
    /// # Errors
    ///
    /// Returns a finding if the bytes are no UTF-8 or a document is no YAML.
    pub fn parse(bytes: &'i [u8]) -> Result<Self, Box<Finding>> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Finding::error(format!("the byte at offset {} is not UTF-8", error.valid_up_to()))
        })?;
        let mut objects = Vec::new();
        for document in documents(text) {
            let source = text.get(document.clone()).unwrap_or_default();
            // The lines before it are counted for an error only: for each document they would take
            // the square of the text's length.
            let tree = Tree::parse_to_depth(source, 2).map_err(|error| {
                let lines = line_at(text, document.start) - 1;
                Box::new(Finding::error(error.below(lines).to_string()))
            })?;
            match list_parts(&tree) {
                Some(parts) => objects.extend(parts.into_iter().map(|part| {
                    let range = part.range.start + document.start..part.range.end + document.start;
                    Object::read(text, Part { range, ..part }.without_head(text))
                })),
                None if is_object(&tree) => {
                    let range = document.start + content_line(source)..document.end;
                    objects.push(Object::read(text, Part { range, column: 0 }));
                }
                None => {}
            }
        }
        Ok(Self { text, objects })
    }

    pub(crate) fn text(&self) -> &'i str {
        self.text
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        self.objects.iter().map(|object| object.part.clone()).collect()
    }

    fn change(&self, config: Result<Config, Vec<Finding>>) -> Outcome<'i> {
        match config.and_then(|config| self.changed(&config)) {
            Ok(outcome) => outcome,
            Err(findings) => Outcome { stdout: None, findings, report: Vec::new() },
        }
    }

    fn changed(&self, config: &Config) -> Result<Outcome<'i>, Vec<Finding>> {
        if self.objects.is_empty() {
            return Err(vec![Finding::error("the input holds no objects")]);
        }
        let parts = self.parts();
        let (index, edited) = change_target(config, self.text, &parts)?;
        let verb = if edited.document.is_some() { "changed" } else { "as it should be" };
        let report = self.report(index, verb);
        let stdout = match (edited.document, parts.get(index)) {
            (Some(document), Some(part)) => {
                let text = document.get(part.column..).unwrap_or_default().to_owned();
                let before = self.text.get(..part.range.start).unwrap_or_default();
                let after = self.text.get(part.range.end..).unwrap_or_default();
                vec![Cow::Borrowed(before), Cow::Owned(text), Cow::Borrowed(after)]
            }
            _ => vec![Cow::Borrowed(self.text)],
        };
        Ok(Outcome { stdout: Some(stdout), findings: edited.findings, report })
    }

    /// A line for the target and for every other Deployment, and a count of all else.
    fn report(&self, target: usize, verb: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut others = 0;
        for (index, object) in self.objects.iter().enumerate() {
            if index == target {
                lines.push(format!("{} {verb}", object.title()));
            } else if object.kind == "Deployment" {
                lines.push(format!("{} left alone: it does not match the target", object.title()));
            } else {
                others += 1;
            }
        }
        match others {
            0 => {}
            1 => lines.push("1 object left alone: it is no Deployment".to_owned()),
            _ => lines.push(format!("{others} objects left alone: they are no Deployments")),
        }
        lines
    }
}

impl Object {
    fn read(text: &str, part: Part) -> Self {
        let document = part.document(text);
        // A skeleton is enough for the names; what cannot be read has none.
        let tree = Tree::parse_to_depth(&document, 2).ok();
        let word = |path: &[&str]| {
            let tree = tree.as_ref()?;
            let id = path.iter().try_fold(tree.root()?, |id, key| tree.get(id, key))?;
            tree.str(id).map(ToOwned::to_owned)
        };
        let kind = word(&["kind"]).unwrap_or_default();
        let name = word(&["metadata", "name"]).unwrap_or_default();
        let namespace = word(&["metadata", "namespace"]);
        Self { kind, name, namespace, part }
    }

    fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} \"{namespace}/{}\"", self.kind, self.name),
            None => format!("{} \"{}\"", self.kind, self.name),
        }
    }
}

impl Outcome<'_> {
    /// Whether the run failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// The config that a file holds: the one document in it that is not empty.
pub(crate) fn config_of_file(text: &str) -> Result<Config, Vec<Finding>> {
    let document = only_document(text).map_err(|error| findings_of_config(&[error], ""))?;
    Config::from_document(&document).map_err(|errors| findings_of_config(&errors, &document))
}

/// As many lines stand before the document as in `text`, so that messages name the right one.
fn only_document(text: &str) -> Result<Cow<'_, str>, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let says_something = |range: &Range<usize>| {
        !serde_yaml::from_str(source(range)).is_ok_and(|value: serde_yaml::Value| value.is_null())
    };
    let mut documents = documents(text).into_iter().filter(says_something);
    let only = documents.next().ok_or(ConfigError::EmptyFile)?;
    if let Some(second) = documents.next() {
        let line = line_at(text, second.start + content_line(source(&second)));
        return Err(ConfigError::SecondDocument { line });
    }
    Ok(match line_at(text, only.start) - 1 {
        0 => Cow::Borrowed(source(&only)),
        lines => Cow::Owned("\n".repeat(lines) + source(&only)),
    })
}

/// A document may also be empty.
fn is_object(tree: &Tree<'_>) -> bool {
    tree.root().is_some_and(|root| matches!(tree.node(root).kind, Kind::Mapping { .. }))
}

/// The documents of a stream, each with its `---` line and the directives before it.
///
/// A marker stands at column 0, where no scalar can hold it.
fn documents(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut next = Some(0);
    while let Some(at) = next {
        next = next_line(text, at);
        if is_marker(text, at, "---") {
            starts.push(before_directives(text, at));
        } else if is_marker(text, at, "...") {
            starts.push(next.unwrap_or(text.len()));
        }
    }
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| *start..end).filter(|r| !r.is_empty()).collect()
}

fn is_marker(text: &str, line: usize, marker: &str) -> bool {
    let line = text.get(line..line_end(text, line)).unwrap_or_default();
    let rest = line.strip_prefix('\u{feff}').unwrap_or(line).strip_prefix(marker);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// The line on which a document's content begins, behind comments, directives and the marker.
///
/// Tags may need the directive `%TAG`, so a document with one begins there.
fn content_line(document: &str) -> usize {
    let rest = |at: usize| document.get(at..).unwrap_or_default();
    let bom = document.len() - document.trim_start_matches('\u{feff}').len();
    let mut at = skip_blanks(document, bom, b"");
    while rest(at).starts_with('%') && !rest(at).starts_with("%TAG") {
        at = skip_blanks(document, line_end(document, at), b"");
    }
    if is_marker(document, line_start(document, at), "---") {
        at = skip_blanks(document, at + 3, b"");
    }
    line_start(document, at)
}

/// The first of the directives that stand before a marker, comments between them aside.
fn before_directives(text: &str, marker: usize) -> usize {
    let (mut at, mut first) = (marker, marker);
    while at > 0 {
        at = line_start(text, at - 1);
        let line = text.get(at..line_end(text, at)).unwrap_or_default();
        if line.starts_with('%') {
            first = at;
        } else if !line.trim_ascii().is_empty() && !line.starts_with('#') {
            break;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        documents(text).into_iter().map(|range| &text[range]).collect()
    }

    fn kinds(text: &str) -> Vec<String> {
        let manifests = Manifests::parse(text.as_bytes()).unwrap();
        manifests.objects.into_iter().map(|object| object.kind).collect()
    }

    #[test]
    fn parts_documents_at_their_markers() {
        assert_eq!(split("a: b\n---\nc: d\n"), ["a: b\n", "---\nc: d\n"]);
        assert_eq!(split("--- # one\na: b\r\n---\tx\r\n"), ["--- # one\na: b\r\n", "---\tx\r\n"]);
        assert_eq!(split("\u{feff}---\na: b"), ["\u{feff}---\na: b"]);
        assert_eq!(split("a: b\n...\n\n---\nc"), ["a: b\n...\n", "\n", "---\nc"]);
        assert_eq!(
            split("%YAML 1.2\n# c\n---\na\n...\n%TAG ! x\n\n---\nb\n"),
            ["%YAML 1.2\n# c\n---\na\n...\n", "%TAG ! x\n\n---\nb\n"]
        );
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn keeps_what_only_looks_like_a_marker() {
        for text in ["a: |\n  ---\n  ...\n", "a: \"\n  ---\"\n", "----: a\n", "---a: b\n", " ---\n"]
        {
            assert_eq!(split(text), [text]);
        }
    }

    #[test]
    fn a_document_begins_with_the_line_of_its_first_key() {
        let first = |text: &str| text[content_line(text)..].to_owned();
        for head in ["", "---\n", "# c\n\n", "---\n# c\n", "--- # c\r\n", "%YAML 1.2\n---\n \n"] {
            assert_eq!(first(&format!("{head}a: b\nc: d\n")), "a: b\nc: d\n");
            let with_mark = first(&format!("\u{feff}{head}a: b\n"));
            assert_eq!(with_mark.trim_start_matches('\u{feff}'), "a: b\n");
        }
        assert_eq!(first("# c\n--- {a: b}\n"), "--- {a: b}\n");
        assert_eq!(first("# c\n --- : b\n"), " --- : b\n");
        assert_eq!(first("# c\n%TAG ! x\n---\na: b\n"), "%TAG ! x\n---\na: b\n");
    }

    #[test]
    fn a_config_file_holds_one_document() {
        let only = |text: &str| only_document(text).map(Cow::into_owned);
        for text in ["a: b\n", "\u{feff}a: b\n", "a: b\n---\n", "a: b\n--- # c\n...\n"] {
            assert_eq!(only(text), Ok("a: b\n".to_owned()), "{text:?}");
        }
        assert_eq!(only("# c\n---\n# d\n---\na: b\n"), Ok("\n\n\n---\na: b\n".to_owned()));
        assert_eq!(only("---\n: [\n"), Ok("---\n: [\n".to_owned()));
        for text in ["", "\u{feff}", "# c\n", "---\n---\n", "~\n"] {
            assert_eq!(only(text), Err(ConfigError::EmptyFile), "{text:?}");
        }
        let second = only("---\na: b\n---\n---\n# c\nc: d\n");
        assert_eq!(second, Err(ConfigError::SecondDocument { line: 6 }));
    }

    #[test]
    fn finds_objects_and_passes_by_empty_documents() {
        let text =
            "---\n---\nkind: A\n--- ~\n---\n# nothing\n---\nkind: BList\nitems: [{kind: B}, {}]\n";
        assert_eq!(kinds(text), ["A", "B", ""]);
        assert_eq!(kinds("{\"kind\": \"List\", \"items\": [{\"kind\": \"J\"}]}"), ["J"]);
        assert_eq!(kinds("kind: List\nitems:\n- kind: X\n-\n  kind: Y\n"), ["X", "Y"]);
    }

    #[test]
    fn names_the_line_that_is_no_yaml() {
        let error = Manifests::parse(b"kind: A\n---\nkind: B\n---\nkind: [\n").unwrap_err();
        insta::assert_snapshot!(error.message(), @"line 5, column 7: unclosed bracket '['");
        let error = Manifests::parse(b"kind: \xc3\n").unwrap_err();
        insta::assert_snapshot!(error.message(), @"the byte at offset 6 is not UTF-8");
    }
}
