//! What stands between the API server and a container runtime: the parts of Kubernetes that make a pod of a Deployment
//! and files of a service account.

use std::path::Path;

use e2e::{Failure, Result, write};
use serde_json::{Value, json};

use crate::{ApiServer, Podman};

/// The pod that the ReplicaSet controller would make of a Deployment.
pub fn pod_of(deployment: &Value, name: &str) -> Result<Value> {
    let found = |pointer| deployment.pointer(pointer).cloned();
    let missing = || Failure::new(format!("this is no Deployment:\n{deployment}"));
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": found("/metadata/namespace").ok_or_else(missing)?,
            "labels": found("/spec/template/metadata/labels").ok_or_else(missing)?,
        },
        "spec": found("/spec/template/spec").ok_or_else(missing)?,
    }))
}

/// The pod as a kubelet gives it to the container runtime. In its place are:
///
/// - the service account's files, and the environment variables that say where the API server is;
/// - image volumes, mounted;
/// - the host's network, because the API server listens on its loopback interface alone.
///
/// Three things differ from Kubernetes: nothing is started again, so that a test sees a container that ended; ports are
/// left out, which mean nothing in the host's network; and probes are, which need systemd. A test may run an init
/// container again.
pub fn as_kubelet(
    mut pod: Value,
    server: &ApiServer,
    podman: &Podman,
    directory: &Path,
) -> Result<Value> {
    let name = text(&pod, "/metadata/name")?;
    let account = write_service_account(&pod, server, &directory.join(&name))?;
    let Some(spec) = pod.get_mut("spec") else { return Err(Failure::new("a pod has no spec")) };
    spec["hostNetwork"] = json!(true);
    spec["restartPolicy"] = json!("Never");
    for volume in list(spec, "volumes") {
        if volume.get("projected").is_some() {
            *volume = json!({"name": volume["name"], "hostPath": {"path": account}});
        }
    }
    mount_image_volumes(spec, podman)?;
    for kind in ["initContainers", "containers"] {
        for container in list(spec, kind) {
            let Some(fields) = container.as_object_mut() else { continue };
            for field in ["livenessProbe", "readinessProbe", "ports"] {
                fields.remove(field);
            }
            let variables = fields.entry("env").or_insert_with(|| json!([]));
            for (name, value) in [
                ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
                ("KUBERNETES_SERVICE_PORT", server.port().to_string()),
            ] {
                if let Some(variables) = variables.as_array_mut() {
                    variables.push(json!({"name": name, "value": value}));
                }
            }
        }
    }
    if let Some(metadata) = pod.get_mut("metadata") {
        let labels = metadata.get("labels").cloned().unwrap_or_default();
        let annotations = json!({"io.podman.annotations.init.container.type": "always"});
        *metadata = json!({"name": name, "labels": labels, "annotations": annotations});
    }
    Ok(pod)
}

/// The files at /var/run/secrets/kubernetes.io/serviceaccount.
fn write_service_account(pod: &Value, server: &ApiServer, directory: &Path) -> Result<String> {
    let namespace = text(pod, "/metadata/namespace")?;
    let account = text(pod, "/spec/serviceAccountName")?;
    let create = ["create", "token", &account, "--namespace", &namespace, "--duration", "1h"];
    let token = server.run(create)?.success()?.stdout;
    write(directory, "token", token.trim())?;
    write(directory, "namespace", &namespace)?;
    write(directory, "ca.crt", &e2e::read(&server.certificate())?)?;
    Ok(directory.display().to_string())
}

/// Podman's `kube play` knows no image volumes: each becomes the folder that its image is mounted at, and the
/// directory that a mount names in it.
fn mount_image_volumes(spec: &mut Value, podman: &Podman) -> Result {
    let mut mounted = Vec::new();
    for volume in list(spec, "volumes") {
        if let Some(image) = volume.pointer("/image/reference").and_then(Value::as_str) {
            let path = podman.mount(image)?;
            mounted.push((volume["name"].clone(), path));
        }
    }
    for (name, path) in mounted {
        let mut path = path;
        for container in list(spec, "containers") {
            for mount in list(container, "volumeMounts").filter(|mount| mount["name"] == name) {
                let inner = mount.as_object_mut().and_then(|mount| mount.remove("subPath"));
                if let Some(inner) = inner.as_ref().and_then(Value::as_str) {
                    path = path.join(inner);
                }
            }
        }
        for volume in list(spec, "volumes").filter(|volume| volume["name"] == name) {
            *volume = json!({"name": name, "hostPath": {"path": path}});
        }
    }
    Ok(())
}

fn list<'v>(value: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("there is no {pointer} in\n{value}")))
}
