//! A plugin process, started as the controller starts it, with all that it writes.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ephemeral_access_plugin::host::{Host, HostError, RawAnswer, handshake};
use ephemeral_access_plugin::testing::Request;
use ephemeral_access_plugin::{AccessRequest, Application};
use go_plugin_netrpc::{
    CallError, ENV_CLIENT_CERT, ENV_UNIX_SOCKET_DIR, HandshakeError, HandshakeLine, Reattach,
};
use tempfile::TempDir;
use thiserror::Error;

use crate::answer::{Call, Outcome, shortened};
use crate::cleanup::Guard;
use crate::log::{Line, Log};

/// Longest line that go-plugin's host reads from a plugin's standard output: with a longer one it
/// stops reading (`bufio.MaxScanTokenSize`).
pub(crate) const MAX_STDOUT_LINE: u64 = 64 * 1024;

/// Longest line of standard error that is read in one piece.
const MAX_LOG_LINE: u64 = 64 * 1024;

/// Room for the name of a socket in a folder; see `unix(7)`.
const LONGEST_DIRECTORY: usize = 70;

/// How often to look whether a process has ended.
const POLL: Duration = Duration::from_millis(2);

/// How long what a plugin has written last may be on its way.
const SETTLE: Duration = Duration::from_millis(500);

type OnLine = Arc<dyn Fn(&Line) + Send + Sync>;

/// How to start a plugin.
#[derive(Clone)]
pub struct Starter {
    plugin: PathBuf,
    timeout: Duration,
    variables: Vec<(OsString, OsString)>,
    on_line: OnLine,
}

/// A plugin that serves. Dropping it kills the process.
#[derive(Debug)]
pub struct Session {
    host: Host,
    process: Process,
    socket: PathBuf,
    timeout: Duration,
    record: Arc<Mutex<Record>>,
    readers: Receiver<()>,
}

/// What a plugin has written.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its log.
    pub log: Log,
    /// Bytes on standard output after the handshake line.
    pub stray_bytes: u64,
    /// The longest line among them.
    pub longest_stray_line: u64,
}

/// Why a plugin does not serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system does not start the program.
    #[error("cannot start it")]
    Spawn(#[source] io::Error),
    /// There is no folder for its socket.
    #[error("cannot make a folder for its socket")]
    Folder(#[source] io::Error),
    /// It ended before its handshake line.
    #[error("it ended before its handshake line ({status}){}", last(.log))]
    Exited {
        /// How.
        status: String,
        /// The end of its log.
        log: Option<String>,
    },
    /// There was no handshake line in time.
    #[error("it has not printed its handshake line within {limit:?}")]
    Timeout {
        /// The time allowed.
        limit: Duration,
    },
    /// The handshake line is another one.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It printed a handshake line, but cannot be reached.
    #[error("it cannot be reached at the socket that it printed")]
    Connect(#[source] Box<HostError>),
}

/// How a plugin has reacted to `Control.Quit`.
#[derive(Debug)]
pub struct Quit {
    /// Whether it has answered.
    pub confirmed: bool,
    /// How it ended, if it did.
    pub status: Option<ExitStatus>,
    /// Names of sockets that it has left behind.
    pub sockets_left: usize,
}

#[derive(Debug)]
struct Process {
    child: Child,
    directory: TempDir,
    _guard: Guard,
}

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Starter").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Starter {
    /// Starts the program `plugin`, which may take `timeout` for each step.
    #[must_use]
    pub fn new(plugin: &Path, timeout: Duration) -> Self {
        let variables = Vec::new();
        Self { plugin: executable(plugin), timeout, variables, on_line: Arc::new(|_| {}) }
    }

    /// Sets an environment variable unless the user has.
    #[must_use]
    pub fn default_variable(mut self, key: &str, value: &str) -> Self {
        if env::var_os(key).is_none() {
            self.variables.push((key.into(), value.into()));
        }
        self
    }

    /// Gives each line of the plugin's log to `on_line`, in a thread of its own.
    #[must_use]
    pub fn on_line(mut self, on_line: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        self.on_line = Arc::new(on_line);
        self
    }

    /// Starts the plugin and connects to it. What it writes is in `record`, even if that fails.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then the process has been killed.
    pub fn start(&self, record: &Arc<Mutex<Record>>) -> Result<Session, StartError> {
        let directory = directory().map_err(StartError::Folder)?;
        let mut child = self.command(directory.path()).spawn().map_err(StartError::Spawn)?;
        let guard = Guard::new(child.id(), directory.path());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut process = Process { child, directory, _guard: guard };
        let (done, readers) = channel();
        if let Some(stderr) = stderr {
            let (record, done) = (Arc::clone(record), done.clone());
            read_log(stderr, record, Arc::clone(&self.on_line), done).map_err(StartError::Spawn)?;
        }
        let stdout = stdout.ok_or_else(|| StartError::Spawn(io::Error::other("no pipe")))?;
        let first = read_stdout(stdout, Arc::clone(record), done).map_err(StartError::Spawn)?;
        let line = match first.recv_timeout(self.timeout) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(StartError::Timeout { limit: self.timeout });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(exited(&mut process, &readers, record));
            }
        };
        let line = HandshakeLine::parse(&line)?;
        let (expected, actual) = (handshake().protocol_version, line.protocol_version);
        if actual != expected {
            return Err(HandshakeError::ProtocolVersion { expected, actual }.into());
        }
        let reattach = Reattach { socket: line.socket.clone(), pid: None };
        let host = Host::reattach(&reattach).map_err(|error| StartError::Connect(error.into()))?;
        Ok(Session {
            host: host.call_limit(self.timeout),
            process,
            socket: line.socket,
            timeout: self.timeout,
            record: Arc::clone(record),
            readers,
        })
    }

    fn command(&self, directory: &Path) -> Command {
        let handshake = handshake();
        let mut command = Command::new(&self.plugin);
        command
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .env(&handshake.cookie_key, &handshake.cookie_value)
            .env("PLUGIN_MIN_PORT", "0")
            .env("PLUGIN_MAX_PORT", "0")
            .env("PLUGIN_PROTOCOL_VERSIONS", handshake.protocol_version.to_string())
            .env("TMPDIR", directory)
            .env_remove(ENV_UNIX_SOCKET_DIR)
            .env_remove(ENV_CLIENT_CERT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Session {
    /// Calls `Init`.
    pub fn init(&mut self) -> Outcome {
        let result = self.host.init().map(|()| RawAnswer::default());
        self.outcome(result)
    }

    /// Calls `GrantAccess` or `RevokeAccess`.
    pub fn call(
        &mut self,
        call: Call,
        request: Option<&AccessRequest>,
        application: Option<&Application>,
    ) -> Outcome {
        let result = match call {
            Call::Grant => self.host.grant_access_raw(request, application),
            Call::Revoke => self.host.revoke_access_raw(request, application),
        };
        self.outcome(result)
    }

    /// The plugin's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The socket on which it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Resident memory in bytes, where the system tells it.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Tells the plugin to quit, and waits until it has ended.
    pub fn quit(self) -> Quit {
        let Self { host, mut process, timeout, readers, .. } = self;
        let confirmed = host.quit();
        let status = process.ended_within(timeout);
        if status.is_some() {
            settle(&readers);
        }
        Quit { confirmed, status, sockets_left: sockets(process.directory.path()) }
    }

    fn outcome(&mut self, result: Result<RawAnswer, HostError>) -> Outcome {
        match result {
            Ok(RawAnswer { error: Some(error), .. }) => Outcome::Error(error),
            Err(HostError::Plugin(error)) => Outcome::Error(error.message().to_owned()),
            Ok(RawAnswer { response: Some(response), .. }) => {
                Outcome::Response { status: response.status, message: response.message }
            }
            Ok(RawAnswer { .. }) => Outcome::Nothing,
            Err(HostError::Call(CallError::Remote { message, .. })) => Outcome::Error(message),
            Err(HostError::Call(CallError::Timeout { limit, .. })) => Outcome::Hung { limit },
            Err(HostError::Call(CallError::Ended { .. } | CallError::Send { .. })) => self.gone(),
            Err(error) => Outcome::Unreadable(chain(&error)),
        }
    }

    fn gone(&mut self) -> Outcome {
        let status = self.process.ended_within(SETTLE);
        settle(&self.readers);
        Outcome::Gone {
            status: status.map(|status| status.to_string()),
            log: lock(&self.record).log.last().map(str::to_owned),
        }
    }
}

impl Process {
    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only for a process that has ended and been waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// All of an error, with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A record, also after a panic of another thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The request as the controller sends it: without the kinds that say what a file holds.
pub(crate) fn as_sent(mut request: Request) -> Request {
    let Request { access_request, application } = &mut request;
    let kinds = [&mut access_request.api_version, &mut access_request.kind];
    for kind in kinds.into_iter().chain([&mut application.api_version, &mut application.kind]) {
        kind.clear();
    }
    request
}

/// Sockets in `directory`.
pub(crate) fn sockets(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket())).count()
}

/// A folder for a plugin's socket, whose path must be short.
pub(crate) fn directory() -> io::Result<TempDir> {
    let new = |parent: &Path| tempfile::Builder::new().prefix("eaplugin-").tempdir_in(parent);
    let parent = env::temp_dir();
    if parent.as_os_str().len() > LONGEST_DIRECTORY { new(Path::new("/tmp")) } else { new(&parent) }
}

/// A program in the current folder is found like one elsewhere, not searched in `PATH`.
fn executable(plugin: &Path) -> PathBuf {
    if plugin.is_absolute() { plugin.to_owned() } else { Path::new(".").join(plugin) }
}

fn last(log: &Option<String>) -> String {
    log.as_ref().map(|line| format!("; its last words: {}", shortened(line))).unwrap_or_default()
}

fn exited(
    process: &mut Process,
    readers: &Receiver<()>,
    record: &Arc<Mutex<Record>>,
) -> StartError {
    let status = process.ended_within(SETTLE);
    settle(readers);
    let status = status.map(|status| status.to_string());
    StartError::Exited {
        status: status.unwrap_or_else(|| "it has closed its standard output".to_owned()),
        log: lock(record).log.last().map(str::to_owned),
    }
}

/// Waits until all that an ended plugin has written is read. A program that it has started may hold
/// its pipes open, so there is a limit.
fn settle(readers: &Receiver<()>) {
    let deadline = Instant::now() + SETTLE;
    while readers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
}

fn read_log(
    stderr: ChildStderr,
    record: Arc<Mutex<Record>>,
    on_line: OnLine,
    done: Sender<()>,
) -> io::Result<()> {
    let read = move || {
        each_line(stderr, MAX_LOG_LINE, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let line = Line::parse(text.trim_end_matches(['\n', '\r']));
            lock(&record).log.add(&line);
            on_line(&line);
        });
        drop(done);
    };
    thread::Builder::new().name("plugin-stderr".to_owned()).spawn(read).map(drop)
}

/// Sends the first line, and counts what follows.
fn read_stdout(
    stdout: ChildStdout,
    record: Arc<Mutex<Record>>,
    done: Sender<()>,
) -> io::Result<Receiver<String>> {
    let (sender, first) = channel();
    let read = move || {
        let mut sender = Some(sender);
        let mut line = 0;
        each_line(stdout, MAX_STDOUT_LINE, |bytes| {
            if let Some(sender) = sender.take() {
                // Nobody waits for it after the timeout.
                drop(sender.send(String::from_utf8_lossy(bytes).into_owned()));
                return;
            }
            line += bytes.len() as u64;
            let mut record = lock(&record);
            record.stray_bytes += bytes.len() as u64;
            record.longest_stray_line = record.longest_stray_line.max(line);
            if bytes.ends_with(b"\n") {
                line = 0;
            }
        });
        drop(done);
    };
    thread::Builder::new().name("plugin-stdout".to_owned()).spawn(read)?;
    Ok(first)
}

/// Calls `on_line` with each line and its line feed, in pieces of at most `limit` bytes.
fn each_line(source: impl Read, limit: u64, mut on_line: impl FnMut(&[u8])) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => on_line(&line),
        }
    }
}
