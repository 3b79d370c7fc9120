//! Finding and running programs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Failure, Result, repository};

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// The exit code, -1 after a signal.
    pub code: i32,
    /// Everything written to the standard output.
    pub stdout: String,
    /// Everything written to the standard error.
    pub stderr: String,
}

impl Finished {
    /// Itself, if the exit code is 0.
    pub fn success(self) -> Result<Self> {
        if self.code == 0 { Ok(self) } else { Err(self.unexpected("must succeed")) }
    }

    /// Itself, if the exit code is not 0.
    pub fn failure(self) -> Result<Self> {
        if self.code == 0 { Err(self.unexpected("must fail")) } else { Ok(self) }
    }

    fn unexpected(&self, expected: &str) -> Failure {
        let Self { command, code, stdout, stderr } = self;
        Failure::new(format!(
            "`{command}` {expected}, its exit code is {code}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        ))
    }
}

/// Runs `command` to its end, without a standard input.
pub fn run(command: &mut Command) -> Result<Finished> {
    run_on(command, Stdio::null())
}

/// Runs `command` to its end on `input`.
pub fn run_on(command: &mut Command, input: impl Into<Stdio>) -> Result<Finished> {
    let output = command.stdin(input).output().map_err(|error| {
        Failure::new(format!("failed to start {}: {error}", command.get_program().display()))
    })?;
    Ok(Finished {
        command: command_line(command),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// What a person would type, without the environment.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `kubectl`, with the kustomize that is built into it.
pub fn kubectl() -> Result<Command> {
    program("kubectl")
}

/// The standalone kustomize, which can run functions as plain programs.
pub fn kustomize() -> Result<Command> {
    program("kustomize")
}

/// `kpt`.
pub fn kpt() -> Result<Command> {
    program("kpt")
}

/// A command for the program `name`, in the environment that `e2e/setup` prepared: programs that it installed come
/// first, and children find its Docker engine.
pub fn program(name: &str) -> Result<Command> {
    let path = search_path()?;
    let found =
        env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file());
    let Some(file) = found else {
        return Err(Failure::new(format!(
            "the program \"{name}\" is not on the PATH\nhint: run e2e/setup, which installs it or says how"
        )));
    };
    let mut command = Command::new(file);
    command.env("PATH", path);
    let socket = cache()?.join("docker.sock");
    if env::var_os("DOCKER_HOST").is_none() && socket.exists() {
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    }
    Ok(command)
}

fn search_path() -> Result<OsString> {
    let installed = cache()?.join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(std::iter::once(installed).chain(env::split_paths(&path)))?)
}

/// Where `e2e/setup` keeps what it makes.
pub fn cache() -> Result<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(caches) => PathBuf::from(caches),
        None => env::home_dir().ok_or_else(|| Failure::new("HOME must be set"))?.join(".cache"),
    };
    Ok(caches.join("inject-ephemeral-access-plugin"))
}

/// The function as a program of this machine, built from the present source.
pub fn function() -> Result<&'static Path> {
    static FUNCTION: OnceLock<Result<PathBuf>> = OnceLock::new();
    built(&FUNCTION, "inject-ephemeral-access-plugin")
}

/// The author's tool as a program of this machine, built from the present source.
pub fn eaplugin() -> Result<&'static Path> {
    static TOOL: OnceLock<Result<PathBuf>> = OnceLock::new();
    built(&TOOL, "eaplugin")
}

fn built(once: &'static OnceLock<Result<PathBuf>>, name: &str) -> Result<&'static Path> {
    match once.get_or_init(|| build(name)) {
        Ok(path) => Ok(path),
        Err(failure) => Err(Failure::new(format!("{failure:?}"))),
    }
}

fn build(name: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    run(build.args(["build", "--locked", "--bin", name]).current_dir(repository()))?.success()?;
    // This test is <target>/<profile>/deps/<test>; Cargo puts programs two levels above.
    let test = env::current_exe()?;
    let built = test.ancestors().nth(2).map(|directory| directory.join(name));
    built
        .filter(|path| path.is_file())
        .ok_or_else(|| Failure::new(format!("cargo built no {name} beside {}", test.display())))
}
