//! `eaplugin grant` and `eaplugin revoke`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{eaplugin, echo, misbehave, stderr, stdout};
use tempfile::TempDir;

/// A file that asks the test plugin for something.
fn request(directory: &TempDir, asked: &str) -> PathBuf {
    let path = directory.path().join("request.yaml");
    let annotations = format!("{{test/do: '{asked}'}}");
    let text = format!(
        "kind: AccessRequest\nmetadata: {{annotations: {annotations}}}\n---\nkind: Application\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn call(plugin: &Path, method: &str, asked: &str, options: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.arg(method).arg(plugin).arg("--request").arg(request(&directory, asked));
    command.args(options).output().unwrap()
}

#[test]
fn an_answer_is_data_with_its_consequence() {
    let output = call(echo(), "grant", "denied", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "call: GrantAccess\nstatus: \"denied\"\nmessage: \"denied\"\n\
         controller: \"sets the request to \\\"denied\\\" and does not ask again\"\n"
    );
}

#[test]
fn an_answer_can_be_json() {
    let output = call(echo(), "revoke", "revoke-pending", &["--output", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["status"], "revoke-pending");
    assert!(answer["controller"].as_str().unwrap().contains("takes the role away"), "{answer}");
}

#[test]
fn the_plugin_gets_what_the_controller_would_send() {
    let output = call(echo(), "grant", "", &["--output", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let received: Value = serde_json::from_str(answer["message"].as_str().unwrap()).unwrap();
    assert_eq!(received["accessRequest"]["kind"], Value::Null);
    assert_eq!(received["accessRequest"]["metadata"]["annotations"]["test/do"], "");
}

#[test]
fn an_error_or_no_answer_is_exit_code_1() {
    let output = call(echo(), "revoke", "error:no", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("error: \"no\"\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("lets the user keep the access"), "{}", stdout(&output));
    let output = call(echo(), "grant", "hang", &["--timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("error: \"no answer within 300ms\"\n"), "{}", stdout(&output));
}

#[test]
fn the_log_goes_to_standard_error_without_colour_in_a_pipe() {
    let output = call(echo(), "grant", "log", &[]);
    assert_eq!(output.status.code(), Some(0));
    let log = stderr(&output);
    assert!(log.contains("INFO  echo: info text="), "{log}");
    assert!(log.contains("ERROR echo: error"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn colours_can_be_forced_and_forbidden() {
    let directory = tempfile::tempdir().unwrap();
    let coloured = |no_color: &str| {
        let mut command = eaplugin();
        command.arg("grant").arg(echo()).arg("--request").arg(request(&directory, "log"));
        command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_color);
        stderr(&command.output().unwrap()).contains('\u{1b}')
    };
    assert!(coloured(""));
    assert!(!coloured("1"));
}

#[test]
fn watching_goes_on_as_the_controller_does() {
    let watch = ["--watch", "--interval", "10ms", "--times", "3", "--output", "json"];
    let statuses = |asked: &str, method: &str| {
        let output = call(echo(), method, asked, &watch);
        let answers = stdout(&output);
        let status = |line: &str| {
            let answer: Value = serde_json::from_str(line).unwrap();
            answer["controller"].as_str().unwrap().chars().take(20).collect::<String>()
        };
        answers.lines().map(status).collect::<Vec<_>>()
    };
    // Denied is final, and so is any response to a revocation.
    assert_eq!(statuses("denied", "grant"), ["sets the request to "]);
    assert_eq!(statuses("revoke-pending", "revoke"), ["takes the role away "]);
    assert_eq!(statuses("pending", "grant"), ["sets the request to "; 3]);
    // Once it is granted, the controller asks about a granted request.
    let granted = ["gives the user the r", "keeps the role as it", "keeps the role as it"];
    assert_eq!(statuses("", "grant"), granted);
    assert_eq!(statuses("error:no", "revoke"), ["lets the user keep t"; 3]);
}

#[test]
fn an_interrupted_watch_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.arg("grant").arg(echo()).arg("--request").arg(request(&directory, "pending"));
    command.args(["--watch", "--interval", "1h"]).env("TMPDIR", scratch.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "---\n");
    assert_eq!(plugins_in(scratch.path()), 1);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // A process that was killed takes a moment to go.
    let start = Instant::now();
    while plugins_in(scratch.path()) > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "the plugin still runs");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

/// How many processes have a temporary folder in `scratch`.
fn plugins_in(scratch: &Path) -> usize {
    let folder = format!("TMPDIR={}/eaplugin-", scratch.display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.filter(|bytes| String::from_utf8_lossy(bytes).contains(&folder)).count()
}

#[test]
fn a_watch_ends_with_its_reader() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.arg("grant").arg(echo()).arg("--request").arg(request(&directory, "pending"));
    command.args(["--watch", "--interval", "1ms"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_plugin_that_does_not_serve_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.arg("grant").arg(misbehave()).arg("--request").arg(request(&directory, ""));
    let output = command.env("MISBEHAVE", "exit").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(
        text.contains("misbehave\" does not serve: it ended before its handshake line"),
        "{text}"
    );
    assert!(text.contains("hint: `eaplugin check "), "{text}");
}

#[test]
fn a_failing_init_is_not_overlooked() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.arg("grant").arg(echo()).arg("--request").arg(request(&directory, ""));
    let output = command.env("TEST_INIT_ERROR", "no token").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: `Init` must succeed, got error: no token\nhint: "));
}

#[test]
fn files_that_are_no_request_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("areq.yaml");
    for (text, reason) in [
        ("kind: AccessRequest\n", "request must have one Application, got 0"),
        ("kind: List\nitems: []\n", "got `kind` \"List\""),
        ("kind: AccessRequest\nspec: {duration: 4 hours}\n", "duration must be like"),
        ("a: [", "request must be YAML or JSON"),
    ] {
        fs::write(&path, text).unwrap();
        let output = eaplugin().args(["grant", "p", "--request"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let message = stderr(&output);
        assert!(message.contains("areq.yaml\""), "{message}");
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("\nhint: "), "{message}");
    }
}
