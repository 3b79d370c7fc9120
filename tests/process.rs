//! What only a process can show: standard streams that are missing, full, closed or huge, arguments
//! and exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const INPUT: &str = "apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: controller
    labels:
      app.kubernetes.io/name: argocd-ephemeral-access
      app.kubernetes.io/component: controller
  spec:
    selector: {matchLabels: {app: controller}}
    template:
      metadata: {labels: {app: controller}}
      spec:
        containers:
        - name: controller
functionConfig:
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: function-input}
  data: {image: 'registry.example.com/change-window:1.4.2'}
";

#[test]
fn takes_a_list_from_a_pipe() {
    let output = run(&[], INPUT.as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout)
            .contains("\n        initContainers:\n        - name: plugin-installer\n")
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn needs_an_input() {
    for stdin in [Stdio::null(), Stdio::from(File::open("/dev/null").unwrap())] {
        let output = program(&[]).stdin(stdin).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).starts_with("error: standard input is empty\n"));
    }
    let closed = shell("exec \"$0\" <&-");
    assert_eq!(closed.status.code(), Some(1));
    assert!(text(&closed.stderr).starts_with("error: standard input is empty\n"));
}

#[test]
fn fails_on_a_directory_as_input() {
    let directory = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let output = program(&[]).stdin(directory).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot read standard input: "));
}

#[test]
fn fails_when_the_output_cannot_be_written() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = start(program(&[]).stdout(full), INPUT.as_bytes()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot write to standard output: "));
}

#[test]
fn fails_when_nobody_reads_the_output() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = start(program(&[]).stdout(writer), INPUT.as_bytes()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot write to standard output: "));
}

#[test]
fn does_its_work_without_standard_error() {
    let warns = INPUT.replace(":1.4.2", "");
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = start(program(&[]).stderr(writer), warns.as_bytes()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("initContainers"));
    let fails = INPUT.replace(":1.4.2", ":").replace("kind: Deployment", "kind: Other");
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = start(program(&[]).stderr(writer), fails.as_bytes()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_error_leaves_the_list_on_standard_output() {
    let input = INPUT.replace("'registry", "' registry");
    let output = run(&[], input.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let results = text(&output.stdout).strip_prefix(&input).unwrap().to_owned();
    assert!(results.starts_with("results:\n- "), "{results}");
    assert!(results.contains("\n  severity: error\n"), "{results}");
}

#[test]
fn refuses_an_endless_input_soon() {
    let started = Instant::now();
    let output = start_from(&mut program(&[]), |mut stdin| {
        let garbage = vec![b'x'; 1 << 20];
        // The program stops reading at its limit.
        while stdin.write_all(&garbage).is_ok() {}
    });
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: standard input is larger than 256 MiB\n");
    assert_eq!(text(&output.stdout), "");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn refuses_much_garbage_soon() {
    for line in ["- [{\"x\": ", "x\n", "\0\x01\x02", "\u{fffd}: a\n", "- - - a\n"] {
        let started = Instant::now();
        let output = run(&[], line.repeat((1 << 20) / line.len()).as_bytes());
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{line:?}");
        assert!(started.elapsed() < Duration::from_secs(60), "{line:?}: {:?}", started.elapsed());
    }
}

#[test]
fn passes_by_very_deep_nesting_soon() {
    let started = Instant::now();
    let deep = format!("- deep: {}{}\nfunctionConfig:", "[".repeat(90_000), "]".repeat(90_000));
    let output = run(&[], INPUT.replace("functionConfig:", &deep).as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn reads_many_objects_soon() {
    let (_, items) = INPUT.split_once("items:\n").unwrap();
    let (controller, _) = items.split_once("functionConfig:").unwrap();
    let document = controller.replacen("- ", "  ", 1);
    let value = format!("  kind: Other\n  a: Deployment {}\n", "x\\x".repeat(100));
    let documents = format!("---\n{value}").repeat(20_000);
    let found = format!("{documents}---\n{document}");
    let item = format!("-{}", value.get(1..).unwrap());
    let list = format!("kind: List\nitems:\n{}{controller}", item.repeat(20_000));
    for (input, code) in [(found, 0), (list, 0), (documents, 1)] {
        let started = Instant::now();
        let output = run(&["inject", "--image", "a/b:1"], input.as_bytes());
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        // If the time grew with the square of their number, it would be minutes.
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
}

#[test]
fn writes_nothing_but_its_output() {
    let directory = std::env::temp_dir().join(format!("no-files-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let mut killed = start_from(program(&[]).current_dir(&directory), |mut stdin| {
        stdin.write_all(INPUT.as_bytes()).unwrap();
        // It waits for the rest until it is killed.
        thread::sleep(Duration::from_millis(300));
    });
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    let mut written = Vec::new();
    killed.stdout.unwrap().read_to_end(&mut written).unwrap();
    assert_eq!(written, b"", "output before the input is complete");
    let done = start(program(&[]).current_dir(&directory), INPUT.as_bytes());
    assert!(done.wait_with_output().unwrap().status.success());
    let left = fs::read_dir(&directory).unwrap().count();
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn answers_help_and_version_on_standard_output() {
    for arguments in [&["--help"][..], &["-h"], &["inject", "--help"], &["uninject", "--help"]] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("Usage: "), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
    let version = run(&["--version"], b"");
    let expected = format!("{} {}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
}

#[test]
fn help_shows_a_config_that_works() {
    let help = run(&["--help"], b"");
    let help = text(&help.stdout);
    let start = help.find("    apiVersion: fn.").unwrap();
    let lines = help.split_at(start).1.lines().take_while(|line| line.starts_with("    "));
    let config: String = lines.map(|line| format!("{}\n", &line[2..])).collect();
    let (items, _) = INPUT.split_once("functionConfig:").unwrap();
    let output = run(&[], format!("{items}functionConfig:\n{config}").as_bytes());
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn wrong_arguments_are_a_failure_of_their_own() {
    for arguments in [
        &["--imgae", "x"][..],
        &["replace"],
        &["inject"],
        &["inject", "--image", "x", "--config", "y"],
        &["inject", "--image", "x", "a.yaml", "b.yaml"],
        &["uninject", "--image", "x"],
        &["schema", "x"],
    ] {
        let output = run(arguments, INPUT.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
}

#[test]
fn names_the_file_that_cannot_be_read() {
    let missing = run(&["inject", "--image", "a/b:1", "no-such-file.yaml"], b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).starts_with("error: cannot open no-such-file.yaml: "));
    let missing = run(&["inject", "--config", "no-such-config.yaml"], INPUT.as_bytes());
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).starts_with("error: cannot read no-such-config.yaml: "));
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    start(&mut program(arguments), input).wait_with_output().unwrap()
}

/// The program with nothing of this process's environment.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inject-ephemeral-access-plugin"));
    command.args(arguments).env_clear().current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a line of shell with the program as `$0`.
fn shell(line: &str) -> Output {
    let binary = env!("CARGO_BIN_EXE_inject-ephemeral-access-plugin");
    Command::new("/bin/sh").args(["-c", line, binary]).env_clear().output().unwrap()
}

fn start(command: &mut Command, input: &[u8]) -> Child {
    let input = input.to_vec();
    // A program that does not read its input closes the pipe.
    start_from(command, move |mut stdin| drop(stdin.write_all(&input)))
}

/// Starts a command, with its input written by a thread of its own.
fn start_from(command: &mut Command, write: impl FnOnce(ChildStdin) + Send + 'static) -> Child {
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    thread::spawn(move || write(stdin));
    child
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
