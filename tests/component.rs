//! Patches and components: what is written, and what is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use inject_ephemeral_access_plugin::{Manifests, json_patch, strategic_patch};

fn program(directory: &Path, arguments: &[&str]) -> Output {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("fn-config/minimal.yaml");
    let arguments = arguments.iter().map(|argument| match *argument {
        "CONFIG" => config.as_os_str(),
        argument => argument.as_ref(),
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_inject-ephemeral-access-plugin"));
    command.args(arguments).current_dir(directory).output().unwrap()
}

fn sample(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fn-config").join(name)).unwrap()
}

fn install() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/install.yaml")).unwrap()
}

#[test]
fn a_strategic_patch_reads_as_if_written_by_hand() {
    let patch = strategic_patch(&sample("minimal.yaml")).unwrap();
    insta::assert_snapshot!(patch.text);
    insta::assert_snapshot!(patch.target, @r#"{"group":"apps","kind":"Deployment","labelSelector":"app.kubernetes.io/name=argocd-ephemeral-access,app.kubernetes.io/component=controller","version":"v1"}"#);
    assert!(patch.findings.is_empty());
}

#[test]
fn a_json_patch_makes_what_inject_makes() {
    let install = install();
    let manifests = Manifests::parse(install.as_bytes()).unwrap();
    let config = sample("secrets.yaml");
    let patch = json_patch(&config, &manifests).unwrap();
    let operations: Vec<json_patch::PatchOperation> = serde_json::from_str(&patch.text).unwrap();
    let injected = inject_ephemeral_access_plugin::inject(&manifests, Some(&config), None);
    let controller = |text: &str| {
        let mut documents = serde_yaml::Deserializer::from_str(text)
            .map(|document| serde::Deserialize::deserialize(document).unwrap());
        documents
            .find(|value: &serde_json::Value| {
                value.pointer("/metadata/name") == Some(&"controller".into())
                    && value.get("kind") == Some(&"Deployment".into())
            })
            .unwrap()
    };
    let mut patched = controller(&install);
    ::json_patch::patch(&mut patched, &operations).unwrap();
    assert_eq!(patched, controller(&injected.stdout.unwrap().concat()));
}

#[test]
fn a_strategic_patch_does_not_remove() {
    let findings = strategic_patch(&sample("removal.yaml")).unwrap_err();
    insta::assert_snapshot!(findings.first().unwrap(), @"
    error: a strategic merge patch cannot remove what another added
    hint: take the patch out of the kustomization, or use `--format json6902 --against`
    ");
}

#[test]
fn a_replaced_env_from_is_warned_of() {
    let patch = strategic_patch(&sample("secrets.yaml")).unwrap();
    insta::assert_snapshot!(
        patch.findings.first().unwrap(),
        @"warning: a strategic merge patch replaces the controller's whole `envFrom`"
    );
}

#[test]
fn a_second_run_and_a_check_find_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let make = ["component", "--config", "CONFIG", "--output", "a/component"];
    assert!(program(directory.path(), &make).status.success());
    let file = directory.path().join("a/component/controller-patch.yaml");
    let first = fs::read_to_string(&file).unwrap();
    assert!(program(directory.path(), &make).status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    let check = [&make[..], &["--check"]].concat();
    let checked = program(directory.path(), &check);
    assert!(checked.status.success() && checked.stdout.is_empty());
    assert_eq!(fs::read_dir(directory.path().join("a/component")).unwrap().count(), 2);
}

#[test]
fn a_changed_component_fails_the_check_with_a_diff() {
    let directory = tempfile::tempdir().unwrap();
    let make = ["component", "--config", "CONFIG", "--output", "."];
    assert!(program(directory.path(), &make).status.success());
    let file = directory.path().join("controller-patch.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("1.4.2", "1.4.1")).unwrap();
    let checked = program(directory.path(), &[&make[..], &["--check"]].concat());
    assert_eq!(checked.status.code(), Some(1));
    let diff = String::from_utf8(checked.stdout).unwrap();
    assert!(diff.contains("-        image: registry.example.com/change-window:1.4.1\n"), "{diff}");
    assert!(diff.contains("+        image: registry.example.com/change-window:1.4.2\n"), "{diff}");
}

#[test]
fn a_file_of_somebody_else_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kustomization.yaml");
    fs::write(&file, "resources: []\n").unwrap();
    let made = program(directory.path(), &["component", "--config", "CONFIG", "--output", "."]);
    assert_eq!(made.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(made.stderr).unwrap(), @"
    error: ./kustomization.yaml is not a file that this command made
    hint: choose another directory
    ");
    assert_eq!(fs::read_to_string(&file).unwrap(), "resources: []\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn no_second_kustomization_is_written() {
    for name in ["kustomization.yml", "Kustomization"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "resources: []\n").unwrap();
        for check in [&[][..], &["--check"]] {
            let make = ["component", "--config", "CONFIG", "--output", "."];
            let made = program(directory.path(), &[&make[..], check].concat());
            assert_eq!(made.status.code(), Some(1));
            assert_eq!(
                String::from_utf8(made.stderr).unwrap(),
                format!(
                    "error: ./{name} is not a file that this command made\n\
                     hint: choose another directory\n"
                )
            );
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_file_that_is_no_text_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kustomization.yaml");
    fs::write(&file, b"# \xff\n").unwrap();
    let made = program(directory.path(), &["component", "--config", "CONFIG", "--output", "."]);
    assert_eq!(made.status.code(), Some(1));
    assert_eq!(fs::read(&file).unwrap(), b"# \xff\n");
}

#[test]
fn a_dot_in_a_name_selects_nothing_else() {
    let target = "  target: {name: ctrl.x, namespace: a.b}\n";
    let config = sample("minimal.yaml").replace("spec:\n", &format!("spec:\n{target}"));
    let install = install()
        .replace("\n  name: controller\n", "\n  name: ctrl.x\n")
        .replace("namespace: argocd-ephemeral-access\n", "namespace: a.b\n");
    let manifests = Manifests::parse(install.as_bytes()).unwrap();
    for patch in [strategic_patch(&config).unwrap(), json_patch(&config, &manifests).unwrap()] {
        assert_eq!(patch.target.pointer("/name").unwrap(), r"ctrl\.x");
        assert_eq!(patch.target.pointer("/namespace").unwrap(), r"a\.b");
        assert!(!patch.text.contains(r"ctrl\"), "{}", patch.text);
    }
}

#[test]
fn an_error_in_the_config_names_its_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("plugin.yaml"), "kind: Plugin\nmetadata: {name: x}\n").unwrap();
    for command in [&["patch"][..], &["component", "--output", "."]] {
        let made = program(directory.path(), &[command, &["--config", "plugin.yaml"]].concat());
        assert_eq!(made.status.code(), Some(1));
        let said = String::from_utf8(made.stderr).unwrap();
        assert!(said.contains("\n  --> plugin.yaml: Plugin \"x\"\n"), "{said}");
    }
}

#[test]
fn completions_and_the_manual_page_are_written() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, word) in [(&["completions", "bash"][..], "complete -F"), (&["man"][..], ".TH")]
    {
        let written = program(directory.path(), arguments);
        assert!(written.status.success());
        assert!(String::from_utf8(written.stdout).unwrap().contains(word));
    }
}
