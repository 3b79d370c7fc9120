//! Programs for the tests.

#![allow(dead_code, reason = "no test needs all of it")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The program `examples/misbehave.rs`.
pub(crate) fn misbehave() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| example("eaplugin", "misbehave"))
}

/// The runtime's test plugin, `echo`.
pub(crate) fn echo() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| example("ephemeral-access-plugin", "echo"))
}

/// Builds an example if `cargo test` has not done it.
fn example(package: &str, name: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", package, "--example", name]);
    assert!(build.status().unwrap().success(), "the example {name} must build");
    profile_directory().join("examples").join(name)
}

/// Where Cargo puts programs, such as `target/debug`.
pub(crate) fn profile_directory() -> PathBuf {
    let deps = env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().to_owned()
}

/// eaplugin with a clean environment.
pub(crate) fn eaplugin() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eaplugin"));
    command.stdin(Stdio::null()).env_remove("EPHEMERAL_LOG_LEVEL").env_remove("MISBEHAVE");
    command.env_remove("CLICOLOR_FORCE").env_remove("TEST_INIT_ERROR");
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
