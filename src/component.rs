//! A kustomize Component that holds the injection as a patch.
//!
//! It needs no alpha flag, no Docker and no exec, so it works wherever kustomize does: in Argo CD's
//! repo-server, in Flux, in `kubectl kustomize`.

use diffy::DiffOptions;
use serde_json::json;

use crate::patch::{Patch, PatchFormat};
use crate::yaml::render::Layout;

/// What the first line of every component begins with. A file without it is not ours to overwrite.
const MARK: &str = "# Made by inject-ephemeral-access-plugin";

/// A file of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentFile {
    /// The file's name.
    pub name: &'static str,
    /// All of its text.
    pub text: String,
}

impl ComponentFile {
    /// Whether `existing` is an earlier version of the file, and may be overwritten.
    #[must_use]
    pub fn replaces(&self, existing: &str) -> bool {
        // JSON holds no comments; the name is unlikely enough for anything else.
        existing.starts_with(MARK) || self.name.ends_with(".json")
    }
}

/// The files of a component that applies `patch`.
///
/// `arguments` are those that made it, for whoever finds it later.
#[must_use]
pub fn component(patch: &Patch, format: PatchFormat, arguments: &str) -> Vec<ComponentFile> {
    let name = match format {
        PatchFormat::Strategic => "controller-patch.yaml",
        PatchFormat::Json6902 => "controller-patch.json",
    };
    let header = format!(
        "{MARK}. Change the config and make it again:\n\
         #   inject-ephemeral-access-plugin {arguments}\n"
    );
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "patches": [{"path": name, "target": patch.target}],
    });
    let lines = kustomization.as_object().map(|map| Layout::COMPACT.document(map));
    let lines = lines.unwrap_or_default().join("\n");
    let patch = match format {
        PatchFormat::Strategic => format!("{header}{}", patch.text),
        PatchFormat::Json6902 => patch.text.clone(),
    };
    vec![
        ComponentFile { name: "kustomization.yaml", text: format!("{header}{lines}\n") },
        ComponentFile { name, text: patch },
    ]
}

/// The unified diff from a committed file to what it should be; none if only comments at its top
/// differ.
#[must_use]
pub fn differences(file: &ComponentFile, committed: &str) -> Option<String> {
    if without_header(committed) == without_header(&file.text) {
        return None;
    }
    let diff = DiffOptions::new()
        .set_original_filename(format!("a/{}", file.name))
        .set_modified_filename(format!("b/{}", file.name))
        .create_patch(committed, &file.text)
        .to_string();
    Some(diff)
}

fn without_header(text: &str) -> &str {
    let mut rest = text;
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}
