//! `eaplugin check` with plugins that behave, and with plugins that do not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{eaplugin, echo, misbehave, stderr, stdout};

/// What a check says about a plugin that misbehaves in one way.
struct Checked {
    report: Value,
    code: Option<i32>,
}

impl Checked {
    fn new(what: &str) -> Self {
        let mut command = eaplugin();
        command.env("MISBEHAVE", what).arg("check").arg(misbehave());
        command.args(["--output", "json", "--timeout", "2s", "--calls", "5"]);
        Self::from_output(&command.output().unwrap())
    }

    fn from_output(output: &Output) -> Self {
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("no report: {}", stderr(output)));
        Self { report, code: output.status.code() }
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name} in {}", self.report))
    }

    /// The result of a check, whose details hold `detail`.
    #[track_caller]
    fn is(&self, name: &str, result: &str, detail: &str) {
        let check = self.check(name);
        assert_eq!(check["result"], result, "{check}");
        assert!(check["detail"].as_str().unwrap().contains(detail), "{check}");
        if result == "failure" {
            assert!(check["controller"].is_string(), "what the controller does: {check}");
            assert!(check["hint"].is_string(), "how to fix it: {check}");
            assert_eq!(self.report["usable"], false);
            assert_eq!(self.code, Some(1));
        }
    }
}

#[test]
fn a_plugin_that_behaves_passes_what_does_not_depend_on_its_linking() {
    let checked = Checked::new("");
    for name in ["file", "architecture", "handshake", "init", "grant", "revoke", "latency"] {
        checked.is(name, "ok", "");
    }
    for name in ["memory", "quit", "sockets", "host death", "stdout", "log"] {
        checked.is(name, "ok", "");
    }
    checked.is("linking", "failure", "dynamic");
    let measured = &checked.report["measurements"];
    assert_eq!(measured["calls"], 5);
    for number in ["startMicros", "grantP50Micros", "grantP99Micros", "residentBytes"] {
        assert!(measured[number].as_u64().unwrap() > 0, "{measured}");
    }
}

#[test]
fn a_plugin_that_does_not_start_says_why() {
    Checked::new("exit").is("handshake", "failure", "(exit status: 3); its last words: no licence");
    Checked::new("silent").is(
        "handshake",
        "failure",
        "has not printed its handshake line within 2s",
    );
    Checked::new("chatty").is("handshake", "failure", "got \"hello\"");
    Checked::new("version").is("handshake", "failure", "must be 1, got 2");
    Checked::new("grpc").is("handshake", "failure", "must be \"netrpc\", got \"grpc\"");
    Checked::new("deaf").is("handshake", "failure", "cannot be reached");
    Checked::new("init").is("init", "failure", "no configuration");
}

#[test]
fn answers_that_the_controller_misunderstands_are_failures() {
    let checked = Checked::new("status");
    checked.is("grant", "failure", "\"approved\"");
    let grant = checked.check("grant");
    assert!(grant["controller"].as_str().unwrap().contains("the user gets the role"), "{grant}");
    Checked::new("nothing").is("grant", "failure", "neither a response nor an error");
}

#[test]
fn a_plugin_that_ends_or_hangs_in_a_call_is_a_failure() {
    Checked::new("crash").is("grant", "failure", "the plugin ended (exit status: 7)");
    Checked::new("hang").is("grant", "failure", "no answer within 2s");
    Checked::new("crash-nil").is("errors", "warning", "the plugin ended (exit status: 7)");
}

#[test]
fn what_goes_to_standard_output_is_seen() {
    let checked = Checked::new("stdout");
    checked.is("stdout", "warning", "bytes after the handshake line");
    Checked::new("stdout-long").is("stdout", "failure", "one line of 68 KiB");
}

#[test]
fn log_lines_are_judged_as_the_controller_reads_them() {
    Checked::new("log-type").is("log", "failure", "`@message` is no text");
    Checked::new("log-time").is("log", "warning", "a time that it cannot read");
    Checked::new("log-trace").is("log", "warning", "trace");
}

#[test]
fn a_bad_ending_is_a_warning() {
    let checked = Checked::new("stay");
    checked.is("quit", "warning", "still runs");
    Checked::new("socket").is("sockets", "warning", "1 left behind");
}

#[test]
fn a_plugin_that_outlives_its_host_is_a_warning_and_is_killed() {
    // Its serving ends, but it does not.
    let mark = format!("MARK=outlives-{}", std::process::id());
    let (key, value) = mark.split_once('=').unwrap();
    let mut command = eaplugin();
    command.env("MISBEHAVE", "stay").env(key, value).arg("check").arg(misbehave());
    command.args(["--output", "json", "--timeout", "2s", "--calls", "1"]);
    let checked = Checked::from_output(&command.output().unwrap());
    checked.is("host death", "warning", "it still ran 3.0 s after its host was killed");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let living = processes.filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&mark)
    });
    let living: Vec<_> = living.map(|entry| entry.file_name()).collect();
    assert!(living.is_empty(), "still running: {living:?}");
}

#[test]
fn an_interrupted_check_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = eaplugin();
    command.env("MISBEHAVE", "stay").env("TMPDIR", scratch.path()).arg("check").arg(misbehave());
    let mut child =
        command.args(["--timeout", "1s", "--calls", "1"]).stdout(Stdio::null()).spawn().unwrap();
    let living = |folders: usize| {
        let begin = format!("TMPDIR={}", scratch.path().display());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let environments =
            processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        let temporary = environments.filter(|bytes| {
            let mut variables = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            variables.any(|text| {
                text.strip_prefix(&begin)
                    .is_some_and(|rest| rest.matches("/eaplugin-").count() >= folders)
            })
        });
        temporary.count()
    };
    // The plugin of the host that is killed has its folder in that of the host.
    let start = Instant::now();
    while (living(2), living(1)) != (1, 1) {
        assert!(start.elapsed() < Duration::from_secs(60), "no plugin has outlived its host");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    // A process that was killed takes a moment to go.
    let start = Instant::now();
    while living(1) > 0 {
        assert!(start.elapsed() < Duration::from_secs(2), "the plugin still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_no_program_is_not_started() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let output = eaplugin().arg("check").arg(&path).args(["--output", "json"]).output();
        Checked::from_output(&output.unwrap())
    };
    let program = fs::read(misbehave()).unwrap();
    check("mode", &program, 0o644).is("file", "failure", "is not executable");
    check("script", b"#!/bin/sh\nexit 0\n", 0o755).is(
        "file",
        "failure",
        "a script for \"/bin/sh\"",
    );
    check("text", b"hello", 0o755).is("file", "failure", "it is no program");
    check("empty", b"", 0o755).is("file", "failure", "it is no program");
    let output = eaplugin().args(["check", "/nonexistent", "--output", "json"]).output().unwrap();
    Checked::from_output(&output).is("file", "failure", "cannot read \"/nonexistent\"");
}

#[test]
fn a_program_for_another_processor_is_not_judged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("foreign");
    let mut program = fs::read(misbehave()).unwrap();
    // e_machine: IBM S/390, which neither this machine nor an emulator runs by this header.
    program[18..20].copy_from_slice(&22_u16.to_le_bytes());
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = eaplugin().arg("check").arg(&path).args(["--output", "json"]).output().unwrap();
    let checked = Checked::from_output(&output);
    checked.is("architecture", "warning", "ELF machine 22");
    checked.is("handshake", "skipped", "cannot run programs for ELF machine 22");
    assert_eq!(checked.report["usable"], false);
    assert_eq!(checked.code, Some(1));
}

#[test]
fn the_table_is_what_people_read() {
    let output = eaplugin()
        .args(["check", "--timeout", "2s", "--calls", "5"])
        .arg(misbehave())
        .env("MISBEHAVE", "status")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "");
    insta::with_settings!({filters => vec![
        (r"\d+(\.\d+)? (µs|ms|s)\b", "[TIME]"),
        (r"\d+(\.\d+)? [KM]iB", "[SIZE]"),
        (r"x86_64|aarch64", "[ARCH]"),
        (r#"it needs "[^"]+""#, r#"it needs "[LINKER]""#),
    ]}, {
        insta::assert_snapshot!(stdout(&output));
    });
}

#[test]
fn what_takes_long_is_shown_on_a_terminal_only() {
    // `script` of util-linux runs a command on a terminal.
    let on_terminal = |what: &str| {
        let check = format!(
            "'{}' check '{}' --timeout 2s --calls 1",
            env!("CARGO_BIN_EXE_eaplugin"),
            misbehave().display()
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &check, "/dev/null"]);
        script.env("TERM", "xterm").env("MISBEHAVE", what).env_remove("NO_COLOR");
        stdout(&script.stdin(Stdio::null()).output().expect("`script` must be installed"))
    };
    let hangs = on_terminal("hang");
    assert!(hangs.contains("- calling GrantAccess"), "{hangs}");
    assert!(hangs.contains("\u{1b}[31m"), "{hangs}");
    let quick = on_terminal("version");
    assert!(!quick.contains("starting the plugin"), "{quick}");
    let mut command = eaplugin();
    command.env("TERM", "xterm").env("MISBEHAVE", "hang").arg("check").arg(misbehave());
    assert_eq!(stderr(&command.args(["--timeout", "2s"]).output().unwrap()), "");
}

#[test]
fn own_requests_are_what_the_plugin_gets() {
    let directory = tempfile::tempdir().unwrap();
    let (request, application) =
        (directory.path().join("areq.yaml"), directory.path().join("app.json"));
    fs::write(
        &request,
        "kind: AccessRequest\nmetadata: {annotations: {test/do: 'error:no ticket'}}\n",
    )
    .unwrap();
    fs::write(&application, r#"{"kind": "Application"}"#).unwrap();
    let mut command = eaplugin();
    command.arg("check").arg(echo()).args(["--output", "json", "--calls", "3", "--request"]);
    let output = command.arg(request).arg("--application").arg(application).output().unwrap();
    Checked::from_output(&output).is("grant", "warning", "error: no ticket");
}

#[test]
fn wrong_arguments_are_not_a_verdict() {
    for arguments in [
        &["check"][..],
        &["check", "p", "--timeout", "0s"],
        &["check", "p", "--timeout", "soon"],
        &["check", "p", "--request", "/nonexistent"],
        &["check", "p", "--application", "app.yaml"],
    ] {
        let output = eaplugin().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("error: "), "{}", stderr(&output));
    }
}
