//! The function as a kustomize transformer: in a container through kubectl and kustomize, and as a plain program.

use std::path::Path;
use std::process::Command;

use e2e::{
    FUNCTION_IMAGE, Finished, Install, Result, added_lines, function, image, installs, kubectl,
    kustomize, read, repository, run, same_text, write,
};
use tempfile::TempDir;

const PLUGIN_IMAGE: &str = "registry.example.com/change-window:1.4.2";
const RELEASE: &str = "https://github.com/argoproj-labs/argocd-ephemeral-access/releases/download/v1.2.0/install.yaml";

/// A copy of `manifests/` over `install` in place of the release that it names by URL.
fn manifests(install: &Install) -> Result<TempDir> {
    let kustomization = read(&repository().join("manifests/kustomization.yaml"))?;
    assert!(kustomization.contains(RELEASE), "manifests/ must install {RELEASE}");
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    write(root, "kustomization.yaml", &kustomization.replace(RELEASE, "install.yaml"))?;
    write(root, "install.yaml", &install.text)?;
    for name in ["plugin/kustomization.yaml", "plugin/plugin.yaml"] {
        write(root, name, &read(&repository().join("manifests").join(name))?)?;
    }
    write(root, "without/kustomization.yaml", "resources: [install]\n")?;
    write(root, "without/install/kustomization.yaml", "resources: [install.yaml]\n")?;
    write(root, "without/install/install.yaml", &install.text)?;
    Ok(directory)
}

fn build(mut command: Command, directory: &Path) -> Result<Finished> {
    run(command.arg(directory))
}

/// `kubectl kustomize`, allowed to run containers.
fn kubectl_kustomize() -> Result<Command> {
    let mut command = kubectl()?;
    command.args(["kustomize", "--enable-alpha-plugins"]);
    Ok(command)
}

/// `kustomize build`, allowed to run containers and plain programs.
fn kustomize_build() -> Result<Command> {
    let mut command = kustomize()?;
    command.args(["build", "--enable-alpha-plugins", "--enable-exec"]);
    Ok(command)
}

/// The lines that the function's build in `directory` has more than the same build without it.
fn added_by(command: fn() -> Result<Command>, directory: &Path) -> Result<Vec<String>> {
    let without = build(command()?, &directory.join("without"))?.success()?.stdout;
    let with = build(command()?, directory)?.success()?.stdout;
    Ok(added_lines(&without, &with)?.into_iter().map(|line| line.trim().to_owned()).collect())
}

fn assert_is_the_plugin(added: &[String], install: &Install) {
    for line in [
        format!("image: {PLUGIN_IMAGE}").as_str(),
        "name: plugin-installer",
        "value: /workspace/plugin",
        "- name: EPHEMERAL_PLUGIN_PATH",
        "value: /tmp/plugin/plugin",
        "readOnlyRootFilesystem: true",
        "- emptyDir: {}",
    ] {
        let count = added.iter().filter(|added| *added == line).count();
        assert_eq!(count, 1, "{}: {line:?} must be added once, added: {added:#?}", install.name);
    }
    let record = added.iter().filter(|line| line.starts_with("fn.ephemeral-access.dev/injected:"));
    assert_eq!(record.count(), 1, "{}: added: {added:#?}", install.name);
}

#[test]
fn manifests_build_with_kubectl_and_a_container() -> Result {
    image()?;
    for install in installs()? {
        let directory = manifests(&install)?;
        assert_is_the_plugin(&added_by(kubectl_kustomize, directory.path())?, &install);
    }
    Ok(())
}

#[test]
fn manifests_build_with_kustomize_and_a_container() -> Result {
    image()?;
    for install in installs()? {
        let directory = manifests(&install)?;
        assert_is_the_plugin(&added_by(kustomize_build, directory.path())?, &install);
    }
    Ok(())
}

/// Replaces the container in `plugin.yaml` by the program itself.
fn run_the_program_instead(directory: &Path) -> Result {
    let config = directory.join("plugin/plugin.yaml");
    let container = format!("container:\n        image: {FUNCTION_IMAGE}\n");
    let text = read(&config)?;
    assert!(text.contains(&container), "{text}");
    let program = format!("exec:\n        path: {}\n", function()?.display());
    std::fs::write(config, text.replace(&container, &program))?;
    Ok(())
}

#[test]
fn manifests_build_with_kustomize_and_a_plain_program() -> Result {
    for install in installs()? {
        let directory = manifests(&install)?;
        run_the_program_instead(directory.path())?;
        assert_is_the_plugin(&added_by(kustomize_build, directory.path())?, &install);
    }
    Ok(())
}

#[test]
fn a_second_build_changes_nothing() -> Result {
    for install in installs()? {
        let directory = manifests(&install)?;
        run_the_program_instead(directory.path())?;
        let first = build(kustomize_build()?, directory.path())?.success()?.stdout;
        write(directory.path(), "install.yaml", &first)?;
        let second = build(kustomize_build()?, directory.path())?.success()?.stdout;
        same_text(&install.name, &first, &second)?;
    }
    Ok(())
}

#[test]
fn finds_the_controller_under_a_name_prefix_of_the_same_layer() -> Result {
    for install in installs()? {
        for target in ["", "  target: {name: controller, namespace: argocd-ephemeral-access}\n"] {
            let directory = manifests(&install)?;
            let root = directory.path();
            run_the_program_instead(root)?;
            for name in ["kustomization.yaml", "without/kustomization.yaml"] {
                let text = read(&root.join(name))?;
                write(root, name, &format!("{text}\nnamePrefix: ea-\nnamespace: access\n"))?;
            }
            let config = read(&root.join("plugin/plugin.yaml"))?;
            write(root, "plugin/plugin.yaml", &format!("{config}{target}"))?;
            assert_is_the_plugin(&added_by(kustomize_build, root)?, &install);
        }
    }
    Ok(())
}

#[test]
fn a_refused_config_fails_the_build_and_says_why() -> Result {
    let placeholder = "CHANGE_THIS_TO_POINT_TO_YOUR_PLUGIN_IMAGE";
    for install in installs()? {
        let directory = manifests(&install)?;
        run_the_program_instead(directory.path())?;
        let config = directory.path().join("plugin/plugin.yaml");
        std::fs::write(&config, read(&config)?.replace(PLUGIN_IMAGE, placeholder))?;
        let refused = build(kustomize_build()?, directory.path())?.failure()?;
        assert_eq!(refused.stdout, "");
        assert!(refused.stderr.contains("spec.image"), "{}", refused.stderr);
        assert!(refused.stderr.contains(placeholder), "{}", refused.stderr);
    }
    Ok(())
}

#[test]
fn state_absent_takes_the_plugin_out_again() -> Result {
    for install in installs()? {
        let directory = manifests(&install)?;
        let root = directory.path();
        run_the_program_instead(root)?;
        let without = build(kustomize_build()?, &root.join("without"))?.success()?.stdout;
        write(root, "install.yaml", &build(kustomize_build()?, root)?.success()?.stdout)?;
        let config = read(&root.join("plugin/plugin.yaml"))?;
        write(root, "plugin/plugin.yaml", &format!("{config}  state: absent\n"))?;
        let removed = build(kustomize_build()?, root)?.success()?.stdout;
        same_text(&install.name, &without, &removed)?;
    }
    Ok(())
}
