//! A component and both forms of a patch give what the function gives, through `kubectl kustomize` without any flag.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{
    Result, function, in_order_of_names, installs, kubectl, repository, resources, run, write,
};
use serde_yaml::Value;

/// Samples whose `secrets` and `envFrom` reach every list that a plugin can need.
const CONFIGS: [&str; 4] =
    ["minimal.yaml", "secrets.yaml", "image-volume.yaml", "upstream-installer.yaml"];

/// What `kubectl kustomize` makes of a folder.
fn build(directory: &Path) -> Result<String> {
    Ok(run(kubectl()?.arg("kustomize").arg(directory))?.success()?.stdout)
}

fn sorted(text: &str) -> Result<Vec<Value>> {
    let mut resources = resources(text)?;
    resources.iter_mut().for_each(in_order_of_names);
    Ok(resources)
}

fn component(config: &Path, directory: &Path, options: &[&str]) -> Result<Command> {
    let mut command = Command::new(function()?);
    command.arg("component").arg("--config").arg(config).arg("--output").arg(directory);
    command.args(options);
    Ok(command)
}

fn is_like_upstream(name: &str) -> bool {
    !name.ends_with("install-by-hand.yaml")
}

fn forget_record(resource: &mut Value) {
    let annotations = resource.get_mut("metadata").and_then(|meta| meta.get_mut("annotations"));
    if let Some(record) =
        annotations.and_then(|map| map.get_mut("fn.ephemeral-access.dev/injected"))
    {
        *record = Value::Null;
    }
}

#[test]
fn a_component_gives_what_the_function_gives() -> Result {
    for install in installs()? {
        for config in CONFIGS {
            let config = repository().join("fn-config").join(config);
            let directory = tempfile::tempdir()?;
            let root = directory.path();
            let manifest = write(root, "install.yaml", &install.text)?;
            let manifest = manifest.to_string_lossy();
            write(root, "kustomization.yaml", "resources: [install.yaml]\n")?;
            let plain = write(root, "plain.yaml", &build(root)?)?;
            let mut inject = Command::new(function()?);
            inject.arg("inject").arg("--config").arg(&config).arg(plain);
            let wanted = sorted(&run(&mut inject)?.success()?.stdout)?;
            let against: &[&str] = &["--format", "json6902", "--against", &manifest];
            for options in [&[], against] {
                let output = root.join("component");
                run(&mut component(&config, &output, options)?)?.success()?;
                let kustomization = "resources: [install.yaml]\ncomponents: [component]\n";
                write(root, "kustomization.yaml", kustomization)?;
                let what = format!("{} {} {options:?}", install.name, config.display());
                let (mut made, mut wanted) = (sorted(&build(root)?)?, wanted.clone());
                // A strategic patch does not see which lists are there; its record says upstream's.
                if options.is_empty() && !is_like_upstream(&install.name) {
                    made.iter_mut().chain(&mut wanted).for_each(forget_record);
                }
                assert_eq!(made, wanted, "{what}");
                fs::remove_dir_all(output)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_check_passes_until_the_config_changes() -> Result {
    let config = |name: &str| repository().join("fn-config").join(name);
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("component");
    run(&mut component(&config("minimal.yaml"), &output, &[])?)?.success()?;
    run(&mut component(&config("minimal.yaml"), &output, &["--check"])?)?.success()?;
    let changed =
        run(&mut component(&config("secrets.yaml"), &output, &["--check"])?)?.failure()?;
    assert!(changed.stdout.contains("+        - name: TICKETS_URL"), "{}", changed.stdout);
    Ok(())
}
