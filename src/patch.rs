//! The injection as a patch, for those who run no functions.
//!
//! A strategic merge patch works on every upstream version without seeing it. An RFC 6902 patch is
//! exact for one Deployment.

use json_patch::PatchOperation;
use serde_json::{Map, Value, json};

use crate::config::{Config, State};
use crate::finding::Finding;
use crate::injection::Injection;
use crate::manifests::{Manifests, config_of_file};
use crate::plan::{self, Deployment, Plan};
use crate::record::ANNOTATION;
use crate::target::{Candidates, DEFAULT_LABELS};
use crate::yaml::render::Layout;
use crate::{edit, reworded, warnings};

/// The form of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchFormat {
    /// A strategic merge patch: a part of the Deployment, in YAML.
    Strategic,
    /// An RFC 6902 patch: operations, in JSON.
    Json6902,
}

/// A patch, and the Deployment that it is for as kustomize selects it.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The patch itself, as a file holds it.
    pub text: String,
    /// The fields of kustomize's `patches[].target`.
    pub target: Value,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The strategic merge patch of a functionConfig.
///
/// # Errors
///
/// Returns findings if the config is wrong or asks for a removal.
pub fn strategic_patch(config: &str) -> Result<Patch, Vec<Finding>> {
    let config = config_of_file(config)?;
    if config.spec.state == State::Absent {
        let hint = "take the patch out of the kustomization, or use `--format json6902 --against`";
        return Err(vec![
            Finding::error("a strategic merge patch cannot remove what another added")
                .hint(Some(hint.to_owned())),
        ]);
    }
    let mut findings = warnings(&config);
    if !config.spec.controller.env_from.is_empty() {
        let message = "a strategic merge patch replaces the controller's whole `envFrom`";
        findings.push(Finding::warning(message).field("spec.controller.envFrom", None, None));
    }
    let patch = strategic_value(&config);
    let lines = Layout::COMPACT.document(&patch);
    let findings = reworded(config.is_config_map, findings);
    Ok(Patch { text: lines.join("\n") + "\n", target: target_of(&config), findings })
}

/// The operations that a functionConfig means for the Deployment among `manifests`.
///
/// # Errors
///
/// Returns findings if the config is wrong, no Deployment matches, or something stands in the way.
pub fn json_patch(config: &str, manifests: &Manifests<'_>) -> Result<Patch, Vec<Finding>> {
    let config = config_of_file(config)?;
    let (operations, name, namespace) = operations(&config, manifests)
        .map_err(|findings| reworded(config.is_config_map, findings))?;
    let target = selector(Some(&name), namespace.as_deref()).into();
    let text = serde_json::to_string_pretty(&operations).unwrap_or_default() + "\n";
    Ok(Patch { text, target, findings: reworded(config.is_config_map, warnings(&config)) })
}

type Operations = (Vec<PatchOperation>, String, Option<String>);

fn operations(config: &Config, manifests: &Manifests<'_>) -> Result<Operations, Vec<Finding>> {
    let parts = manifests.parts();
    let candidates = Candidates::among(manifests.text(), &parts, &config.spec.target);
    let found = candidates
        .find(&config.spec.target)
        .map_err(|error| vec![Finding::error(error.to_string()).hint(error.hint())])?;
    let plan = edit::plan(config, &found)?;
    let operations = plan.steps.into_iter().map(|step| step.splice.operation).collect();
    Ok((operations, found.resource_ref.name, found.resource_ref.namespace))
}

/// The parts of a Deployment that the injection adds, by the names that strategic merge goes by.
fn strategic_value(config: &Config) -> Map<String, Value> {
    let injection = Injection::new(config);
    let target = &config.spec.target;
    let container = non_empty([
        ("name", json!(target.container)),
        ("env", Value::Array(injection.env)),
        ("envFrom", Value::Array(injection.env_from)),
        ("volumeMounts", Value::Array(injection.volume_mounts)),
    ]);
    let pod = non_empty([
        ("containers", json!([container])),
        ("imagePullSecrets", Value::Array(injection.image_pull_secrets)),
        ("initContainers", Value::Array(injection.init_containers)),
        ("volumes", Value::Array(injection.volumes)),
    ]);
    let metadata = non_empty([
        ("name", json!(target.name.as_deref().unwrap_or("controller"))),
        ("annotations", json!({ ANNOTATION: record(config) })),
    ]);
    let spec = json!({"template": {"spec": pod}});
    let fields = [
        ("apiVersion", json!("apps/v1")),
        ("kind", json!("Deployment")),
        ("metadata", metadata),
        ("spec", spec),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn non_empty<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| value != &json!([]));
    fields.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// The record as the function writes it on a Deployment like upstream's, of which all releases have
/// the same lists: the container's `env`, and no other that is touched.
fn record(config: &Config) -> Value {
    let container = json!({"name": config.spec.target.container, "env": [{"name": "EPHEMERAL"}]});
    let like_upstream = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let deployment = Deployment { value: &like_upstream, spelling: &|_| None };
    let plan: Plan = plan::plan(config, &deployment).unwrap_or_default();
    let annotations = plan.steps.last().and_then(|step| step.proposed().cloned());
    annotations.and_then(|map| map.get(ANNOTATION).cloned()).unwrap_or_default()
}

/// The controller by its labels, or by what the config names.
fn target_of(config: &Config) -> Value {
    let target = &config.spec.target;
    let mut selector = selector(target.name.as_deref(), target.namespace.as_deref());
    let labels: Vec<String> = match target.is_default() {
        true => DEFAULT_LABELS.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        false => target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
    };
    if !labels.is_empty() {
        selector.insert("labelSelector".to_owned(), labels.join(",").into());
    }
    selector.into()
}

/// The fields by which kustomize selects a Deployment. Names in them are regular expressions, and
/// of what a name may hold only the dot means something else there.
fn selector(name: Option<&str>, namespace: Option<&str>) -> Map<String, Value> {
    let fields = [
        ("group", Some("apps".to_owned())),
        ("version", Some("v1".to_owned())),
        ("kind", Some("Deployment".to_owned())),
        ("name", name.map(|name| name.replace('.', r"\."))),
        ("namespace", namespace.map(|name| name.replace('.', r"\."))),
    ];
    let set = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    set.collect()
}
