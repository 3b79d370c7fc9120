//! The function gives what the patch written by hand gives, apart from what it adds on purpose.

use e2e::{
    Result, function, in_order_of_names, installs, kubectl, kustomize, resources, run, write,
};
use serde_yaml::{Mapping, Value};

/// What operators write by hand to load a plugin.
const PATCH: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: argocd-ephemeral-access}
spec:
  template:
    spec:
      volumes:
      - {name: plugins, emptyDir: {}}
      initContainers:
      - name: plugin-installer
        image: registry.example.com/change-window:1.4.2
        env: [{name: PLUGIN_PATH, value: /workspace/plugin}]
        volumeMounts: [{name: plugins, mountPath: /tmp/plugin/}]
      containers:
      - name: controller
        env: [{name: EPHEMERAL_PLUGIN_PATH, value: /tmp/plugin/plugin}]
        volumeMounts: [{name: plugins, mountPath: /tmp/plugin/}]
";

fn by_hand(install: &str) -> Result<Vec<Value>> {
    let directory = tempfile::tempdir()?;
    write(
        directory.path(),
        "kustomization.yaml",
        "resources: [install.yaml]\npatches: [{path: patch.yaml}]\n",
    )?;
    write(directory.path(), "install.yaml", install)?;
    write(directory.path(), "patch.yaml", PATCH)?;
    resources(&run(kubectl()?.arg("kustomize").arg(directory.path()))?.success()?.stdout)
}

fn by_function(install: &str) -> Result<Vec<Value>> {
    let config = format!(
        "apiVersion: fn.ephemeral-access.dev/v1alpha1\nkind: EphemeralAccessPlugin\nmetadata:\n  name: change-window\n  \
         annotations:\n    config.kubernetes.io/function: |\n      exec:\n        path: {}\nspec:\n  \
         image: registry.example.com/change-window:1.4.2\n",
        function()?.display()
    );
    let directory = tempfile::tempdir()?;
    write(
        directory.path(),
        "kustomization.yaml",
        "resources: [install.yaml]\ntransformers: [plugin.yaml]\n",
    )?;
    write(directory.path(), "install.yaml", install)?;
    write(directory.path(), "plugin.yaml", &config)?;
    let mut build = kustomize()?;
    build.args(["build", "--enable-alpha-plugins", "--enable-exec"]).arg(directory.path());
    resources(&run(&mut build)?.success()?.stdout)
}

/// The value under `path`, whose last step may be absent.
fn remove(value: &mut Value, path: &[&str], key: &str) -> Option<Value> {
    let parent = path.iter().try_fold(value, |value, step| match value {
        Value::Sequence(list) => {
            list.iter_mut().find(|item| item.get("name").is_some_and(|name| name == *step))
        }
        _ => value.get_mut(*step),
    });
    parent?.as_mapping_mut()?.remove(key)
}

/// Takes out what the function adds and the patch does not have. Each must be there.
fn without_additions(mut resources: Vec<Value>) -> Vec<Value> {
    const POD: [&str; 3] = ["spec", "template", "spec"];
    let is_the_controller = |resource: &&mut Value| {
        resource.get("kind").is_some_and(|kind| kind == "Deployment")
            && resource
                .get("metadata")
                .and_then(|metadata| metadata.get("name"))
                .is_some_and(|name| name == "controller")
    };
    for controller in resources.iter_mut().filter(is_the_controller) {
        let installer = [&POD[..], &["initContainers", "plugin-installer"]].concat();
        assert!(remove(controller, &installer, "securityContext").is_some());
        let mount = [&POD[..], &["containers", "controller", "volumeMounts", "plugins"]].concat();
        assert_eq!(remove(controller, &mount, "readOnly"), Some(Value::Bool(true)));
        let record =
            remove(controller, &["metadata", "annotations"], "fn.ephemeral-access.dev/injected");
        assert!(record.is_some());
        if let Some(metadata) = controller.get_mut("metadata").and_then(Value::as_mapping_mut)
            && metadata.get("annotations") == Some(&Value::Mapping(Mapping::new()))
        {
            metadata.remove("annotations");
        }
    }
    resources
}

#[test]
fn the_function_equals_the_patch_written_by_hand() -> Result {
    for install in installs()? {
        let mut by_hand = by_hand(&install.text)?;
        let mut by_function = without_additions(by_function(&install.text)?);
        by_hand.iter_mut().chain(&mut by_function).for_each(in_order_of_names);
        assert_eq!(by_function, by_hand, "{}", install.name);
    }
    Ok(())
}
