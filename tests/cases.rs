//! Every directory of `testdata` is a case, named by the behaviour that it shows.
//!
//! `input.yaml` (or `.json`, `.bin`) is what an orchestrator sends. Recorded are the unified diff
//! of the output against it, everything that is told, and the exit status; `cargo insta review`
//! shows what moved. Bytes are compared apart from the snapshots, which hide line ends: a second
//! run writes what the first wrote, nothing outside of the target changes, and the same config with
//! `state: absent` gives the input back. Where the last cannot be, a file `not-reversible` says
//! why, and what a removal leaves behind is recorded too.
//!
//! A directory of `testdata/cli` is a run of the program: `args`, one a line, and the files that
//! they name; a file `stdin` if it reads one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::any::Any;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use inject_ephemeral_access_plugin::{Finding, run};
use similar::TextDiff;

#[test]
fn resource_lists_come_out_as_recorded() {
    let cases = directories(&testdata());
    for_each(cases.into_iter().filter(|case| !case.ends_with("cli")), |case| {
        Case::read(case).check();
    });
}

#[test]
fn plain_manifests_come_out_as_recorded() {
    for_each(directories(&testdata().join("cli")).into_iter(), check_command);
}

/// Runs every case, and tells all that fail and not only the first.
fn for_each(cases: impl Iterator<Item = PathBuf>, check: impl Fn(&Path)) {
    let (mut count, mut failures) = (0, Vec::new());
    for case in cases {
        count += 1;
        let result = catch_unwind(AssertUnwindSafe(|| check(&case)));
        failures.extend(
            result.err().map(|panic| format!("{}: {}", name(&case), panic_message(panic.as_ref()))),
        );
    }
    assert!(count > 0, "no cases were found");
    assert!(
        failures.is_empty(),
        "{} of {count} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

struct Case<'c> {
    directory: &'c Path,
    input: Vec<u8>,
}

impl<'c> Case<'c> {
    fn read(directory: &'c Path) -> Self {
        let inputs: Vec<_> = files(directory)
            .into_iter()
            .filter(|file| file.file_stem() == Some(OsStr::new("input")))
            .collect();
        let [input] = inputs.as_slice() else {
            panic!("a case has one file named `input`");
        };
        let input = fs::read(input).unwrap();
        Self { directory, input }
    }

    fn check(&self) {
        let output = run(&self.input);
        let stdout = output.stdout.concat();
        let told = told(&output.findings, output.failed(), &stdout);
        if stdout.is_empty() {
            assert!(output.failed(), "nothing is written, but the run succeeds");
            record(self.directory, "results", &told);
            return;
        }
        let input = std::str::from_utf8(&self.input).unwrap();
        let (before, after) = (split(input).0, body(&stdout, input));
        if output.failed() {
            assert_eq!(before, after, "a failed run changes the items");
        }
        assert_eq!(run(stdout.as_bytes()).stdout.concat(), stdout, "a second run differs");
        check_outside_of_target(&before, &after);
        record(self.directory, "diff", &diff(&before, &after));
        record(self.directory, "results", &told);
        if before != after && !input.contains("state: absent") {
            self.check_removal(input, &stdout);
        }
    }

    fn check_removal(&self, input: &str, stdout: &str) {
        let removal = run_text(&with_state_absent(stdout));
        let (before, after) = (split(&with_state_absent(input)).0, body(&removal, input));
        if self.directory.join("not-reversible").exists() {
            assert_ne!(before, after, "this is reversible");
            record(self.directory, "removal", &diff(&before, &after));
        } else {
            assert_eq!(before, after, "a removal does not give the input back");
        }
    }
}

fn run_text(input: &str) -> String {
    run(input.as_bytes()).stdout.concat()
}

/// Standard error and the results as the orchestrator gets them.
fn told(findings: &[Finding], failed: bool, stdout: &str) -> String {
    let mut text = format!("exit status: {}\n\nstderr:\n", u8::from(failed));
    for finding in findings.iter().filter(|finding| !finding.is_info()) {
        writeln!(text, "{finding}").unwrap();
    }
    write!(text, "\n{}", split(stdout).1).unwrap();
    text
}

/// A ResourceList without its results, and the results.
///
/// In block style they are whole lines; in JSON they are the last thing before a bracket.
fn split(list: &str) -> (String, String) {
    const JSON: &str = ", \"results\": ";
    if let Some(at) = list.rfind(JSON) {
        let (body, rest) = (&list[..at], &list[at + JSON.len()..]);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        if let Some(Ok(value)) = values.next() {
            let value: serde_json::Value = value;
            let results = serde_json::to_string_pretty(&value).unwrap();
            return (format!("{body}{}", &rest[values.byte_offset()..]), results);
        }
    }
    let (mut body, mut results, mut within) = (String::new(), String::new(), false);
    for line in list.split_inclusive('\n') {
        if !line.starts_with([' ', '-', '\r', '\n', '#']) {
            within = line.starts_with("results:");
        }
        // Comments at the left are the user's, wherever they stand.
        let is_result = within && !line.starts_with('#');
        let part = if is_result { &mut results } else { &mut body };
        part.push_str(line);
    }
    (body, results)
}

/// An output without its results, and without the line break that only they need.
fn body(output: &str, input: &str) -> String {
    let (mut body, results) = split(output);
    if !results.is_empty() && !input.ends_with('\n') && body.ends_with('\n') {
        body.pop();
    }
    body
}

/// The same list with a config that asks for a removal.
fn with_state_absent(list: &str) -> String {
    let config = list.find("functionConfig").unwrap();
    let (before, config) = list.split_at(config);
    if config.contains("state: present") {
        return format!("{before}{}", config.replacen("state: present", "state: absent", 1));
    }
    for (flow, state) in [
        ("\"spec\": {", "\"state\": \"absent\", "),
        ("\"data\": {", "\"state\": \"absent\", "),
        ("spec: {", "state: absent, "),
        ("data: {", "state: absent, "),
    ] {
        if let Some(at) = config.find(flow) {
            let (head, tail) = config.split_at(at + flow.len());
            return format!("{before}{head}{state}{tail}");
        }
    }
    let mut text = before.to_owned();
    let mut done = false;
    for line in config.split_inclusive('\n') {
        text.push_str(line);
        let key = line.trim();
        if !done && (key == "spec:" || key == "data:") {
            done = true;
            let indentation = &line[..line.len() - line.trim_start().len()];
            let newline = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
            write!(text, "{indentation}  state: absent{newline}").unwrap();
        }
    }
    assert!(done, "the functionConfig has no `spec` or `data`");
    text
}

/// All changes lie within one item, which is a Deployment.
fn check_outside_of_target(before: &str, after: &str) {
    if before == after {
        return;
    }
    let changed = changed_range(before.as_bytes(), after.as_bytes());
    let starts = item_starts(before);
    if starts.is_empty() {
        return check_other_values(before, after);
    }
    // What is inserted at the end of an item comes to stand before the dash of the next.
    let index = |at: usize| starts.partition_point(|start| *start < at);
    assert_eq!(index(changed.start), index(changed.end), "more than one item changes");
    let item = index(changed.start).checked_sub(1).map(|i| starts[i]);
    let start = item.unwrap_or_else(|| panic!("something before the items changes"));
    let end = starts.iter().find(|next| **next > start).copied();
    assert!(before[start..end.unwrap_or(before.len())].contains("Deployment"));
}

/// What lies between the longest common beginning and the longest common end.
fn changed_range(before: &[u8], after: &[u8]) -> Range<usize> {
    let same = |(one, other): &(&u8, &u8)| one == other;
    let start = before.iter().zip(after).take_while(same).count();
    let rest = before.len().min(after.len()) - start;
    let ends = before.iter().rev().zip(after.iter().rev());
    start..before.len() - ends.take(rest).take_while(same).count()
}

/// The dashes of `items` in block style.
fn item_starts(list: &str) -> Vec<usize> {
    let (mut at, mut starts, mut column, mut within) = (0, Vec::new(), None, false);
    for line in list.split_inclusive('\n') {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            within = line.starts_with("items:");
        }
        let content = line.trim_start_matches(' ');
        let indentation = line.len() - content.len();
        let is_dash = within && (content.starts_with("- ") || content.trim_end() == "-");
        if is_dash && *column.get_or_insert(indentation) == indentation {
            starts.push(at + indentation);
        }
        at += line.len();
    }
    starts
}

/// For JSON and flow style, whose items have no lines of their own.
fn check_other_values(before: &str, after: &str) {
    let items = |list: &str| {
        let list: serde_json::Value = serde_yaml::from_str(list).unwrap();
        list["items"].as_array().unwrap().clone()
    };
    let (before, after) = (items(before), items(after));
    assert_eq!(before.len(), after.len());
    let changed = before.iter().zip(&after).filter(|(one, other)| one != other);
    for (item, _) in changed {
        assert_eq!(item["kind"], "Deployment");
    }
}

fn check_command(directory: &Path) {
    let arguments = fs::read_to_string(directory.join("args")).unwrap();
    let arguments: Vec<&str> = arguments.lines().collect();
    let stdin = fs::read(directory.join("stdin")).unwrap_or_default();
    let output = command(directory, &arguments, &stdin);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let file = arguments.last().map(|file| directory.join(file));
    let input = match file.filter(|file| file.is_file()) {
        Some(file) => fs::read(file).unwrap(),
        None => stdin,
    };
    let written = match String::from_utf8(input.clone()) {
        _ if stdout.is_empty() => "nothing\n".to_owned(),
        Ok(input) if !input.is_empty() => diff(&input, &stdout),
        _ => stdout.clone(),
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    let code = output.status.code().unwrap();
    let text = format!("exit status: {code}\n\nstderr:\n{stderr}\nstdout:\n{written}");
    record(directory, "output", &text);
    let changes = code == 0 && arguments.first() == Some(&"inject");
    if changes && !directory.join("not-reversible").exists() {
        let removed = command(directory, &["uninject", "-"], stdout.as_bytes());
        assert!(removed.stdout == input, "`uninject` does not give the input back");
    }
}

/// Runs the program with nothing of this process's environment.
fn command(directory: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_inject-ephemeral-access-plugin"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A program that does not read its input closes the pipe.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What a reader of a pull request would see, with line ends and final spaces made visible.
fn diff(before: &str, after: &str) -> String {
    if before == after {
        return "no change\n".to_owned();
    }
    let diff = TextDiff::from_lines(before, after).unified_diff().to_string();
    let mut visible = String::with_capacity(diff.len());
    for line in diff.split_terminator('\n') {
        let line = line.replace('\r', "␍").replace('\u{feff}', "<BOM>");
        let (line, spaces) = line.split_at(line.trim_end_matches(' ').len());
        visible.push_str(&shortened(line));
        visible.extend(spaces.chars().map(|_| '·'));
        visible.push('\n');
    }
    visible
}

/// Huge lines would hide what a snapshot is about.
fn shortened(line: &str) -> String {
    const LIMIT: usize = 2_000;
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], line.len()),
        None => line.to_owned(),
    }
}

fn record(directory: &Path, name: &str, text: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let text =
        text.replace(&format!("\"version\":\"{version}\""), "\"version\":\"[VERSION]\"").replace(
            &format!("\\\"version\\\":\\\"{version}\\\""),
            "\\\"version\\\":\\\"[VERSION]\\\"",
        );
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    entries(parent).into_iter().filter(|path| path.is_dir()).collect()
}

fn files(parent: &Path) -> Vec<PathBuf> {
    entries(parent).into_iter().filter(|path| path.is_file()).collect()
}

fn entries(parent: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}
