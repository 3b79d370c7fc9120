//! Every command of `docs/eaplugin.md` runs, in order, in one shell, and prints what the page says.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::{eaplugin, profile_directory};

const PAGE: &str = include_str!("../../../docs/eaplugin.md");

/// A command and what it prints, if the page says so.
#[derive(Debug, Default)]
struct Step {
    command: String,
    output: String,
    fails: bool,
}

/// The commands of the `console` blocks; those of a `console fails` block have exit code 1.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block = "";
    for line in PAGE.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_empty() { language } else { "" };
        } else if block.starts_with("console") {
            if let Some(command) = line.strip_prefix("$ ") {
                let fails = block == "console fails";
                steps.push(Step { command: command.to_owned(), fails, ..Step::default() });
            } else {
                let step = steps.last_mut().unwrap_or_else(|| panic!("no command before {line}"));
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    steps
}

/// What is done to a command for the test only.
fn adapted(command: &str) -> String {
    match command.strip_prefix("cargo install ") {
        // In the checkout, and from the debug build that is there already.
        Some(rest) => format!("(cd \"$CHECKOUT\" && cargo install --debug {rest})"),
        None if command == "cd change-freeze" => {
            // What was built by an earlier run need not be built again.
            format!("{command}\nln -s \"$PLUGIN_TARGET\" target")
        }
        None => command.to_owned(),
    }
}

/// Numbers that differ from run to run.
fn normalised(text: &str) -> String {
    let mut normalised = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        let units = [" µs", " ms", " s", " KiB", " MiB", " info", " debug"];
        let unit = units.iter().find(|unit| after.starts_with(**unit));
        normalised.push_str(before);
        normalised.push_str(if unit.is_some() { "N" } else { number });
        if let Some(unit) = unit.filter(|unit| !["info", "debug"].contains(&unit.trim())) {
            let kind = if unit.ends_with("iB") { " SIZE" } else { " TIME" };
            normalised.push_str(kind);
            rest = after.strip_prefix(*unit).unwrap_or(after);
        } else {
            rest = after;
        }
    }
    normalised + rest
}

fn script(steps: &[Step]) -> String {
    let mut script = String::from("set -u\n");
    for (number, step) in steps.iter().enumerate() {
        let command = adapted(&step.command);
        // A group, not a subshell: `cd` and `export` are for the commands that follow.
        let _ = writeln!(
            script,
            "{{ {command}\n}} >\"$OUTPUT/{number}.out\" 2>\"$OUTPUT/{number}.err\" || code=$?\n\
             echo \"${{code:-0}}\" >\"$OUTPUT/{number}.code\"; unset code"
        );
    }
    script
}

#[test]
fn every_command_does_what_the_page_says() {
    let steps = steps();
    assert!(steps.len() >= 10, "the page has commands: {steps:?}");
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("output");
    let root = scratch.path().join("install");
    fs::create_dir(&output).unwrap();
    let targets = profile_directory().parent().unwrap().join("docs-plugin");
    fs::create_dir_all(&targets).unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script(&steps)]).current_dir(&scratch);
    bash.env("OUTPUT", &output).env("CHECKOUT", &checkout).env("PLUGIN_TARGET", &targets);
    bash.env("CARGO_INSTALL_ROOT", &root).env("PATH", path).env_remove("EPHEMERAL_LOG_LEVEL");
    bash.env_remove("CARGO_TARGET_DIR");
    assert!(bash.status().unwrap().success(), "bash must run");
    for (number, step) in steps.iter().enumerate() {
        let read = |kind: &str| fs::read_to_string(output.join(format!("{number}.{kind}")));
        let (stdout, stderr) = (read("out").unwrap(), read("err").unwrap());
        let code = read("code").unwrap();
        let said = format!("$ {}\n{stdout}\n{stderr}", step.command);
        assert_eq!(code.trim(), if step.fails { "1" } else { "0" }, "{said}");
        if !step.output.is_empty() {
            assert_eq!(normalised(&stdout), normalised(&step.output), "{said}");
        }
    }
}

#[test]
fn the_commands_in_sh_blocks_have_arguments_that_exist() {
    // They need a cluster, so only their arguments are looked at.
    let scratch = tempfile::tempdir().unwrap();
    for file in ["areq.yaml", "app.yaml"] {
        let kind = if file == "app.yaml" { "Application" } else { "AccessRequest" };
        fs::write(scratch.path().join(file), format!("kind: {kind}\n")).unwrap();
    }
    symlink(support::echo(), scratch.path().join("plugin")).unwrap();
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("eaplugin "));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for line in lines {
        let output = eaplugin().args(line.split(' ')).current_dir(&scratch).output().unwrap();
        assert!(output.status.success(), "{line}: {}", support::stderr(&output));
    }
}

#[test]
fn numbers_are_told_from_names() {
    assert_eq!(normalised("p50 81 µs, CHG-1234 of 100 calls"), "p50 N TIME, CHG-1234 of 100 calls");
    assert_eq!(normalised("1.3 ms 2 s 1.1 MiB 105 info"), "N TIME N TIME N SIZE N info");
}
