//! `eaplugin new`, `completions` and `man`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{eaplugin, stderr, stdout};

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ephemeral-access-plugin");

/// Names in a folder, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_repository_is_made_whole_and_in_git() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.args(["new", "my-plugin", "--runtime-path", CRATE]).current_dir(&directory);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(names(directory.path()), ["my-plugin"]);
    let root = directory.path().join("my-plugin");
    assert!(root.join(".git").is_dir(), "{}", stderr(&output));
    let crate_path = fs::canonicalize(CRATE).unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains(crate_path.to_str().unwrap()), "{manifest}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]).current_dir(&root);
    let metadata = cargo.output().unwrap();
    assert!(metadata.status.success(), "{}", stderr(&metadata));
}

#[test]
fn what_is_there_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("my-plugin")).unwrap();
    fs::write(directory.path().join("my-plugin/mine"), "").unwrap();
    let output = eaplugin().args(["new", "my-plugin"]).current_dir(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: \"my-plugin\" is there, and not empty\nhint: "));
    assert_eq!(names(&directory.path().join("my-plugin")), ["mine"]);
    assert_eq!(names(directory.path()), ["my-plugin"]);
}

#[test]
fn nothing_is_left_of_what_fails() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["new", "My Plugin"][..], 2),
        (&["new", "my-plugin", "--runtime-path", "/nonexistent"], 1),
        (&["new", "my-plugin", "--directory", "/proc/my-plugin"], 1),
    ] {
        let output = eaplugin().args(arguments).current_dir(&directory).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    }
    assert!(names(directory.path()).is_empty());
}

#[test]
fn without_git_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.args(["new", "my-plugin"]).current_dir(&directory).env("PATH", "/nonexistent");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("no git repository of its own: git is not there"));
    assert!(directory.path().join("my-plugin/Cargo.toml").is_file());
    assert!(!directory.path().join("my-plugin/.git").exists());
}

#[test]
fn inside_of_a_repository_there_is_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(&directory).status();
    assert!(git.unwrap().success(), "git must work");
    let output = eaplugin().args(["new", "my-plugin"]).current_dir(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("inside of another repository"), "{}", stderr(&output));
    assert!(!directory.path().join("my-plugin/.git").exists());
}

#[test]
fn the_runtime_can_come_from_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.args(["new", "my-plugin", "--runtime-git", "https://git.example.com/r"]);
    assert!(command.current_dir(&directory).status().unwrap().success());
    let manifest = fs::read_to_string(directory.path().join("my-plugin/Cargo.toml")).unwrap();
    assert!(manifest.contains(r#"{ git = "https://git.example.com/r" }"#), "{manifest}");
    let mut command = eaplugin();
    command.args(["new", "p", "--runtime-git", "u", "--runtime-version", "1"]);
    assert_eq!(command.current_dir(&directory).output().unwrap().status.code(), Some(2));
}

#[test]
fn completions_and_man_pages_are_printed() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = eaplugin().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        let script = stdout(&output);
        assert!(script.contains("completions") && script.contains("runtime-path"), "{shell}");
    }
    let man = |arguments: &[&str]| {
        let output = eaplugin().arg("man").args(arguments).output().unwrap();
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, page) = man(&[]);
    assert!(code == Some(0) && page.contains(".TH eaplugin 1"), "{page}");
    assert!(!page.contains("hold"), "{page}");
    let (code, page) = man(&["check"]);
    assert!(code == Some(0) && page.contains(".TH eaplugin-check 1"), "{page}");
    let (code, message) = man(&["chekc"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("hint: the commands are new, check, grant"), "{message}");
}
