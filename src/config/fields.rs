//! The fields of a functionConfig. Their documentation is the JSON Schema's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ConfigError;
use super::validate::nearest;

/// Injects an EphemeralAccess plugin into the controller Deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct EphemeralAccessPlugin {
    /// `fn.ephemeral-access.dev/v1alpha1`.
    pub(crate) api_version: String,
    /// `EphemeralAccessPlugin`.
    pub(crate) kind: String,
    /// Names the plugin.
    #[serde(default)]
    pub(crate) metadata: Metadata,
    /// What to inject, and where.
    #[serde(default)]
    pub(crate) spec: Spec,
}

/// Names the plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// The plugin's name in the record on the Deployment, in results and in errors.
    pub(crate) name: Option<String>,
    /// Not used.
    pub(crate) namespace: Option<String>,
    /// Not used: orchestrators keep notes here.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Not used: orchestrators keep notes here.
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// What to inject, and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The image that holds the plugin. Required unless `state` is `absent`.
    pub(crate) image: Option<String>,
    /// When the kubelet pulls the image. Without it, Kubernetes decides by the tag.
    pub(crate) image_pull_policy: Option<PullPolicy>,
    /// Secrets for pulling the image, added to those of the pod.
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,
    /// Whether the plugin is to be there.
    pub(crate) state: State,
    /// How the plugin's binary gets into the controller's file system.
    pub(crate) delivery: Delivery,
    /// What to do with settings that stand in the way and are not this plugin's.
    pub(crate) on_conflict: OnConflict,
    /// Which Deployment to change. Without it: the one that upstream's labels name.
    pub(crate) target: Target,
    /// How the image installs the plugin.
    pub(crate) install: Install,
    /// The init container that installs the plugin. Only with `delivery: initContainer`.
    pub(crate) init_container: InitContainer,
    /// The volume that holds the plugin.
    pub(crate) volume: PluginVolume,
    /// What the plugin itself needs. It runs in the controller's container.
    pub(crate) controller: Controller,
}

/// When the kubelet pulls the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum PullPolicy {
    /// At every start.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// Whether the plugin is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// Inject it.
    #[default]
    Present,
    /// Take away what was injected.
    Absent,
}

/// How the plugin's binary gets into the controller's file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Delivery {
    /// An init container copies it into an `emptyDir`.
    #[default]
    InitContainer,
    /// The image is mounted as a volume: Kubernetes 1.35, or 1.33 with the feature gate on. Where the
    /// container runtime mounts image volumes `noexec`, the controller cannot start the plugin: take
    /// `initContainer` there.
    ImageVolume,
}

/// What to do with settings that stand in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OnConflict {
    /// Change nothing and say what stands in the way.
    #[default]
    Fail,
    /// Take them over. What they were is not kept.
    Replace,
}

/// Which Deployment to change. All that is given must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Target {
    /// The Deployment's name, also from before a kustomize prefix.
    pub(crate) name: Option<String>,
    /// The Deployment's namespace, also from before kustomize changed it.
    pub(crate) namespace: Option<String>,
    /// Labels that the Deployment must carry.
    pub(crate) labels: BTreeMap<String, String>,
    /// The container that runs the controller.
    pub(crate) container: String,
}

impl Target {
    /// Whether it leaves the choice to upstream's labels.
    pub(crate) fn is_default(&self) -> bool {
        self.name.is_none() && self.namespace.is_none() && self.labels.is_empty()
    }
}

impl Default for Target {
    fn default() -> Self {
        let container = "controller".to_owned();
        Self { name: None, namespace: None, labels: BTreeMap::new(), container }
    }
}

/// How the image installs the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Install {
    /// Where the binary is inside the image. Its last part is its name for the controller.
    pub(crate) plugin_path: String,
    /// Who copies the binary.
    pub(crate) mode: Mode,
}

impl Default for Install {
    fn default() -> Self {
        Self { plugin_path: "/workspace/plugin".to_owned(), mode: Mode::default() }
    }
}

/// Who copies the binary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// The image's entrypoint.
    #[default]
    Entrypoint,
    /// A shell command that can run twice; the image must hold `sh`, `cp`, `chmod` and `mv`.
    Shell,
}

/// The init container that installs the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct InitContainer {
    /// Its name.
    pub(crate) name: String,
    /// Environment variables besides `PLUGIN_PATH`.
    pub(crate) env: Vec<EnvVar>,
    /// Its resources.
    pub(crate) resources: Option<ResourceRequirements>,
    /// Merged over a default that Pod Security `restricted` admits.
    pub(crate) security_context: Option<SecurityContext>,
}

impl Default for InitContainer {
    fn default() -> Self {
        let name = "plugin-installer".to_owned();
        Self { name, env: Vec::new(), resources: None, security_context: None }
    }
}

/// The volume that holds the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct PluginVolume {
    /// Its name.
    pub(crate) name: String,
    /// Where the controller mounts it. The init container always mounts it at `/tmp/plugin/`.
    pub(crate) mount_path: String,
    /// How much it may hold.
    pub(crate) size_limit: Option<Quantity>,
    /// `Memory` for a file system in memory.
    pub(crate) medium: Option<Medium>,
    /// Whether the controller mounts it read-only.
    pub(crate) read_only: bool,
}

impl Default for PluginVolume {
    fn default() -> Self {
        Self {
            name: "plugins".to_owned(),
            mount_path: "/tmp/plugin/".to_owned(),
            size_limit: None,
            medium: None,
            read_only: true,
        }
    }
}

/// What backs the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Medium {
    /// The node's disk.
    #[serde(rename = "")]
    Node,
    /// Memory.
    Memory,
}

/// What the plugin itself needs. It runs in the controller's container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Controller {
    /// Environment variables. The plugin inherits the controller's.
    pub(crate) env: Vec<EnvVar>,
    /// Sources of environment variables.
    pub(crate) env_from: Vec<EnvFromSource>,
    /// Volumes of the pod.
    pub(crate) volumes: Vec<Volume>,
    /// Volume mounts of the controller's container.
    pub(crate) volume_mounts: Vec<VolumeMount>,
    /// A writable directory for the plugin's socket, for a controller whose root file system is
    /// read-only.
    pub(crate) socket_dir: Option<String>,
}

/// The flat keys of a ConfigMap, each with the field that it stands for.
const CONFIG_MAP_KEYS: [(&str, &str); 13] = [
    ("image", "spec.image"),
    ("imagePullPolicy", "spec.imagePullPolicy"),
    ("state", "spec.state"),
    ("delivery", "spec.delivery"),
    ("onConflict", "spec.onConflict"),
    ("namespace", "spec.target.namespace"),
    ("name", "spec.target.name"),
    ("container", "spec.target.container"),
    ("pluginPath", "spec.install.pluginPath"),
    ("mountPath", "spec.volume.mountPath"),
    ("volumeName", "spec.volume.name"),
    ("initContainerName", "spec.initContainer.name"),
    ("mode", "spec.install.mode"),
];

/// A text about fields in the words of somebody who wrote a ConfigMap.
pub(crate) fn in_config_map_keys(text: &str) -> String {
    let rename = |text: String, (key, field): &(&str, &str)| match text == *field {
        true => format!("data.{key}"),
        false => text
            .replace(&format!("`{field}`"), &format!("`data.{key}`"))
            .replace(&format!("`{field}: "), &format!("`data.{key}: ")),
    };
    CONFIG_MAP_KEYS.iter().fold(text.to_owned(), rename)
}

/// Reads the `data` of a ConfigMap.
pub(super) fn spec_from_config_map(data: Option<&Value>) -> Result<Spec, Vec<ConfigError>> {
    let mut spec = Spec::default();
    let mut errors = Vec::new();
    for (key, value) in data.and_then(Value::as_object).into_iter().flatten() {
        if let Err(error) = set(&mut spec, key, value) {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(spec) } else { Err(errors) }
}

fn set(spec: &mut Spec, key: &str, value: &Value) -> Result<(), ConfigError> {
    let field = format!("data.{key}");
    if !CONFIG_MAP_KEYS.iter().any(|(known, _)| *known == key) {
        let known: Vec<String> = CONFIG_MAP_KEYS.map(|(known, _)| known.to_owned()).to_vec();
        return Err(ConfigError::UnknownField { field, nearest: nearest(key, &known), known });
    }
    let Some(text) = value.as_str().map(ToOwned::to_owned) else {
        let must = "be a string".to_owned();
        return Err(ConfigError::Value { field, must, actual: value.clone(), hint: None });
    };
    match key {
        "image" => spec.image = Some(text),
        "imagePullPolicy" => spec.image_pull_policy = Some(word(field, value)?),
        "state" => spec.state = word(field, value)?,
        "delivery" => spec.delivery = word(field, value)?,
        "onConflict" => spec.on_conflict = word(field, value)?,
        "namespace" => spec.target.namespace = Some(text),
        "name" => spec.target.name = Some(text),
        "container" => spec.target.container = text,
        "pluginPath" => spec.install.plugin_path = text,
        "mountPath" => spec.volume.mount_path = text,
        "volumeName" => spec.volume.name = text,
        "initContainerName" => spec.init_container.name = text,
        _ => spec.install.mode = word(field, value)?,
    }
    Ok(())
}

/// One of the words that a field takes.
fn word<'v, T: Deserialize<'v>>(field: String, value: &'v Value) -> Result<T, ConfigError> {
    T::deserialize(value).map_err(|error| {
        // "unknown variant `x`, expected `a` or `b`" comes from serde.
        let message = error.to_string();
        let expected = message.split_once("expected ").map_or("", |(_, expected)| expected);
        let must = format!("be {}", expected.trim_start_matches("one of "));
        ConfigError::Value { field, must, actual: value.clone(), hint: None }
    })
}
