//! Which item is the controller's Deployment, or why none is.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::{Expression, Resource, Selector, SelectorExt};
use serde::Deserialize as _;
use serde_json::Value;

use crate::config;
use crate::resource_list::Part;
use crate::results::{File, ResourceRef};
use crate::yaml::text::line_at;
use crate::yaml::{SyntaxError, Tree};

/// The labels that upstream puts on the controller and on nothing else.
pub(crate) const DEFAULT_LABELS: [(&str, &str); 2] = [
    ("app.kubernetes.io/name", "argocd-ephemeral-access"),
    ("app.kubernetes.io/component", "controller"),
];

/// Names that kustomize changed, and the annotations that keep what they were.
const PREVIOUS_NAMES: &str = "internal.config.kubernetes.io/previousNames";
const PREVIOUS_NAMESPACES: &str = "internal.config.kubernetes.io/previousNamespaces";

/// The items that may be the controller's Deployment by the words that they hold.
pub(crate) struct Candidates<'i> {
    input: &'i str,
    items: &'i [Part],
    documents: Vec<Document<'i>>,
}

/// An item as a document.
struct Document<'i> {
    index: usize,
    line: usize,
    text: Cow<'i, str>,
}

/// The controller's Deployment.
#[derive(Debug)]
pub(crate) struct Found<'d> {
    /// Its place among the items.
    pub(crate) index: usize,
    /// Its document, and what that means.
    pub(crate) tree: Tree<'d>,
    pub(crate) value: Value,
    pub(crate) resource_ref: ResourceRef,
    pub(crate) file: Option<File>,
    /// The line of the input on which it begins.
    pub(crate) line: usize,
}

/// A Deployment that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "\"{namespace}/{}\"", self.name),
            None => write!(formatter, "\"{}\"", self.name),
        }
    }
}

/// Why there is no one target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("no Deployment matches {}{}", wanted(target), list(" (Deployments seen: ", seen, ")"))]
    None { target: Box<config::Target>, seen: Vec<Seen> },
    #[error("several Deployments match {}: {}", wanted(target), list("", seen, ""))]
    Several { target: Box<config::Target>, seen: Vec<Seen> },
    #[error(
        "the Deployment {deployment} has no container \"{container}\", it has {}",
        quoted(containers)
    )]
    NoContainer { deployment: Seen, container: String, containers: Vec<String> },
    #[error(
        "the item at line {line} that may be the controller's Deployment cannot be read: {cause}"
    )]
    Unreadable { line: usize, cause: String },
}

impl TargetError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::None { target, seen } if seen.is_empty() && **target == Default::default() => {
                Some("add upstream's install manifest to the same build".to_owned())
            }
            Self::None { .. } => Some(
                "name the Deployment in `spec.target.name` or by `spec.target.labels`".to_owned(),
            ),
            Self::Several { seen, .. } => {
                let field = match seen.as_slice() {
                    [first, rest @ ..] if rest.iter().any(|seen| seen.name != first.name) => "name",
                    [first, rest @ ..]
                        if rest.iter().any(|seen| seen.namespace != first.namespace) =>
                    {
                        "namespace"
                    }
                    _ => "labels",
                };
                Some(format!("set `spec.target.{field}` to choose one"))
            }
            Self::NoContainer { .. } => {
                Some("set `spec.target.container` to the one that runs the controller".to_owned())
            }
            Self::Unreadable { .. } => None,
        }
    }
}

impl<'i> Candidates<'i> {
    /// Passes over what cannot be `target`, without parsing it.
    pub(crate) fn among(input: &'i str, items: &'i [Part], target: &config::Target) -> Self {
        let may_match = |(_, item): &(usize, &Part)| may_match(item.text(input), target);
        let candidates = items.iter().enumerate().filter(may_match);
        let mut lines = Lines::of(input);
        let documents =
            candidates.map(|(index, item)| Document::new(input, index, item, &mut lines));
        let documents = documents.collect();
        Self { input, items, documents }
    }

    /// The one that `target` means.
    pub(crate) fn find(&self, target: &config::Target) -> Result<Found<'_>, TargetError> {
        let mut matching = Vec::new();
        for document in &self.documents {
            if let Some(candidate) = document.read()?
                && matches(&candidate.meta, target)
            {
                matching.push(candidate.found);
            }
        }
        let wanted = || Box::new(target.clone());
        match matching.len() {
            0 => Err(TargetError::None { target: wanted(), seen: self.all_deployments() }),
            1 => check_container(matching.remove(0), &target.container),
            _ => {
                let seen = matching.iter().map(Found::seen).collect();
                Err(TargetError::Several { target: wanted(), seen })
            }
        }
    }

    /// Every Deployment, for a message. What cannot be read is not listed.
    fn all_deployments(&self) -> Vec<Seen> {
        let kind = Deployment::kind(&());
        let mut lines = Lines::of(self.input);
        let seen = |(index, item)| {
            let document = Document::new(self.input, index, item, &mut lines);
            Some(document.read().ok()??.found.seen())
        };
        let items = self.items.iter().enumerate();
        items
            .filter(|(_, item)| item.text(self.input).contains(&*kind))
            .filter_map(seen)
            .take(21)
            .collect()
    }
}

impl Found<'_> {
    /// Kind and name, for people.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.resource_ref.kind, self.seen())
    }

    fn seen(&self) -> Seen {
        Seen {
            name: self.resource_ref.name.clone(),
            namespace: self.resource_ref.namespace.clone(),
        }
    }
}

struct Candidate<'d> {
    found: Found<'d>,
    meta: ObjectMeta,
}

/// Whether the text can be that of a match.
fn may_match(text: &str, target: &config::Target) -> bool {
    let bytes = text.as_bytes();
    let holds = |word: &str| memchr::memmem::find(bytes, word.as_bytes()).is_some();
    // These escapes can spell a word without its letters standing there.
    let mut escapes = memchr::memchr_iter(b'\\', bytes);
    if escapes.any(|at| bytes.get(at + 1).is_none_or(|next| b"xuU/\r\n".contains(next))) {
        return true;
    }
    let labels = if target.is_default() { &DEFAULT_LABELS[..] } else { &[] };
    holds(&Deployment::kind(&()))
        && labels.iter().all(|(key, value)| holds(key) && holds(value))
        && target.labels.iter().all(|(key, value)| holds(key) && holds(value))
        && [&target.name, &target.namespace].into_iter().flatten().all(|word| holds(word))
}

impl<'i> Document<'i> {
    fn new(input: &'i str, index: usize, item: &Part, lines: &mut Lines<'i>) -> Self {
        let line = lines.at(item.range.start);
        Self { index, line, text: item.document(input) }
    }

    /// The document as a Deployment; none if it is something else.
    fn read(&self) -> Result<Option<Candidate<'_>>, TargetError> {
        let line = self.line;
        let unreadable = |cause: String| TargetError::Unreadable { line, cause };
        let not_yaml = |error: SyntaxError| unreadable(error.below(line - 1).to_string());
        let tree = Tree::parse(&self.text).map_err(not_yaml)?;
        let Some(root) = tree.root() else {
            return Ok(None);
        };
        let word = |key| tree.get(root, key).and_then(|id| tree.str(id));
        let is_deployment = word("apiVersion") == Some(&Deployment::api_version(&()))
            && word("kind") == Some(&Deployment::kind(&()));
        if !is_deployment {
            return Ok(None);
        }
        let value =
            tree.value(root).map_err(|error| unreadable(error.below(line - 1).to_string()))?;
        let meta = ObjectMeta::deserialize(value.get("metadata").unwrap_or(&Value::Null));
        let meta = meta.map_err(|error| unreadable(format!("metadata: {error}")))?;
        let resource_ref = ResourceRef {
            api_version: Deployment::api_version(&()).into_owned(),
            kind: Deployment::kind(&()).into_owned(),
            name: meta.name.clone().or(meta.generate_name.clone()).unwrap_or_default(),
            namespace: meta.namespace.clone(),
        };
        let (index, file) = (self.index, file(&meta));
        let found = Found { index, tree, value, resource_ref, file, line };
        Ok(Some(Candidate { found, meta }))
    }
}

/// Counts lines up to places that follow each other, so that many items take no longer than one.
struct Lines<'i> {
    input: &'i str,
    offset: usize,
    line: usize,
}

impl<'i> Lines<'i> {
    fn of(input: &'i str) -> Self {
        Self { input, offset: 0, line: 1 }
    }

    /// The line that holds the byte at `offset`, which is not before the last one.
    fn at(&mut self, offset: usize) -> usize {
        let passed = self.input.get(self.offset..offset).unwrap_or_default();
        self.line += line_at(passed, passed.len()) - 1;
        self.offset = offset;
        self.line
    }
}

/// The file that an orchestrator read the item from.
fn file(meta: &ObjectMeta) -> Option<File> {
    let annotation = |key: &str| {
        let annotations = meta.annotations.as_ref()?;
        let prefixes = ["internal.config.kubernetes.io/", "config.kubernetes.io/"];
        prefixes.iter().find_map(|prefix| annotations.get(&format!("{prefix}{key}")))
    };
    let path = annotation("path")?.clone();
    Some(File { path, index: annotation("index").and_then(|i| i.parse().ok()).unwrap_or(0) })
}

fn matches(meta: &ObjectMeta, target: &config::Target) -> bool {
    let labels = meta.labels.clone().unwrap_or_default();
    let equal = |(key, value): (String, String)| Expression::Equal(key, value);
    if target.is_default() {
        let default = DEFAULT_LABELS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let selector: Selector = default.into_iter().map(equal).collect();
        return selector.matches(&labels);
    }
    let selector: Selector = target.labels.clone().into_iter().map(equal).collect();
    let is = |wanted: &Option<String>, actual: &Option<String>, previous: &str| {
        let Some(wanted) = wanted else { return true };
        let annotations = meta.annotations.as_ref();
        let previous = annotations.and_then(|map| map.get(previous));
        let mut names = previous.into_iter().flat_map(|names| names.split(','));
        actual.as_ref() == Some(wanted) || names.any(|name| name == wanted)
    };
    selector.matches(&labels)
        && is(&target.name, &meta.name, PREVIOUS_NAMES)
        && is(&target.namespace, &meta.namespace, PREVIOUS_NAMESPACES)
}

fn check_container<'d>(found: Found<'d>, container: &str) -> Result<Found<'d>, TargetError> {
    let containers = found.value.pointer("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array);
    let names: Vec<String> = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("name")?.as_str().map(ToOwned::to_owned))
        .collect();
    if names.iter().any(|name| name == container) {
        return Ok(found);
    }
    let (deployment, container) = (found.seen(), container.to_owned());
    Err(TargetError::NoContainer { deployment, container, containers: names })
}

fn wanted(target: &config::Target) -> String {
    let mut parts = Vec::new();
    if let Some(name) = &target.name {
        parts.push(format!("name \"{name}\""));
    }
    if let Some(namespace) = &target.namespace {
        parts.push(format!("namespace \"{namespace}\""));
    }
    let default = DEFAULT_LABELS.iter().filter(|_| target.is_default());
    let labels = default
        .map(|(key, value)| (*key, *value))
        .chain(target.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    parts.extend(labels.map(|(key, value)| format!("label {key}={value}")));
    parts.join(" and ")
}

/// At most 20 names, and how many more.
fn list(before: &str, seen: &[Seen], after: &str) -> String {
    if seen.is_empty() {
        return String::new();
    }
    let names: Vec<_> = seen.iter().take(20).map(ToString::to_string).collect();
    let more = if seen.len() > 20 { " and more" } else { "" };
    format!("{before}{}{more}{after}", names.join(", "))
}

fn quoted(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = "{app.kubernetes.io/name: argocd-ephemeral-access, app.kubernetes.io/component: controller}";

    fn deployment(metadata: &str) -> String {
        let spec = "{template: {spec: {containers: [{name: controller}, {name: proxy}]}}}";
        format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{{metadata}}}, spec: {spec}}}")
    }

    /// The title of what is found among items, or the error and its hint.
    fn found(items: &[String], target: &str) -> String {
        let input: String = items.iter().map(|item| format!("{item}\n")).collect();
        let mut start = 0;
        let parts: Vec<Part> = items
            .iter()
            .map(|item| {
                let range = start..start + item.len();
                start = range.end + 1;
                Part { range, column: 0 }
            })
            .collect();
        let target = serde_yaml::from_str(target).unwrap();
        match Candidates::among(&input, &parts, &target).find(&target) {
            Ok(found) => format!("{} {}, line {}", found.index, found.title(), found.line),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn takes_the_one_deployment_with_upstreams_labels() {
        let items = [
            "{kind: ConfigMap}".to_owned(),
            deployment("name: backend"),
            deployment(&format!("name: c, namespace: n, labels: {LABELS}")),
            deployment(&format!("name: d, labels: {LABELS}")).replace("Deployment", "StatefulSet"),
        ];
        assert_eq!(found(&items, "{}"), "2 Deployment \"n/c\", line 3");
    }

    #[test]
    fn every_field_of_a_target_has_to_match() {
        let items = [
            deployment("name: a, namespace: x, labels: {l: '1'}"),
            deployment("name: a, namespace: y, labels: {l: '2'}"),
            deployment("name: b, namespace: y"),
        ];
        assert_eq!(found(&items, "{name: a, namespace: y}"), "1 Deployment \"y/a\", line 2");
        assert_eq!(found(&items, "{labels: {l: '1'}}"), "0 Deployment \"x/a\", line 1");
        assert_eq!(found(&items, "{name: b}"), "2 Deployment \"y/b\", line 3");
        insta::assert_snapshot!(found(&items, "{name: b, labels: {l: '1'}}"), @r#"no Deployment matches name "b" and label l=1 (Deployments seen: "x/a", "y/a", "y/b"); name the Deployment in `spec.target.name` or by `spec.target.labels`"#);
        insta::assert_snapshot!(found(&items, "{name: a}"), @r#"several Deployments match name "a": "x/a", "y/a"; set `spec.target.namespace` to choose one"#);
        insta::assert_snapshot!(found(&items, "{namespace: y}"), @r#"several Deployments match namespace "y": "y/a", "y/b"; set `spec.target.name` to choose one"#);
        insta::assert_snapshot!(found(&items[2..], "{name: b, container: manager}"), @r#"the Deployment "y/b" has no container "manager", it has "controller", "proxy"; set `spec.target.container` to the one that runs the controller"#);
    }

    #[test]
    fn knows_names_from_before_kustomize() {
        let annotations = "{internal.config.kubernetes.io/previousNames: 'a,b', \
            internal.config.kubernetes.io/previousNamespaces: 'm,n'}";
        let items = [deployment(&format!("name: x-b, namespace: o, annotations: {annotations}"))];
        for name in ["a", "b", "x-b"] {
            for namespace in ["m", "n", "o"] {
                let target = format!("{{name: {name}, namespace: {namespace}}}");
                assert_eq!(found(&items, &target), "0 Deployment \"o/x-b\", line 1");
            }
        }
        assert!(found(&items, "{name: x}").starts_with("no Deployment matches"));
    }

    #[test]
    fn reads_words_that_are_spelled_with_escapes() {
        let item = deployment(&format!("name: c, labels: {LABELS}"))
            .replace("app.kubernetes.io/name", "\"app.kubernetes.io\\/name\"")
            .replace("Deployment", "\"\\x44eploy\\u006dent\"");
        assert_eq!(found(&[item], "{}"), "0 Deployment \"c\", line 1");
    }

    #[test]
    fn passes_by_what_cannot_be_read_unless_it_may_be_the_target() {
        let target = deployment(&format!("name: c, labels: {LABELS}"));
        let broken = "{kind: Deployment, a: [}".to_owned();
        assert_eq!(found(&[broken, target.clone()], "{}"), "1 Deployment \"c\", line 2");
        let broken = target.replace("{name: proxy}", "*nowhere");
        insta::assert_snapshot!(found(&[target, broken], "{}"), @"the item at line 2 that may be the controller's Deployment cannot be read: line 2: the alias has no anchor;");
    }

    #[test]
    fn lists_at_most_twenty_deployments() {
        let items: Vec<_> = (0..30).map(|i| deployment(&format!("name: d{i}"))).collect();
        let error = found(&items, "{}");
        assert!(error.contains("\"d19\" and more)"), "{error}");
        assert!(!error.contains("d20"), "{error}");
    }

    #[test]
    fn names_the_file_that_an_orchestrator_read() {
        let input = deployment(&format!(
            "name: c, labels: {LABELS}, annotations: \
             {{config.kubernetes.io/path: old, internal.config.kubernetes.io/path: a/b.yaml, \
             internal.config.kubernetes.io/index: '3'}}"
        ));
        let (parts, target) = ([Part { range: 0..input.len(), column: 0 }], Default::default());
        let candidates = Candidates::among(&input, &parts, &target);
        let found = candidates.find(&target).unwrap();
        assert_eq!(found.file, Some(File { path: "a/b.yaml".to_owned(), index: 3 }));
    }
}
