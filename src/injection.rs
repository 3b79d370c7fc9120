//! What a plugin adds to the controller's pod, as Kubernetes objects.
//!
//! The names and paths are upstream's: `EPHEMERAL_PLUGIN_PATH` is read by
//! `cmd/controller/main.go`, `PLUGIN_PATH` and `/tmp/plugin/` by the installer script of its plugin
//! base image, `PLUGIN_UNIX_SOCKET_DIR` by hashicorp's go-plugin.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, ImageVolumeSource, ResourceRequirements,
    SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, Delivery, Mode, Spec};

/// The controller loads the plugin that this names.
pub(crate) const EPHEMERAL_PLUGIN_PATH: &str = "EPHEMERAL_PLUGIN_PATH";

/// The installer copies the binary that this names.
pub(crate) const PLUGIN_PATH: &str = "PLUGIN_PATH";

/// The plugin's side of go-plugin makes its socket here.
pub(crate) const PLUGIN_UNIX_SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";

/// Where installers write, whatever path the controller mounts.
const INSTALLER_MOUNT_PATH: &str = "/tmp/plugin/";

/// Copies by a temporary file and a rename, so that a second run and a running plugin do no harm.
const SHELL_INSTALL: &str = "set -eu; \
    target=\"/tmp/plugin/$(basename \"$PLUGIN_PATH\")\"; \
    rm -f \"$target.new\"; \
    cp \"$PLUGIN_PATH\" \"$target.new\"; \
    chmod 0555 \"$target.new\"; \
    mv -f \"$target.new\" \"$target\"";

/// The elements that belong into each list of the pod, in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Injection {
    pub(crate) init_containers: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    pub(crate) image_pull_secrets: Vec<Value>,
    pub(crate) env: Vec<Value>,
    pub(crate) env_from: Vec<Value>,
    pub(crate) volume_mounts: Vec<Value>,
}

impl Injection {
    /// Everything that `config` asks for.
    pub(crate) fn new(config: &Config) -> Self {
        let spec = &config.spec;
        let controller = &spec.controller;
        let mut injection = Self {
            init_containers: Vec::new(),
            volumes: vec![value(&plugin_volume(spec))],
            image_pull_secrets: spec.image_pull_secrets.iter().map(value).collect(),
            env: vec![value(&env_var(EPHEMERAL_PLUGIN_PATH, &plugin_path(spec)))],
            env_from: controller.env_from.iter().map(value).collect(),
            volume_mounts: vec![value(&plugin_mount(spec))],
        };
        if spec.delivery == Delivery::InitContainer {
            injection.init_containers.push(value(&init_container(spec)));
        }
        if let Some(directory) = &controller.socket_dir {
            let name = socket_volume_name(&spec.volume.name);
            injection.volumes.push(value(&empty_dir(&name, EmptyDirVolumeSource::default())));
            injection.env.push(value(&env_var(PLUGIN_UNIX_SOCKET_DIR, directory)));
            injection.volume_mounts.push(value(&mount(&name, directory)));
        }
        injection.volumes.extend(controller.volumes.iter().map(value));
        injection.env.extend(controller.env.iter().map(value));
        injection.volume_mounts.extend(controller.volume_mounts.iter().map(value));
        injection
    }
}

/// The name of the volume for the plugin's socket.
pub(crate) fn socket_volume_name(volume: &str) -> String {
    // A volume's name has at most 63 characters.
    let kept = volume.get(..volume.len().min(56)).unwrap_or(volume);
    format!("{}-socket", kept.trim_end_matches('-'))
}

/// Whether two paths name the same directory.
pub(crate) fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Where the controller finds the binary.
fn plugin_path(spec: &Spec) -> String {
    let directory = spec.volume.mount_path.trim_end_matches('/');
    let (_, name) = spec.install.plugin_path.rsplit_once('/').unwrap_or_default();
    format!("{directory}/{name}")
}

fn plugin_volume(spec: &Spec) -> Volume {
    let volume = &spec.volume;
    if spec.delivery == Delivery::ImageVolume {
        let image =
            ImageVolumeSource { pull_policy: pull_policy(spec), reference: spec.image.clone() };
        return Volume { name: volume.name.clone(), image: Some(image), ..Volume::default() };
    }
    let source = EmptyDirVolumeSource {
        medium: volume.medium.and_then(|medium| value(&medium).as_str().map(ToOwned::to_owned)),
        size_limit: volume.size_limit.clone(),
        ..EmptyDirVolumeSource::default()
    };
    empty_dir(&volume.name, source)
}

fn empty_dir(name: &str, source: EmptyDirVolumeSource) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

fn plugin_mount(spec: &Spec) -> VolumeMount {
    let mut mount = mount(&spec.volume.name, &spec.volume.mount_path);
    if spec.delivery == Delivery::ImageVolume {
        mount.read_only = Some(true);
        let (directory, _) = spec.install.plugin_path.rsplit_once('/').unwrap_or_default();
        let directory = directory.trim_start_matches('/');
        mount.sub_path = (!directory.is_empty()).then(|| directory.to_owned());
    } else {
        mount.read_only = spec.volume.read_only.then_some(true);
    }
    mount
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn env_var(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn init_container(spec: &Spec) -> Container {
    let init = &spec.init_container;
    let mut env = vec![env_var(PLUGIN_PATH, &spec.install.plugin_path)];
    env.extend(init.env.iter().cloned());
    let command = match spec.install.mode {
        Mode::Entrypoint => None,
        Mode::Shell => Some(["sh", "-c", SHELL_INSTALL].map(ToOwned::to_owned).to_vec()),
    };
    Container {
        name: init.name.clone(),
        image: spec.image.clone(),
        image_pull_policy: pull_policy(spec),
        command,
        env: Some(env),
        resources: init.resources.clone().filter(|r| *r != ResourceRequirements::default()),
        security_context: Some(security_context(init.security_context.as_ref())),
        volume_mounts: Some(vec![mount(&spec.volume.name, INSTALLER_MOUNT_PATH)]),
        ..Container::default()
    }
}

fn pull_policy(spec: &Spec) -> Option<String> {
    spec.image_pull_policy.and_then(|policy| value(&policy).as_str().map(ToOwned::to_owned))
}

/// What Pod Security `restricted` asks for, with the user's settings over it.
fn security_context(user: Option<&SecurityContext>) -> SecurityContext {
    let user = user.cloned().unwrap_or_default();
    SecurityContext {
        allow_privilege_escalation: user.allow_privilege_escalation.or(Some(false)),
        capabilities: user.capabilities.or_else(|| {
            Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() })
        }),
        read_only_root_filesystem: user.read_only_root_filesystem.or(Some(true)),
        run_as_non_root: user.run_as_non_root.or(Some(true)),
        seccomp_profile: user.seccomp_profile.or_else(|| {
            let type_ = "RuntimeDefault".to_owned();
            Some(SeccompProfile { type_, localhost_profile: None })
        }),
        ..user
    }
}
