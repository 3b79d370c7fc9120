//! The function does what upstream's hand-edited patch does, and three things more: the init
//! container's security context, the read-only mount, and the record.
//!
//! Each manifest is taken as values, since a patch tool writes it anew. The comparison with what
//! `kubectl kustomize` really makes of upstream's patch is one of the end-to-end tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use inject_ephemeral_access_plugin::{Manifests, Severity, inject, run, uninject};
use serde::Deserialize as _;
use serde_json::{Value, json};

const IMAGE: &str = "registry.example.com/change-window:1.4.2";

const RECORD: &str = "fn.ephemeral-access.dev/injected";

/// What upstream's patch adds to each list, in the words of its documentation.
fn additions() -> [(&'static str, Value); 4] {
    let mount = json!({"name": "plugins", "mountPath": "/tmp/plugin/"});
    let installer = json!({
        "name": "plugin-installer",
        "image": IMAGE,
        "env": [{"name": "PLUGIN_PATH", "value": "/workspace/plugin"}],
        "volumeMounts": [mount],
    });
    [
        ("/initContainers", installer),
        ("/volumes", json!({"name": "plugins", "emptyDir": {}})),
        ("env", json!({"name": "EPHEMERAL_PLUGIN_PATH", "value": "/tmp/plugin/plugin"})),
        ("volumeMounts", mount),
    ]
}

#[test]
fn plain_manifests_get_what_the_hand_patch_gives() {
    for path in manifests() {
        let text = fs::read_to_string(&path).unwrap();
        let injected = injected(&text);
        let expected: Vec<Value> = documents(&text).into_iter().map(patched_by_hand).collect();
        let actual: Vec<Value> = documents(&injected).into_iter().map(without_extras).collect();
        assert_eq!(actual, expected, "{}", path.display());
        assert_eq!(removed(&injected), text, "{}", path.display());
    }
}

#[test]
fn resource_lists_get_what_the_hand_patch_gives() {
    for path in manifests() {
        let text = fs::read_to_string(&path).unwrap();
        let output = run(list(&text).as_bytes()).stdout.concat();
        let output: Value = serde_yaml::from_str(&output).unwrap();
        let items = output["items"].as_array().unwrap().clone();
        let expected: Vec<Value> = documents(&text).into_iter().map(patched_by_hand).collect();
        let actual: Vec<Value> = items.into_iter().map(without_extras).collect();
        assert_eq!(actual, expected, "{}", path.display());
    }
}

#[test]
fn a_manifest_that_was_patched_by_hand_is_adopted() {
    let text = fs::read_to_string(testdata("install.yaml")).unwrap();
    let by_hand: Vec<Value> = documents(&text).into_iter().map(patched_by_hand).collect();
    // A patch tool writes the manifest anew; JSON is YAML too.
    let written: String = by_hand.iter().map(|document| format!("---\n{document}\n")).collect();
    let adopted: Vec<Value> =
        documents(&injected(&written)).into_iter().map(without_extras).collect();
    assert_eq!(adopted, by_hand);
}

/// The bundled manifest, and upstream's own where they are at hand.
fn manifests() -> Vec<PathBuf> {
    let mut paths = vec![testdata("install.yaml")];
    let upstream = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/upstream");
    let entries = fs::read_dir(upstream).into_iter().flatten();
    paths.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("install-") && name.ends_with(".yaml")
    }));
    paths
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn injected(text: &str) -> String {
    let manifests = Manifests::parse(text.as_bytes()).unwrap();
    let outcome = inject(&manifests, None, Some(IMAGE));
    let errors = outcome.findings.iter().filter(|finding| finding.severity() == Severity::Error);
    let errors: Vec<_> = errors.map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    outcome.stdout.unwrap().concat()
}

fn removed(text: &str) -> String {
    let manifests = Manifests::parse(text.as_bytes()).unwrap();
    uninject(&manifests, None).stdout.unwrap().concat()
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|value| !value.is_null())
        .collect()
}

/// The manifests as items of a ResourceList.
fn list(text: &str) -> String {
    let items: String = documents(text).iter().map(|item| format!("- {item}\n")).collect();
    format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n{items}functionConfig:\n  \
         apiVersion: fn.ephemeral-access.dev/v1alpha1\n  kind: EphemeralAccessPlugin\n  \
         metadata: {{name: change-window}}\n  spec: {{image: '{IMAGE}'}}\n"
    )
}

fn is_controller(document: &Value) -> bool {
    document["kind"] == "Deployment" && document["metadata"]["name"] == "controller"
}

fn controller(deployment: &mut Value) -> &mut Value {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    let mut containers = containers.iter_mut();
    containers.find(|container| container["name"] == "controller").unwrap()
}

/// A strategic merge of upstream's patch: its elements are added to the lists that they name.
fn patched_by_hand(mut document: Value) -> Value {
    if !is_controller(&document) {
        return document;
    }
    for (list, element) in additions() {
        let list = match list.strip_prefix('/') {
            Some(list) => &mut document["spec"]["template"]["spec"][list],
            None => &mut controller(&mut document)[list],
        };
        match list {
            Value::Array(elements) => elements.push(element),
            Value::Null => *list = json!([element]),
            other => panic!("not a list: {other}"),
        }
    }
    document
}

/// Without what the patch does not have. Each of them must be there.
fn without_extras(mut document: Value) -> Value {
    if !is_controller(&document) {
        return document;
    }
    let metadata = document["metadata"].as_object_mut().unwrap();
    let annotations = metadata["annotations"].as_object_mut().unwrap();
    assert!(annotations.remove(RECORD).is_some());
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    let pod = &mut document["spec"]["template"]["spec"];
    let installer = find(&mut pod["initContainers"], "plugin-installer");
    let security_context = installer.as_object_mut().unwrap().remove("securityContext");
    assert_eq!(
        security_context,
        Some(json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        }))
    );
    let mount = find(&mut controller(&mut document)["volumeMounts"], "plugins");
    assert_eq!(mount.as_object_mut().unwrap().remove("readOnly"), Some(true.into()));
    document
}

fn find<'v>(list: &'v mut Value, name: &str) -> &'v mut Value {
    list.as_array_mut().unwrap().iter_mut().find(|element| element["name"] == name).unwrap()
}
