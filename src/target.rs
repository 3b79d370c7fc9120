//! Which item is the controller's Deployment, or why none is.

use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::{Expression, Resource, ResourceExt, Selector, SelectorExt};
use serde_json::Value;

use crate::config;
use crate::resource_list::Part;
use crate::results::{File, ResourceRef};
use crate::yaml::Tree;
use crate::yaml::text::line_at;

/// The labels that upstream puts on the controller and on nothing else.
const DEFAULT_LABELS: [(&str, &str); 2] = [
    ("app.kubernetes.io/name", "argocd-ephemeral-access"),
    ("app.kubernetes.io/component", "controller"),
];

/// Names that kustomize changed, and the annotations that keep what they were.
const PREVIOUS_NAMES: &str = "internal.config.kubernetes.io/previousNames";
const PREVIOUS_NAMESPACES: &str = "internal.config.kubernetes.io/previousNamespaces";

/// The controller's Deployment.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its place among the items.
    pub(crate) index: usize,
    /// Its text as a document, and what it means.
    pub(crate) document: String,
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

/// The one Deployment among `items` that `target` means.
pub(crate) fn find(
    input: &str,
    items: &[Part],
    target: &config::Target,
) -> Result<Found, TargetError> {
    let mut matching = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if may_match(item.text(input), target)
            && let Some(candidate) = read(input, index, item)?
            && matches(&candidate.meta, target)
        {
            matching.push(candidate.found);
        }
    }
    let seen = |found: &[Found]| found.iter().map(Found::seen).collect();
    match matching.len() {
        0 => {
            let target = Box::new(target.clone());
            Err(TargetError::None { target, seen: all_deployments(input, items) })
        }
        1 => check_container(matching.remove(0), &target.container),
        _ => Err(TargetError::Several { target: Box::new(target.clone()), seen: seen(&matching) }),
    }
}

impl Found {
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

struct Candidate {
    found: Found,
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
    let labels = if is_default(target) { &DEFAULT_LABELS[..] } else { &[] };
    holds(&Deployment::kind(&()))
        && labels.iter().all(|(key, value)| holds(key) && holds(value))
        && target.labels.iter().all(|(key, value)| holds(key) && holds(value))
        && [&target.name, &target.namespace].into_iter().flatten().all(|word| holds(word))
}

fn is_default(target: &config::Target) -> bool {
    target.name.is_none() && target.namespace.is_none() && target.labels.is_empty()
}

/// The item as a Deployment; none if it is something else.
fn read(input: &str, index: usize, item: &Part) -> Result<Option<Candidate>, TargetError> {
    let line = line_at(input, item.range.start);
    let document = item.document(input).into_owned();
    let unreadable = |cause: String| TargetError::Unreadable { line, cause };
    let tree =
        Tree::parse(&document).map_err(|error| unreadable(error.below(line - 1).to_string()))?;
    let Some(root) = tree.root() else {
        return Ok(None);
    };
    let word = |key| tree.get(root, key).and_then(|id| tree.str(id));
    let is_deployment = word("apiVersion") == Some(&Deployment::api_version(&()))
        && word("kind") == Some(&Deployment::kind(&()));
    if !is_deployment {
        return Ok(None);
    }
    let value = tree.value(root).map_err(|error| unreadable(error.to_string()))?;
    let meta = value.get("metadata").cloned().unwrap_or_default();
    let meta: ObjectMeta =
        serde_json::from_value(meta).map_err(|error| unreadable(format!("metadata: {error}")))?;
    let deployment = Deployment { metadata: meta.clone(), ..Deployment::default() };
    let resource_ref = ResourceRef {
        api_version: Deployment::api_version(&()).into_owned(),
        kind: Deployment::kind(&()).into_owned(),
        name: deployment.name_any(),
        namespace: deployment.namespace(),
    };
    let found = Found { index, document, value, resource_ref, file: file(&meta), line };
    Ok(Some(Candidate { found, meta }))
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
    if is_default(target) {
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

fn check_container(found: Found, container: &str) -> Result<Found, TargetError> {
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

/// Every Deployment, for a message. What cannot be read is not listed.
fn all_deployments(input: &str, items: &[Part]) -> Vec<Seen> {
    let kind = Deployment::kind(&());
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.text(input).contains(&*kind))
        .filter_map(|(index, item)| read(input, index, item).ok()?)
        .map(|candidate| candidate.found.seen())
        .take(21)
        .collect()
}

fn wanted(target: &config::Target) -> String {
    let mut parts = Vec::new();
    if let Some(name) = &target.name {
        parts.push(format!("name \"{name}\""));
    }
    if let Some(namespace) = &target.namespace {
        parts.push(format!("namespace \"{namespace}\""));
    }
    let default = DEFAULT_LABELS.iter().filter(|_| is_default(target));
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
