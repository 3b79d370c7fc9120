//! The test plugin as a process.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use ephemeral_access_plugin::host::Host;
use ephemeral_access_plugin::{AccessRequest, Application, GrantStatus};
use go_plugin_netrpc::{HandshakeLine, Reattach};

/// The program `examples/echo.rs`, built if `cargo test` has not done it.
pub(crate) fn echo() -> &'static Path {
    static ECHO: OnceLock<PathBuf> = OnceLock::new();
    ECHO.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "ephemeral-access-plugin", "--example", "echo"]);
        assert!(build.status().unwrap().success(), "the test plugin must build");
        let deps = env::current_exe().unwrap();
        deps.parent().unwrap().parent().unwrap().join("examples/echo")
    })
}

/// A directory of its own for each test; removed with it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/eap-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A plugin that has printed its handshake line.
pub(crate) struct Plugin {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) log: Arc<Mutex<String>>,
    pub(crate) scratch: Scratch,
}

impl Plugin {
    /// Starts the test plugin with its socket in a directory of its own.
    pub(crate) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(echo());
        command.envs(variables.iter().copied());
        Self::start_command(name, command)
    }

    pub(crate) fn start_command(name: &str, mut command: Command) -> Self {
        let scratch = Scratch::new(name);
        command
            .env("EPHEMERAL_ACCESS_PLUGIN", "ephemeralaccess")
            .env("PLUGIN_UNIX_SOCKET_DIR", &scratch.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut log = written.lock().unwrap();
                log.push_str(&line.unwrap_or_default());
                log.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let socket = HandshakeLine::parse(&line).expect("a handshake line").socket;
        Self { child, socket, log, scratch }
    }

    /// Another host's connection.
    pub(crate) fn host(&self) -> Host {
        Host::reattach(&Reattach { socket: self.socket.clone(), pid: None }).unwrap()
    }

    /// A new host comes, and a call is answered: the plugin is well.
    pub(crate) fn serves_the_next_call(&self) {
        let host = self.host();
        host.init().unwrap();
        let response = host.grant_access(&request(""), &Application::default()).unwrap();
        assert_eq!(response.status, GrantStatus::Granted);
    }

    pub(crate) fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        ends_within(&mut self.child, limit)
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn ends_within(child: &mut Child, limit: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < limit, "the process has not ended within {limit:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a program to its end; its status and what it wrote to standard error.
pub(crate) fn run(command: &mut Command) -> (ExitStatus, String) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let status = ends_within(&mut child, Duration::from_secs(10));
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    (status, text)
}

/// A request that asks the test plugin for something.
pub(crate) fn request(asked: &str) -> AccessRequest {
    let mut request = AccessRequest::default();
    if !asked.is_empty() {
        let annotations = request.metadata.annotations.get_or_insert_default();
        annotations.insert("test/do".to_owned(), asked.to_owned());
    }
    request
}
